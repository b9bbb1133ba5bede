#!/usr/bin/env bash
# Valkey 9.1.2: inside EXEC, a module's keyspace-event callback is told the transaction's database, not the key's.
#
# MOVE tells of two events, move_from in the source's database and move_to in the target's. A module learns which database
# an event belongs to from RM_GetSelectedDb of the callback's context. That is right for a single MOVE everywhere, and inside
# MULTI/EXEC in Redis 7.0 to 8.6 and Valkey 8. Valkey 9.1 answers the database of the transaction for both events there, so
# a module that keeps something by key (an index, a cache, a copy on disk) files the key that has come under the wrong database.
#
# Seen, the databases of move_from and move_to for MOVE k 3 from database 0, alone and in EXEC:
#   redis-8.0.6: alone 0 3, in EXEC 0 3
#   redis-8.6.2: alone 0 3, in EXEC 0 3
#   valkey-8.0.1: alone 0 3, in EXEC 0 3
#   valkey-9.1.2: alone 0 3, in EXEC 0 0
set -euo pipefail
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

cat > "$work/listen.c" <<'C'
#include <string.h>

/* The API functions by their names: they are the same in all these servers. */
static int (*selected_db)(void *ctx);
static int (*reply_number)(void *ctx, long long number);
static int (*create)(void *ctx, const char *name, int (*run)(void *, void **, int), const char *flags, int, int, int);
static int from, to;

static int heard(void *ctx, int type, const char *event, void *key)
{
	(void)type, (void)key;
	if (strcmp(event, "move_from") == 0)
		from = selected_db(ctx);
	if (strcmp(event, "move_to") == 0)
		to = selected_db(ctx);
	return 0;
}

static int tell(void *ctx, void **argv, int argc)
{
	(void)argv, (void)argc;
	return reply_number(ctx, from * 100 + to);
}

int RedisModule_OnLoad(void *ctx, void **argv, int argc)
{
	(void)argv, (void)argc;
	int (*get_api)(const char *, void *) = ((void **)ctx)[0];
	void (*attributes)(void *, const char *, int, int);
	int (*subscribe)(void *, int, int (*)(void *, int, const char *, void *));
	if (get_api("RedisModule_SetModuleAttribs", &attributes) != 0 ||
	    get_api("RedisModule_SubscribeToKeyspaceEvents", &subscribe) != 0 ||
	    get_api("RedisModule_GetSelectedDb", &selected_db) != 0 ||
	    get_api("RedisModule_ReplyWithLongLong", &reply_number) != 0 ||
	    get_api("RedisModule_CreateCommand", &create) != 0)
		return 1;
	attributes(ctx, "listen", 1, 1);
	return create(ctx, "listen.tell", tell, "readonly", 0, 0, 0) | subscribe(ctx, 1 << 2, heard);
}
C
gcc -shared -fPIC "$work/listen.c" -o "$work/listen.so"

export PMEDIS_SERVERS=${PMEDIS_SERVERS:-$work/servers}
"$(dirname "$0")/../ci/servers" redis-8.0.6 redis-8.6.2 valkey-8.0.1 valkey-9.1.2 >/dev/null
for name in redis-8.0.6 redis-8.6.2 valkey-8.0.1 valkey-9.1.2; do
    bin=$PMEDIS_SERVERS/$name/bin
    mkdir "$work/$name"
    "$bin/redis-server" --port 0 --unixsocket "$work/$name/socket" --dir "$work/$name" --save '' \
        --loadmodule "$work/listen.so" --logfile "$work/$name/log" >/dev/null &
    pid=$!
    for _ in $(seq 600); do
        [ ! -S "$work/$name/socket" ] || break
        sleep 0.1
    done
    # LISTEN.TELL's number is the only reply of three digits or fewer that stands after the word "databases".
    printf '%s\n' 'SET k v' 'MOVE k 3' 'ECHO databases' 'LISTEN.TELL' \
        'SET k2 v' 'MULTI' 'MOVE k2 3' 'EXEC' 'ECHO databases' 'LISTEN.TELL' |
        "$bin/redis-cli" -s "$work/$name/socket" | grep -A1 databases | sed -n 's/^[0-9][0-9]*$/&/p' > "$work/dbs"
    alone=$(sed -n 1p "$work/dbs")
    within=$(sed -n 2p "$work/dbs")
    echo "$name: alone $((alone / 100)) $((alone % 100)), in EXEC $((within / 100)) $((within % 100))" | tee -a "$work/seen"
    kill -9 "$pid" && wait "$pid" 2>/dev/null || true
    pid=
done
[ "$(cat "$work/seen")" = "redis-8.0.6: alone 0 3, in EXEC 0 3
redis-8.6.2: alone 0 3, in EXEC 0 3
valkey-8.0.1: alone 0 3, in EXEC 0 3
valkey-9.1.2: alone 0 3, in EXEC 0 0" ] || { echo "the servers behave otherwise now" >&2; exit 1; }
