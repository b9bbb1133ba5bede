#!/usr/bin/env bash
# Redis 7.0.15: PEXPIRE key 1 deletes the key at once, some one time in 2,000, with the event `del` instead of `expired`.
#
# The command reads the clock twice: to turn the relative time into an absolute one, and to see whether that has passed
# already, for which keys are deleted at once. If a millisecond begins in between, "in one millisecond" is in the past. (From 7.2
# on both readings are that of the command's beginning.) The reply is 1 in both cases. A test that lets keys expire by the shortest
# time meets it now and then: the key is absent, not expired, and nothing is told of it when it is looked up.
#
# Seen: 60,000 keys, active expiry off: 14 to 40 are gone.
set -euo pipefail
work=$(mktemp -d)
port=$((20000 + RANDOM % 20000))
redis-server --bind 127.0.0.1 --port "$port" --save "" --dir "$work" --enable-debug-command yes > "$work/log" &
server=$!
trap 'kill "$server"; wait "$server" || true; rm -rf "$work"' EXIT
ask() { redis-cli -p "$port" "$@"; }
until ask PING > "$work/pong" 2>&1; do sleep 0.1; done
ask DEBUG SET-ACTIVE-EXPIRE 0 > "$work/ok"

keys=60000
for ((n = 0; n < keys; n++)); do printf 'SET k%d v\r\nPEXPIRE k%d 1\r\n' "$n" "$n"; done | ask --pipe > "$work/piped"
gone=$((keys - $(ask DBSIZE)))
echo "$gone of $keys keys are gone"
[ "$gone" -gt 0 ] || { echo "the server behaves otherwise now" >&2; exit 1; }
