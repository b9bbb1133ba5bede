#!/usr/bin/env bash
# Valkey 9.1.2: CLUSTER MIGRATESLOTS with cluster-databases above 1 carries out writes to database 0 in another database of the target.
#
# The target gets a snapshot of the slots, which selects one database after another, and then, in the same connection, the writes that
# clients made meanwhile. The source sends SELECT before a write only if its database is not the one that it selected last, and takes
# this to be 0 at first, whatever the snapshot selected last. So if the slots have keys in database 3, say, all writes to database 0
# from the snapshot on until the first write to another database are done in database 3 there: an acknowledged SET is missing in 0
# and overwrites the key of that name in 3; an acknowledged DEL leaves the key in 0 and deletes that in 3. The migration succeeds,
# no log tells, and the target's replicas have the same. Only a write that fails there, as on a key of another type, ends the
# migration. With keys in database 0 only, nothing is lost.
#
# So either everything is in database 0, or slots are migrated while nothing writes to it: CLIENT PAUSE with WRITE on the source, until
# the slots have moved; who waits there is then sent to the target. DEBUG below only keeps a migration open for the writes;
# without it, of 12883 acknowledged INCR of one client in database 0, 34 were done in 3.
#
# Seen, values of k, gone and late, in a slot with the first two in database 0, or in 0 and 3, after SET k zero and DEL gone in 0, a SET
# of another key in 3, if there is any, and SET late zero in 0; and after SET k zero in 0 that a pause held up:
#   keys in 0, the source: 0: zero - zero
#   keys in 0, the target: 0: zero - zero
#   keys in 0 and 3, the source: 0: zero - zero, 3: three three -
#   keys in 0 and 3, the target: 0: old old zero, 3: zero - -
#   keys in 0 and 3, the target, after a pause: 0: zero old -, 3: three three -
set -euo pipefail
work=$(mktemp -d)
pids=()
trap 'kill -9 "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT

export PMEDIS_SERVERS=${PMEDIS_SERVERS:-$work/servers}
"$(dirname "$0")/../ci/servers" valkey-9.1.2 >/dev/null
bin=$PMEDIS_SERVERS/valkey-9.1.2/bin

# Ports for clients and for the cluster's bus, of the source and of the target.
read -r -a ports < <(python3 -c 'import socket
sockets = [socket.socket() for _ in range(4)]
for one in sockets: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))')

# start NAME PORT BUS: starts a node of the cluster.
start() {
    mkdir "$work/$1"
    "$bin/redis-server" --bind 127.0.0.1 --port "$2" --cluster-port "$3" --unixsocket "$work/$1/socket" --dir "$work/$1" --save '' \
        --cluster-enabled yes --cluster-databases 16 --cluster-node-timeout 60000 --cluster-manual-failover-timeout 60000 \
        --enable-debug-command yes --logfile "$work/$1/log" >/dev/null &
    pids+=($!)
    until_says PONG "$1" 0 PING
}
# cli NAME DATABASE COMMAND...
cli() { "$bin/redis-cli" -s "$work/$1/socket" -n "$2" "${@:3}" 2>&1 | tr -d '\r' | paste -sd ' '; }
# until_says REPLY NAME DATABASE COMMAND...: waits until the reply contains that.
until_says() {
    local wanted=$1
    shift
    for _ in $(seq 1200); do
        case $(cli "$@") in *"$wanted"*) return 0 ;; esac
        sleep 0.05
    done
    echo "$*: $(cli "$@")" >&2
    return 1
}
# sure NAME DATABASE COMMAND...: it must be acknowledged.
sure() {
    local reply
    reply=$(cli "$@")
    case $reply in OK | 1) ;; *) echo "$*: $reply" >&2; return 1 ;; esac
}
# keys NAME TAG DATABASE: the values of the three keys.
keys() {
    local key value line="$3:"
    for key in k gone late; do
        value=$(cli "$1" "$3" GET "{$2}$key")
        line+=" ${value:--}"
    done
    echo "$line"
}

start source "${ports[0]}" "${ports[1]}"
start target "${ports[2]}" "${ports[3]}"
sure source 0 CLUSTER ADDSLOTSRANGE 0 16383
sure source 0 CLUSTER SET-CONFIG-EPOCH 1
sure target 0 CLUSTER SET-CONFIG-EPOCH 2
sure source 0 CLUSTER MEET 127.0.0.1 "${ports[2]}" "${ports[3]}"
for name in source target; do
    until_says cluster_known_nodes:2 "$name" 0 CLUSTER INFO
    until_says cluster_state:ok "$name" 0 CLUSTER INFO
done
node=$(cli target 0 CLUSTER MYID)

# before TAG DATABASE VALUE: keys that are there before the migration.
before() {
    sure source "$2" SET "{$1}k" "$3"
    sure source "$2" SET "{$1}gone" "$3"
}
# migrate TAG: begins to migrate the slot.
migrate() {
    local slot
    slot=$(cli source 0 CLUSTER KEYSLOT "{$1}")
    sure source 0 CLUSTER MIGRATESLOTS SLOTSRANGE "$slot" "$slot" NODE "$node"
}
# open TAG: migrates the slot up to the last step: the target has the snapshot, and writes follow.
open() {
    sure source 0 DEBUG SLOTMIGRATION PREVENT-PAUSE 1
    migrate "$1"
    until_says waiting-to-pause source 0 CLUSTER GETSLOTMIGRATIONS
}
# close TAG: lets the migration end: the slot is the target's then.
close() {
    sure source 0 DEBUG SLOTMIGRATION PREVENT-PAUSE 0
    until_says MOVED source 0 GET "{$1}k"
}
# write TAG: what clients do meanwhile.
write() {
    sure source 0 SET "{$1}k" zero
    sure source 0 DEL "{$1}gone"
}

before one 0 old
open one
write one
sure source 0 SET '{one}late' zero
there=$(keys source one 0)
close one
echo "keys in 0, the source: $there" | tee "$work/seen"
echo "keys in 0, the target: $(keys target one 0)" | tee -a "$work/seen"

before two 0 old
before two 3 three
open two
write two
sure source 3 SET '{two}other' 1
sure source 0 SET '{two}late' zero
there="$(keys source two 0), $(keys source two 3)"
close two
echo "keys in 0 and 3, the source: $there" | tee -a "$work/seen"
echo "keys in 0 and 3, the target: $(keys target two 0), $(keys target two 3)" | tee -a "$work/seen"

before three 0 old
before three 3 three
sure source 0 CLIENT PAUSE 600000 WRITE
"$bin/redis-cli" -c -p "${ports[0]}" SET '{three}k' zero >/dev/null &
waiting=$!
pids+=("$waiting")
until_says blocked_clients:1 source 0 INFO clients
migrate three
until_says MOVED source 0 GET '{three}k'
sure source 0 CLIENT UNPAUSE
wait "$waiting"
pids=("${pids[@]:0:2}")
echo "keys in 0 and 3, the target, after a pause: $(keys target three 0), $(keys target three 3)" | tee -a "$work/seen"

[ "$(cat "$work/seen")" = "keys in 0, the source: 0: zero - zero
keys in 0, the target: 0: zero - zero
keys in 0 and 3, the source: 0: zero - zero, 3: three three -
keys in 0 and 3, the target: 0: old old zero, 3: zero - -
keys in 0 and 3, the target, after a pause: 0: zero old -, 3: three three -" ] || { echo "the servers behave otherwise now" >&2; exit 1; }
