#!/usr/bin/env bash
# Redis 8.6.2, Valkey 9.1.2: after CONFIG REWRITE a module is started with other arguments than before.
#
# The line loadmodule of a configuration file takes quoted words, as all lines do. CONFIG REWRITE writes the line anew from what the
# module was loaded with, and leaves the quotes away: an argument with a space comes back as two, an empty one not at all, and what
# follows moves up. The reply is OK, other lines keep their quotes in the same file, and nothing is to be seen until the next start, where
# the module takes one value for another, or refuses, which ends the server. Nobody needs to have asked for it: Sentinel sends CONFIG REWRITE
# to each server whose role it changes. Redis 8.0.6 and 8.2.3 and Valkey 8.0.1 and 8.1.1 do the same, and arguments given with MODULE LOAD
# meet the same fate. So a module should take no argument that may be empty or have a space in it; settings of its own
# (RM_RegisterStringConfig) are written with their quotes.
#
# Seen, on both:
#   loadmodule told.so greeting "good day" "" last: the module is told 4: [greeting] [good day] [] [last]
#   after CONFIG REWRITE and a restart: 4: [greeting] [good] [day] [last]
set -euo pipefail
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

cat > "$work/told.c" <<'C'
#include <stdio.h>

static char words[256];
static int (*reply)(void *ctx, const char *string);

static int tell(void *ctx, void **argv, int argc)
{
	(void)argv, (void)argc;
	return reply(ctx, words);
}

/* Keeps what it is told as "N: [word] [word] ...", for the command TOLD. */
int RedisModule_OnLoad(void *ctx, void **argv, int argc)
{
	int (*get_api)(const char *, void *) = ((void **)ctx)[0];
	void (*attributes)(void *, const char *, int, int);
	const char *(*text)(void *, size_t *);
	int (*create)(void *, const char *, int (*)(void *, void **, int), const char *, int, int, int);
	if (get_api("RedisModule_SetModuleAttribs", &attributes) != 0 ||
	    get_api("RedisModule_StringPtrLen", &text) != 0 ||
	    get_api("RedisModule_ReplyWithSimpleString", &reply) != 0 ||
	    get_api("RedisModule_CreateCommand", &create) != 0)
		return 1;
	int at = snprintf(words, sizeof(words), "%d:", argc);
	for (int n = 0; n < argc && at < (int)sizeof(words); n++)
		at += snprintf(words + at, sizeof(words) - at, " [%s]", text(argv[n], NULL));
	attributes(ctx, "told", 1, 1);
	return create(ctx, "told", tell, "readonly", 0, 0, 0);
}
C
gcc -shared -fPIC "$work/told.c" -o "$work/told.so"

export PMEDIS_SERVERS=${PMEDIS_SERVERS:-$work/servers}
servers="redis-8.6.2 valkey-9.1.2"
"$(dirname "$0")/../ci/servers" $servers >/dev/null
# start NAME: starts the server on its configuration file.
start() {
    "$PMEDIS_SERVERS/$1/bin/redis-server" "$work/$1/conf" >/dev/null &
    pid=$!
    for _ in $(seq 600); do
        [ ! -S "$work/$1/socket" ] || break
        sleep 0.1
    done
}
for name in $servers; do
    cli() { "$PMEDIS_SERVERS/$name/bin/redis-cli" -s "$work/$name/socket" "$@"; }
    mkdir "$work/$name"
    printf '%s\n' 'port 0' "unixsocket $work/$name/socket" "dir $work/$name" 'save ""' "logfile $work/$name/log" \
        "loadmodule $work/told.so greeting \"good day\" \"\" last" > "$work/$name/conf"
    start "$name"
    echo "$name: $(cli TOLD)" | tee -a "$work/seen"
    echo "  CONFIG REWRITE: $(cli CONFIG REWRITE)" | tee -a "$work/seen"
    cli SHUTDOWN NOSAVE
    wait "$pid" || true
    start "$name"
    echo "  then: $(cli TOLD)" | tee -a "$work/seen"
    kill -9 "$pid" && wait "$pid" 2>/dev/null || true
    pid=
done
for name in $servers; do
    echo "$name: 4: [greeting] [good day] [] [last]"
    echo "  CONFIG REWRITE: OK"
    echo "  then: 4: [greeting] [good] [day] [last]"
done > "$work/expected"
cmp -s "$work/seen" "$work/expected" || { echo "the servers behave otherwise now" >&2; exit 1; }
