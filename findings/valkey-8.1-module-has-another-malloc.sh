#!/usr/bin/env bash
# Debian's Valkey 8.1.1 and 9.1.2: malloc and free in a module are not those of the process, and libc allocates with the process's.
#
# Debian links the servers with libjemalloc.so, which so takes the place of malloc and free in the whole process. From 8.1 on Valkey
# loads modules with RTLD_DEEPBIND: a module, and every library that comes with it, finds its symbols in its own dependencies first, and
# so takes malloc and free from libc. libc itself still calls the process's, jemalloc's, for what it allocates on behalf of its caller (getline,
# realpath, strdup and the like). A module, or a library that it links, which frees such memory, as their manuals ask it to, hands a block of
# one allocator to the other. The same object runs in Redis and in Valkey 8.0. A module has to give libc memory of its own where it
# can, or to look the process's free up with dlopen(NULL).
#
# Seen, the library of free as the module calls it, and as the process has it:
#   redis-8.0.6: libjemalloc.so.2, libjemalloc.so.2
#   valkey-8.0.1: libjemalloc.so.2, libjemalloc.so.2
#   valkey-8.1.1: libc.so.6, libjemalloc.so.2
#   valkey-9.1.2: libc.so.6, libjemalloc.so.2
set -euo pipefail
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

cat > "$work/scope.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The API functions by their names: they are the same in all these servers. */
static int (*reply)(void *ctx, const char *text);

/* The file name of the library that a function is in. */
static const char *library(void *function)
{
	Dl_info found;
	return dladdr(function, &found) ? strrchr(found.dli_fname, '/') + 1 : "none";
}

static int scope_free(void *ctx, void **argv, int argc)
{
	static char line[1000];
	(void)argv, (void)argc;
	snprintf(line, sizeof line, "%s, %s", library((void *)free), library(dlsym(dlopen(NULL, RTLD_LAZY), "free")));
	return reply(ctx, line);
}

int RedisModule_OnLoad(void *ctx, void **argv, int argc)
{
	(void)argv, (void)argc;
	int (*get_api)(const char *, void *) = ((void **)ctx)[0];
	void (*attributes)(void *, const char *, int, int);
	int (*create)(void *ctx, const char *name, int (*run)(void *, void **, int), const char *flags, int, int, int);
	if (get_api("RedisModule_SetModuleAttribs", &attributes) != 0 ||
	    get_api("RedisModule_ReplyWithSimpleString", &reply) != 0 ||
	    get_api("RedisModule_CreateCommand", &create) != 0)
		return 1;
	attributes(ctx, "scope", 1, 1);
	return create(ctx, "scope.free", scope_free, "readonly", 0, 0, 0);
}
C
gcc -shared -fPIC "$work/scope.c" -o "$work/scope.so"

export PMEDIS_SERVERS=${PMEDIS_SERVERS:-$work/servers}
"$(dirname "$0")/../ci/servers" redis-8.0.6 valkey-8.0.1 valkey-8.1.1 valkey-9.1.2 >/dev/null
for name in redis-8.0.6 valkey-8.0.1 valkey-8.1.1 valkey-9.1.2; do
    bin=$PMEDIS_SERVERS/$name/bin
    mkdir "$work/$name"
    "$bin/redis-server" --port 0 --unixsocket "$work/$name/socket" --dir "$work/$name" --save '' \
        --loadmodule "$work/scope.so" --logfile "$work/$name/log" >/dev/null &
    pid=$!
    for _ in $(seq 600); do
        [ ! -S "$work/$name/socket" ] || break
        sleep 0.1
    done
    echo "$name: $("$bin/redis-cli" -s "$work/$name/socket" SCOPE.FREE)" | tee -a "$work/seen"
    kill -9 "$pid" && wait "$pid" 2>/dev/null || true
    pid=
done
[ "$(cat "$work/seen")" = "redis-8.0.6: libjemalloc.so.2, libjemalloc.so.2
valkey-8.0.1: libjemalloc.so.2, libjemalloc.so.2
valkey-8.1.1: libc.so.6, libjemalloc.so.2
valkey-9.1.2: libc.so.6, libjemalloc.so.2" ] || { echo "the servers behave otherwise now" >&2; exit 1; }
