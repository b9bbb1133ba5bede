"""A cache with redis-py: used pages stay, unused ones are evicted, and a restart does not empty it.

    REDIS_URL=redis://127.0.0.1:6379 python cache.py

The server's `maxmemory-policy` must be allkeys-lru. Prints a line for every hundred pages, and at the end what the cache
contains.
"""

import os
import redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry

PAGES = int(os.environ.get("PAGES", "4000"))
FRONT = "page:front"

client = redis.Redis.from_url(
    os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"),
    retry=Retry(ConstantBackoff(0.05), 1200),
    retry_on_error=[ConnectionError, TimeoutError, redis.BusyLoadingError],
)


def render(name):
    """Stands for something that takes long to make."""
    return (name * 700)[:8000].encode()


def page(name):
    """Gets a page, from the cache if it is there, and returns whether it was."""
    kept = client.get(name)
    if kept is not None:
        assert kept == render(name), f"{name} is another page in the cache"
        return True
    client.set(name, render(name), ex=3600)
    return False


def main():
    page(FRONT)
    misses_of_front = 0
    for number in range(PAGES):
        page(f"page:{number}")
        misses_of_front += not page(FRONT)
        if number % 100 == 99:
            print(f"shown {number + 1}", flush=True)
    assert client.dbsize() < PAGES, "nothing had to give way: the pool is larger than the pages"
    assert misses_of_front <= PAGES // 100, f"the front page gave way {misses_of_front} times"
    recent = sum(page(f"page:{number}") for number in range(PAGES - 200, PAGES))
    assert recent >= 150, f"only {recent} of the last 200 pages are in the cache"
    print(f"the cache holds {client.dbsize()} pages, {recent} of the last 200 among them")


if __name__ == "__main__":
    main()
