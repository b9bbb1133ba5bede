#!/usr/bin/env bash
# Valkey 9.1.2: what SAVE writes is read by no older server, Valkey's own 8.1 included, but the same older servers replicate from it.
#
# From 9.1 on the file of SAVE begins with VALKEY080 instead of REDIS and a number up to 12. Valkey 8.1.1 refuses it by the version,
# Redis 8.0.6 by the signature; each ends at its start. Yet as replicas both take a full sync from the same Valkey, as a replica says
# which version it is and is sent an RDB of version 11. So the way back from Valkey 9.1 is a replica, not a file: a backup of
# the newer server cannot be restored into the older one.
#
# Seen:
#   the file begins with VALKEY080
#   valkey-8.1.1 with the file: Can't handle RDB format version 80
#   valkey-8.1.1 as a replica: v
#   redis-8.0.6 with the file: Wrong signature trying to load DB from file
#   redis-8.0.6 as a replica: v
set -euo pipefail
work=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done; rm -rf "$work"' EXIT

export PMEDIS_SERVERS=$work/servers
"$(dirname "$0")/../ci/servers" valkey-9.1.2 valkey-8.1.1 redis-8.0.6 >/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

# start NAME PORT FILE: starts a server on the file FILE in its own directory.
start() {
    mkdir -p "$work/$1"
    "$work/servers/$1/bin/redis-server" --bind 127.0.0.1 --port "$2" --dir "$work/$1" --dbfilename "$3" --save '' \
        --logfile "$work/$1/log" >/dev/null &
    pids+=($!)
}
cli() { "$work/servers/valkey-9.1.2/bin/redis-cli" -p "$@" 2>/dev/null || true; }
# until_says REPLY PORT COMMAND...: waits until the command says so.
until_says() {
    local wanted=$1
    shift
    for _ in $(seq 600); do
        [ "$(cli "$@")" != "$wanted" ] || return 0
        sleep 0.1
    done
    return 1
}

start valkey-9.1.2 "$port" dump.rdb
until_says PONG "$port" PING
cli "$port" SET k v >/dev/null
cli "$port" SAVE >/dev/null
echo "the file begins with $(head -c 9 "$work/valkey-9.1.2/dump.rdb")" | tee "$work/seen"
for name in valkey-8.1.1 redis-8.0.6; do
    other=$((port + 1 + ${#pids[@]}))
    mkdir -p "$work/$name"
    cp "$work/valkey-9.1.2/dump.rdb" "$work/$name/newer.rdb"
    start "$name" "$other" newer.rdb
    wait "${pids[-1]}" || true
    echo "$name with the file: $(sed -n "s/.*# \(Can't handle RDB.*\|Wrong signature.*\)/\1/p" "$work/$name/log")" | tee -a "$work/seen"
    start "$name" "$other" none.rdb
    until_says PONG "$other" PING
    cli "$other" REPLICAOF 127.0.0.1 "$port" >/dev/null
    until_says v "$other" GET k
    echo "$name as a replica: $(cli "$other" GET k)" | tee -a "$work/seen"
done
[ "$(cat "$work/seen")" = "the file begins with VALKEY080
valkey-8.1.1 with the file: Can't handle RDB format version 80
valkey-8.1.1 as a replica: v
redis-8.0.6 with the file: Wrong signature trying to load DB from file
redis-8.0.6 as a replica: v" ] || { echo "the servers behave otherwise now" >&2; exit 1; }
