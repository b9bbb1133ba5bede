#!/usr/bin/env bash
# Valkey 8.1.1: with any module that only listens to keyspace events, MOVE and COPY … DB leave the client in the other database.
#
# A module subscribes to keyspace events and does nothing in its callback. Valkey 8.1 calls it in the name of the running
# client, for which it selects the event's database; MOVE and COPY to another database end with an event there, and the
# client is not put back. So a pipelined MOVE followed by any other command reads and writes the wrong database, and no
# reply tells. Valkey 8.0.1, Valkey 9.1.2 and Redis 8.0.6 leave the client where it was. A module that has to listen must remember the client's database
# and select it again.
#
# Seen, the client's database after SELECT 0, SET k v, MOVE k 1 and after SELECT 0, SET a b, COPY a b DB 2:
#   valkey-8.0.1: after MOVE 0, after COPY 0
#   valkey-8.1.1: after MOVE 1, after COPY 2
#   valkey-9.1.2: after MOVE 0, after COPY 0
#   redis-8.0.6: after MOVE 0, after COPY 0
set -euo pipefail
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

cat > "$work/listen.c" <<'C'
/* The API functions by their names: they are the same in all these servers. */
static int heard(void *ctx, int type, const char *event, void *key)
{
	(void)ctx, (void)type, (void)event, (void)key;
	return 0;
}

int RedisModule_OnLoad(void *ctx, void **argv, int argc)
{
	(void)argv, (void)argc;
	int (*get_api)(const char *, void *) = ((void **)ctx)[0];
	void (*attributes)(void *, const char *, int, int);
	int (*subscribe)(void *, int, int (*)(void *, int, const char *, void *));
	if (get_api("RedisModule_SetModuleAttribs", &attributes) != 0 ||
	    get_api("RedisModule_SubscribeToKeyspaceEvents", &subscribe) != 0)
		return 1;
	attributes(ctx, "listen", 1, 1);
	return subscribe(ctx, 1 << 2, heard); /* generic events: DEL, EXPIRE, MOVE, COPY and so on */
}
C
gcc -shared -fPIC "$work/listen.c" -o "$work/listen.so"

export PMEDIS_SERVERS=${PMEDIS_SERVERS:-$work/servers}
"$(dirname "$0")/../ci/servers" valkey-8.0.1 valkey-8.1.1 valkey-9.1.2 redis-8.0.6 >/dev/null
for name in valkey-8.0.1 valkey-8.1.1 valkey-9.1.2 redis-8.0.6; do
    bin=$PMEDIS_SERVERS/$name/bin
    mkdir "$work/$name"
    "$bin/redis-server" --port 0 --unixsocket "$work/$name/socket" --dir "$work/$name" --save '' \
        --loadmodule "$work/listen.so" --logfile "$work/$name/log" >/dev/null &
    pid=$!
    for _ in $(seq 600); do
        [ ! -S "$work/$name/socket" ] || break
        sleep 0.1
    done
    printf '%s\n' 'SELECT 0' 'SET k v' 'MOVE k 1' 'CLIENT INFO' 'SELECT 0' 'SET a b' 'COPY a b DB 2' 'CLIENT INFO' |
        "$bin/redis-cli" -s "$work/$name/socket" | sed -n 's/.* db=\([0-9]*\) .*/\1/p' > "$work/dbs"
    echo "$name: after MOVE $(sed -n 1p "$work/dbs"), after COPY $(sed -n 2p "$work/dbs")" | tee -a "$work/seen"
    kill -9 "$pid" && wait "$pid" 2>/dev/null || true
    pid=
done
[ "$(cat "$work/seen")" = "valkey-8.0.1: after MOVE 0, after COPY 0
valkey-8.1.1: after MOVE 1, after COPY 2
valkey-9.1.2: after MOVE 0, after COPY 0
redis-8.0.6: after MOVE 0, after COPY 0" ] || { echo "the servers behave otherwise now" >&2; exit 1; }
