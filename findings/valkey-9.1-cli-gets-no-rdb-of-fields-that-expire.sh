#!/usr/bin/env bash
# Valkey 9.1.2: one hash field with a time to live, and valkey-cli --rdb of the same version gets no backup any more.
#
# --rdb asks for a full sync as a replica does, but unlike a replica of the same version it does not say which version it is. Valkey 9.1 takes
# such a replica for an old one and writes the RDB of version 11 for it, which cannot hold fields that expire: the child that
# saves ends with an error, and the client says no more than that it could not read a length. SAVE, BGSAVE and a real replica
# work all the time, and so did the backup, until some client used HEXPIRE on one key. What --rdb gets before that differs from
# the file of SAVE, too: it is the one that older servers read. With HPERSIST on that field it works again.
#
# Seen:
#   no field expires: --rdb gets a file that begins with REDIS0011, SAVE makes one that begins with VALKEY080
#   one does: SAVE says OK, a replica gets v, --rdb says Error reading bulk length while SYNCing
#   the log says: Can't store key (db 0) in RDB version 11
#   after HPERSIST: --rdb gets a file that begins with REDIS0011
set -euo pipefail
work=$(mktemp -d)
pids=()
stop() {
    for pid in "${pids[@]}"; do
        kill -9 "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap stop EXIT

export PMEDIS_SERVERS=${PMEDIS_SERVERS:-$work/servers}
"$(dirname "$0")/../ci/servers" valkey-9.1.2 >/dev/null
bin=$PMEDIS_SERVERS/valkey-9.1.2/bin

# start NAME OPTION...: starts a server with its own directory and socket.
start() {
    local home=$work/$1
    shift
    mkdir "$home"
    "$bin/redis-server" --port 0 --unixsocket "$home/socket" --dir "$home" --save '' \
        --repl-diskless-sync-delay 0 --logfile "$home/log" "$@" >/dev/null &
    pids+=($!)
    for _ in $(seq 600); do
        [ ! -S "$home/socket" ] || break
        sleep 0.1
    done
}
cli() { "$bin/redis-cli" -s "$work/$1/socket" "${@:2}"; }
begins() { head -c 9 "$1"; }
# save: SAVE, as soon as the child that has written for --rdb is gone.
save() {
    for _ in $(seq 600); do
        [ "$(cli primary INFO persistence | tr -d '\r' | sed -n 's/^rdb_bgsave_in_progress://p')" != 0 ] || break
        sleep 0.1
    done
    cli primary SAVE
}
# rdb FILE: what becomes of a backup with --rdb.
rdb() {
    if cli primary --rdb "$work/$1" > "$work/out" 2>&1; then
        echo "gets a file that begins with $(begins "$work/$1")"
    else
        echo "says $(tail -n 1 "$work/out")"
    fi
}

# A port that is taken ends the server: then another one is tried.
until [ -S "$work/primary/socket" ] && port=$(cli primary CONFIG GET port 2>/dev/null | tail -n 1); do
    rm -rf "$work/primary"
    start primary --bind 127.0.0.1 --port $((20000 + RANDOM % 10000))
done
cli primary SET k v >/dev/null
{
    echo "no field expires: --rdb $(rdb first.rdb), SAVE makes one that begins with $(save >/dev/null && begins "$work/primary/dump.rdb")"
    cli primary HSET hash f v >/dev/null
    cli primary HEXPIRE hash 100000 FIELDS 1 f >/dev/null
    start replica --replicaof "127.0.0.1 $port"
    for _ in $(seq 600); do
        [ "$(cli replica HGET hash f)" != v ] || break
        sleep 0.1
    done
    echo "one does: SAVE says $(save), a replica gets $(cli replica HGET hash f), --rdb $(rdb second.rdb)"
    echo "the log says: $(grep -o "Can't store key.*" "$work/primary/log" | sort -u)"
    cli primary HPERSIST hash FIELDS 1 f >/dev/null
    echo "after HPERSIST: --rdb $(rdb third.rdb)"
} | tee "$work/seen"
[ "$(cat "$work/seen")" = "no field expires: --rdb gets a file that begins with REDIS0011, SAVE makes one that begins with VALKEY080
one does: SAVE says OK, a replica gets v, --rdb says Error reading bulk length while SYNCing
the log says: Can't store key (db 0) in RDB version 11
after HPERSIST: --rdb gets a file that begins with REDIS0011" ] || { echo "Valkey behaves otherwise now" >&2; exit 1; }
