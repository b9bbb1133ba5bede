#!/usr/bin/env bash
# Redis 8.6.2: a module that tells of a change (RM_SignalModifiedKey) counts a hit or a miss in keyspace_hits and keyspace_misses.
#
# RM_SignalModifiedKey invalidates WATCH and client-side caches; it reads nothing for the client. Up to Redis 8.2 and in Valkey it leaves
# the statistics alone. Redis 8.6 looks the key up in there as a read, so each write of a module adds to keyspace_hits, or to
# keyspace_misses when the key has just been deleted, and the hit rate that dashboards show is off as soon as such a module writes.
#
# Seen, hits and misses after ten calls for a key that is there and ten for one that is not:
#   redis-8.0.6: hits 0, misses 0
#   redis-8.2.3: hits 0, misses 0
#   redis-8.6.2: hits 10, misses 10
#   valkey-9.1.2: hits 0, misses 0
set -euo pipefail
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

cat > "$work/signal.c" <<'C'
/* The API functions by their names: they are the same in all these servers. */
static int (*signal_modified)(void *ctx, void *key);
static int (*reply_number)(void *ctx, long long number);

static int changed(void *ctx, void **argv, int argc)
{
	signal_modified(ctx, argv[argc - 1]);
	return reply_number(ctx, 1);
}

int RedisModule_OnLoad(void *ctx, void **argv, int argc)
{
	(void)argv, (void)argc;
	int (*get_api)(const char *, void *) = ((void **)ctx)[0];
	void (*attributes)(void *, const char *, int, int);
	int (*create)(void *ctx, const char *name, int (*run)(void *, void **, int), const char *flags, int, int, int);
	if (get_api("RedisModule_SetModuleAttribs", &attributes) != 0 ||
	    get_api("RedisModule_SignalModifiedKey", &signal_modified) != 0 ||
	    get_api("RedisModule_ReplyWithLongLong", &reply_number) != 0 ||
	    get_api("RedisModule_CreateCommand", &create) != 0)
		return 1;
	attributes(ctx, "signal", 1, 1);
	return create(ctx, "signal.changed", changed, "write", 1, 1, 1);
}
C
gcc -shared -fPIC "$work/signal.c" -o "$work/signal.so"

export PMEDIS_SERVERS=${PMEDIS_SERVERS:-$work/servers}
"$(dirname "$0")/../ci/servers" redis-8.0.6 redis-8.2.3 redis-8.6.2 valkey-9.1.2 >/dev/null
for name in redis-8.0.6 redis-8.2.3 redis-8.6.2 valkey-9.1.2; do
    bin=$PMEDIS_SERVERS/$name/bin
    mkdir "$work/$name"
    "$bin/redis-server" --port 0 --unixsocket "$work/$name/socket" --dir "$work/$name" --save '' \
        --loadmodule "$work/signal.so" --logfile "$work/$name/log" >/dev/null &
    pid=$!
    for _ in $(seq 600); do
        [ ! -S "$work/$name/socket" ] || break
        sleep 0.1
    done
    {
        printf '%s\n' 'SET there v' 'CONFIG RESETSTAT'
        for _ in $(seq 10); do printf '%s\n' 'SIGNAL.CHANGED there' 'SIGNAL.CHANGED absent'; done
    } | "$bin/redis-cli" -s "$work/$name/socket" >/dev/null
    "$bin/redis-cli" -s "$work/$name/socket" INFO stats | tr -d '\r' > "$work/stats"
    echo "$name: hits $(sed -n 's/^keyspace_hits://p' "$work/stats"), misses $(sed -n 's/^keyspace_misses://p' "$work/stats")" |
        tee -a "$work/seen"
    kill -9 "$pid" && wait "$pid" 2>/dev/null || true
    pid=
done
[ "$(cat "$work/seen")" = "redis-8.0.6: hits 0, misses 0
redis-8.2.3: hits 0, misses 0
redis-8.6.2: hits 10, misses 10
valkey-9.1.2: hits 0, misses 0" ] || { echo "the servers behave otherwise now" >&2; exit 1; }
