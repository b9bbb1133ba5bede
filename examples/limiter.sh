#!/bin/sh
# A rate limiter with redis-cli: at most LIMIT requests per user and hour, whatever happens to the server meanwhile.
#
#     REDIS_URL=redis://127.0.0.1:6379 sh limiter.sh
#
# Prints a line for each request, and at the end how many were let through.
set -eu
url=${REDIS_URL:-redis://127.0.0.1:6379}
limit=${LIMIT:-40}
requests=${REQUESTS:-60}

# Counts and limits in one step. Each request has a name, so that it can be sent again if its reply was lost.
script='
if redis.call("SADD", KEYS[1], ARGV[1]) == 1 then
    redis.call("EXPIRE", KEYS[1], 3600, "NX")
    if redis.call("SCARD", KEYS[1]) > tonumber(ARGV[2]) then
        redis.call("SREM", KEYS[1], ARGV[1])
    end
end
return redis.call("SISMEMBER", KEYS[1], ARGV[1])'

allowed=0
number=0
while [ "$number" -lt "$requests" ]; do
    number=$((number + 1))
    until answer=$(redis-cli -u "$url" EVAL "$script" 1 limit:anna "request-$number" "$limit" 2>/dev/null) &&
        { [ "$answer" = 0 ] || [ "$answer" = 1 ]; }; do
        sleep 0.05
    done
    allowed=$((allowed + answer))
    echo "request $number: $answer"
done
[ "$allowed" = "$limit" ] || { echo "$allowed requests were let through, not $limit" >&2; exit 1; }
[ "$(redis-cli -u "$url" TTL limit:anna)" -gt 0 ]
echo "$allowed of $requests requests were let through"
