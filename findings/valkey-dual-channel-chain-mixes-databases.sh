#!/usr/bin/env bash
# Valkey 8.0 to 9.1 with dual-channel replication: a replica's replica files the stream under database 0.
#
# A replication stream says SELECT once and then only the commands, so whoever joins it must be told which database is
# selected. A master whose replica attaches begins the stream with SELECT for it. A replica passes its master's stream on as
# it is, and says to its own new replicas which database is selected just then. With dual-channel-replication-enabled yes the
# second replica takes database 0 instead: what the master writes to another database, where no SELECT is sent meanwhile, is
# in database 0 there, links are up, offsets are equal, and nothing is logged. With a single channel, and with Redis 8.6's
# own second channel (repl-rdb-channel), all three are the same.
#
# Seen, keys in databases 0 and 1 of master, replica and replica's replica after 20 writes to database 1 while the last one
# attaches; with the servers' second channel:
#   valkey-8.0.1: 0/22 0/22 20/2
#   valkey-8.1.1: 0/22 0/22 20/2
#   valkey-9.1.2: 0/22 0/22 20/2
#   redis-8.6.2: 0/22 0/22 0/22
set -euo pipefail
work=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done; rm -rf "$work"' EXIT

export PMEDIS_SERVERS=${PMEDIS_SERVERS:-$work/servers}
servers="valkey-8.0.1 valkey-8.1.1 valkey-9.1.2 redis-8.6.2"
# shellcheck disable=SC2086
"$(dirname "$0")/../ci/servers" $servers >/dev/null

# ask SOCKET WORD...: the reply.
ask() { "$bin/redis-cli" -s "$work/$1" "${@:2}"; }
# until_is TEXT COMMAND...: waits until the command prints so.
until_is() {
    for _ in $(seq 600); do
        [ "$("${@:2}" 2>&1)" != "$1" ] || return 0
        sleep 0.1
    done
    echo "never: ${*:2} -> $1" >&2
    exit 1
}
link() { ask "$1" INFO replication | sed -n 's/\r$//; s/^master_link_status://p'; }
offset() { ask "$1" INFO replication | sed -n "s/\r$//; s/^$2://p"; }
# follow REPLICA PORT: attaches and waits for the link.
follow() {
    ask "$1" REPLICAOF 127.0.0.1 "$2" >/dev/null
    until_is up link "$1"
}

for name in $servers; do
    bin=$PMEDIS_SERVERS/$name/bin
    second=dual-channel-replication-enabled
    [[ $name == valkey* ]] || second=repl-rdb-channel
    ports=()
    pids=()
    for who in top mid low; do
        # A free port: one that a moment ago nobody listened at.
        port=$(perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport')
        mkdir "$work/$name-$who"
        "$bin/redis-server" --bind 127.0.0.1 --port "$port" --unixsocket "$work/$name-$who.s" --dir "$work/$name-$who" \
            --save '' --repl-diskless-sync-delay 0 --"$second" yes --logfile "$work/$name-$who/log" >/dev/null &
        pids+=($!)
        ports+=("$port")
        until_is PONG ask "$name-$who.s" PING
    done
    top=$name-top.s mid=$name-mid.s low=$name-low.s
    ask "$top" -n 1 SET first 1 >/dev/null
    follow "$mid" "${ports[0]}"
    # From here on the stream has its only SELECT behind it.
    ask "$top" -n 1 SET second 1 >/dev/null
    until_is "$(offset "$top" master_repl_offset)" offset "$mid" slave_repl_offset
    ask "$low" REPLICAOF 127.0.0.1 "${ports[1]}" >/dev/null
    until_is up link "$low"
    for n in $(seq 20); do
        ask "$top" -n 1 SET "key:$n" 1 >/dev/null
    done
    for who in "$mid" "$low"; do
        until_is "$(offset "$top" master_repl_offset)" offset "$who" slave_repl_offset
    done
    line="$name:"
    for who in "$top" "$mid" "$low"; do
        line+=" $(ask "$who" -n 0 DBSIZE)/$(ask "$who" -n 1 DBSIZE)"
    done
    echo "$line" | tee -a "$work/seen"
    kill -9 "${pids[@]}" && wait "${pids[@]}" 2>/dev/null || true
    pids=()
done
[ "$(cat "$work/seen")" = "valkey-8.0.1: 0/22 0/22 20/2
valkey-8.1.1: 0/22 0/22 20/2
valkey-9.1.2: 0/22 0/22 20/2
redis-8.6.2: 0/22 0/22 0/22" ] || { echo "the servers behave otherwise now" >&2; exit 1; }
