#!/usr/bin/env bash
# Valkey 9.1.2: MONITOR and SLOWLOG show a script's command as it was before a module's command filter rewrote it.
#
# A command filter may replace the words of a command before the server looks it up; scripts' calls pass it like clients'. Redis up to 8.6
# and Valkey up to 8.1 show what ran, wherever it came from. Valkey 9.1.2 does so for clients, and for EVAL itself, but what a script
# calls appears with the words of the script, while INFO commandstats counts the command that ran. Who feeds MONITOR to another
# server, or looks a slow command up by its name, finds a command that no server has.
#
# Seen, after ALIAS.GET k, which a filter turns into GET k, from a client and from a script: what MONITOR and SLOWLOG show of both, and calls of GET
#   redis-8.0.6: MONITOR GET GET, SLOWLOG GET GET, calls 2
#   redis-8.6.2: MONITOR GET GET, SLOWLOG GET GET, calls 2
#   valkey-8.1.1: MONITOR GET GET, SLOWLOG GET GET, calls 2
#   valkey-9.1.2: MONITOR GET alias.get, SLOWLOG GET alias.get, calls 2
set -euo pipefail
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

cat > "$work/alias.c" <<'C'
#include <strings.h>

/* The API functions by their names: they are the same in all these servers. */
static void *(*create_string)(void *ctx, const char *text, unsigned long length);
static void *(*argument)(void *filter, int position);
static int (*replace)(void *filter, int position, void *string);
static const char *(*text_of)(void *string, unsigned long *length);

static void rename_alias(void *filter)
{
	unsigned long length;
	const char *name = text_of(argument(filter, 0), &length);
	if (length == 9 && strncasecmp(name, "alias.get", 9) == 0)
		replace(filter, 0, create_string(0, "GET", 3));
}

int RedisModule_OnLoad(void *ctx, void **argv, int argc)
{
	(void)argv, (void)argc;
	int (*get_api)(const char *, void *) = ((void **)ctx)[0];
	void (*attributes)(void *, const char *, int, int);
	void *(*add_filter)(void *ctx, void (*filter)(void *), int flags);
	if (get_api("RedisModule_SetModuleAttribs", &attributes) != 0 ||
	    get_api("RedisModule_CreateString", &create_string) != 0 ||
	    get_api("RedisModule_CommandFilterArgGet", &argument) != 0 ||
	    get_api("RedisModule_CommandFilterArgReplace", &replace) != 0 ||
	    get_api("RedisModule_StringPtrLen", &text_of) != 0 ||
	    get_api("RedisModule_RegisterCommandFilter", &add_filter) != 0)
		return 1;
	attributes(ctx, "alias", 1, 1);
	return add_filter(ctx, rename_alias, 0) == 0;
}
C
gcc -shared -fPIC "$work/alias.c" -o "$work/alias.so"

export PMEDIS_SERVERS=${PMEDIS_SERVERS:-$work/servers}
"$(dirname "$0")/../ci/servers" redis-8.0.6 redis-8.6.2 valkey-8.1.1 valkey-9.1.2 >/dev/null
for name in redis-8.0.6 redis-8.6.2 valkey-8.1.1 valkey-9.1.2; do
    bin=$PMEDIS_SERVERS/$name/bin
    mkdir "$work/$name"
    "$bin/redis-server" --port 0 --unixsocket "$work/$name/socket" --dir "$work/$name" --save '' \
        --slowlog-log-slower-than 0 --loadmodule "$work/alias.so" --logfile "$work/$name/log" >/dev/null &
    pid=$!
    for _ in $(seq 600); do
        [ ! -S "$work/$name/socket" ] || break
        sleep 0.1
    done
    cli() { "$bin/redis-cli" -s "$work/$name/socket" "$@"; }
    mkfifo "$work/$name/stop"
    # MONITOR's connection stays open until the line comes.
    { echo MONITOR; read -r _ < "$work/$name/stop"; } | cli > "$work/$name/monitor" 2>/dev/null &
    until grep -q OK "$work/$name/monitor"; do sleep 0.1; done
    cli SET k v >/dev/null
    cli ALIAS.GET k >/dev/null
    cli EVAL "return redis.call('alias.get', 'k')" 0 >/dev/null
    until grep -q '\[0 lua\]' "$work/$name/monitor"; do sleep 0.1; done
    slow=$(cli --json SLOWLOG GET 10 | grep -io '"\(alias.\)\?get","k"' | tac | cut -d'"' -f2 | tr '\n' ' ')
    seen=$(grep -io '"\(alias.\)\?get"' "$work/$name/monitor" | tr -d '"' | tr '\n' ' ')
    calls=$(cli INFO commandstats | sed -n 's/^cmdstat_get:calls=\([0-9]*\),.*/\1/p')
    echo "$name: MONITOR ${seen% }, SLOWLOG ${slow% }, calls $calls" | tee -a "$work/seen"
    echo > "$work/$name/stop"
    kill -9 "$pid" && wait "$pid" 2>/dev/null || true
    pid=
done
[ "$(cat "$work/seen")" = "redis-8.0.6: MONITOR GET GET, SLOWLOG GET GET, calls 2
redis-8.6.2: MONITOR GET GET, SLOWLOG GET GET, calls 2
valkey-8.1.1: MONITOR GET GET, SLOWLOG GET GET, calls 2
valkey-9.1.2: MONITOR GET alias.get, SLOWLOG GET alias.get, calls 2" ] || { echo "the servers behave otherwise now" >&2; exit 1; }
