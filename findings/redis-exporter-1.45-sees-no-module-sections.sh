#!/usr/bin/env bash
# redis_exporter 1.45.0 (Debian's): numbers that a module adds to INFO never become metrics, although it asks for all of INFO.
#
# A module adds its section with RM_RegisterInfoFunc. The exporter asks for INFO ALL, and "all" means the server's own sections: modules'
# are in INFO everything and INFO modules only. Nothing is logged, and no option asks for more. Whoever watches a module through it
# has to bring the numbers in by another way, such as a script for -script.
#
# Seen, on Redis 8.0.6, with a module whose section has the field visits:7
#   INFO everything: widget_visits:7
#   INFO all: none
#   the exporter asks for: INFO ALL
#   metrics with connected_clients: some, with widget: none
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

cat > "$work/widget.c" <<'C'
static void (*add_section)(void *ctx, const char *name);
static void (*add_number)(void *ctx, const char *name, long long value);

static void tell(void *ctx, int for_crash)
{
	(void)for_crash;
	add_section(ctx, "");
	add_number(ctx, "visits", 7);
}

int RedisModule_OnLoad(void *ctx, void **argv, int argc)
{
	(void)argv, (void)argc;
	int (*get_api)(const char *, void *) = ((void **)ctx)[0];
	void (*attributes)(void *, const char *, int, int);
	int (*add_info)(void *ctx, void (*tell)(void *, int));
	if (get_api("RedisModule_SetModuleAttribs", &attributes) != 0 ||
	    get_api("RedisModule_InfoAddSection", &add_section) != 0 ||
	    get_api("RedisModule_InfoAddFieldLongLong", &add_number) != 0 ||
	    get_api("RedisModule_RegisterInfoFunc", &add_info) != 0)
		return 1;
	attributes(ctx, "widget", 1, 1);
	return add_info(ctx, tell);
}
C
gcc -shared -fPIC "$work/widget.c" -o "$work/widget.so"

export PMEDIS_SERVERS=${PMEDIS_SERVERS:-$work/servers}
"$(dirname "$0")/../ci/servers" redis-8.0.6 >/dev/null
bin=$PMEDIS_SERVERS/redis-8.0.6/bin
(cd "$work" && apt-get download -qq prometheus-redis-exporter=1.45.0-2+b4 2>/dev/null && dpkg -x prometheus-redis-exporter_*.deb exporter)

"$bin/redis-server" --port 0 --unixsocket "$work/socket" --dir "$work" --save '' \
    --slowlog-log-slower-than 0 --loadmodule "$work/widget.so" --logfile "$work/log" >/dev/null &
pids+=($!)
until [ -S "$work/socket" ]; do sleep 0.1; done
# A port that is taken ends the exporter: then another one is tried.
while :; do
    port=$((20000 + RANDOM % 10000))
    "$work/exporter/usr/bin/prometheus-redis-exporter" -redis.addr "unix://$work/socket" \
        -web.listen-address "127.0.0.1:$port" 2> "$work/exporter.log" &
    exporter=$!
    pids+=("$exporter")
    while kill -0 "$exporter" 2>/dev/null; do
        if { exec 3<> "/dev/tcp/127.0.0.1/$port"; } 2>/dev/null; then break 2; fi
        sleep 0.1
    done
done
printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
cat <&3 > "$work/metrics"

some() { if grep -q "$1" "$2"; then echo some; else echo none; fi; }
cli() { "$bin/redis-cli" -s "$work/socket" "$@" | tr -d '\r'; }
{
    echo "INFO everything: $(cli INFO everything | grep widget_visits)"
    echo "INFO all: $(cli INFO all | grep widget_visits || echo none)"
    echo "the exporter asks for: $(cli --json SLOWLOG GET 100 | grep -o '"INFO","[A-Z]*"' | tr -d '"' | tr ',' ' ' | sort -u)"
    echo "metrics with connected_clients: $(some '^redis_connected_clients ' "$work/metrics"), with widget: $(some '^[^#].*widget' "$work/metrics")"
} | tee "$work/seen"
[ "$(cat "$work/seen")" = "INFO everything: widget_visits:7
INFO all: none
the exporter asks for: INFO ALL
metrics with connected_clients: some, with widget: none" ] || { echo "they behave otherwise now" >&2; exit 1; }
