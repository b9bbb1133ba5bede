#!/usr/bin/env bash
# Valkey 9.1.2: members whose score was given in hexadecimal get lost on the way from an older server, on a replica and from an AOF.
#
# A score was always what strtod reads, so 0x10 is 16 in Redis, to 8.6, and in Valkey up to 8.1. A master hands the command on as the
# client wrote it, and so writes the AOF. Valkey 9.1 reads scores with another function, which knows no hexadecimal: it refuses the command. A
# replica of that version, which is how one upgrades without a pause, then goes on without the member: the link stays up, the offsets are
# equal, WAIT counts it. With an older server's AOF it starts and serves what it could read. Only a line in the log
# tells of either. GEOADD is concerned likewise; INCRBYFLOAT still takes 0x10.
#
# Seen, after ZADD z 0x10 sixteen and ZADD z 2 two in Valkey 8.1.1:
#   there: two 2 sixteen 16
#   in Valkey 9.1.2, a replica (link up, WAIT 1): two 2
#   in Valkey 9.1.2, from the AOF: two 2
set -euo pipefail
work=$(mktemp -d)
pids=()
trap 'kill -9 "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT

export PMEDIS_SERVERS=${PMEDIS_SERVERS:-$work/servers}
"$(dirname "$0")/../ci/servers" valkey-9.1.2 valkey-8.1.1 >/dev/null

# start NAME DIRECTORY OPTION...: starts a server on a port that is free.
start() {
    local name=$1 directory=$work/$2
    shift 2
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    mkdir -p "$directory"
    "$PMEDIS_SERVERS/$name/bin/redis-server" --bind 127.0.0.1 --port "$port" --unixsocket "$directory/socket" --dir "$directory" \
        --save '' --logfile "$directory/log" "$@" >/dev/null &
    pids+=($!)
    until_says PONG "${directory##*/}" PING
}
cli() { "$PMEDIS_SERVERS/valkey-9.1.2/bin/redis-cli" -s "$work/$1/socket" "${@:2}" 2>&1 | tr -d '\r' | paste -sd ' '; }
# until_says REPLY DIRECTORY COMMAND...: waits until the reply contains that.
until_says() {
    local wanted=$1
    shift
    for _ in $(seq 600); do
        case $(cli "$@") in *"$wanted"*) return 0 ;; esac
        sleep 0.1
    done
    return 1
}

start valkey-8.1.1 older --appendonly yes --aof-use-rdb-preamble no --appendfsync always
start valkey-9.1.2 replica --replicaof 127.0.0.1 "$port"
until_says master_link_status:up replica INFO replication
cli older ZADD z 0x10 sixteen >/dev/null
cli older ZADD z 2 two >/dev/null
waited=$(cli older WAIT 1 60000)
link=$(cli replica INFO replication | grep -o 'master_link_status:[a-z]*')
mkdir "$work/reader"
cp -r "$work/older/appendonlydir" "$work/reader"
start valkey-9.1.2 reader --appendonly yes
until_says loading:0 reader INFO persistence
{
    echo "there: $(cli older ZRANGE z 0 -1 WITHSCORES)"
    echo "in Valkey 9.1.2, a replica (link ${link#*:}, WAIT $waited): $(cli replica ZRANGE z 0 -1 WITHSCORES)"
    echo "in Valkey 9.1.2, from the AOF: $(cli reader ZRANGE z 0 -1 WITHSCORES)"
} | tee "$work/seen"
[ "$(cat "$work/seen")" = "there: two 2 sixteen 16
in Valkey 9.1.2, a replica (link up, WAIT 1): two 2
in Valkey 9.1.2, from the AOF: two 2" ] || { echo "the servers behave otherwise now" >&2; exit 1; }
