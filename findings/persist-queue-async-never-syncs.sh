#!/usr/bin/env bash
# persist-queue 1.1.0: AsyncQueue never has anything synced, where Queue syncs each full chunk: the method it calls for that does not exist.
#
# Queue keeps its items in files of chunksize items, and calls os.fsync on each before it begins the next: that was added after a hard
# reset had left a queue that could not be read. AsyncQueue is given as its asynchronous version, with the same files. There the sync is
# `await self.headf.fsync()` with `except AttributeError: pass` around it, and the files come from aiofiles, which has no fsync. So not one
# is ever synced, and nothing tells of it: whoever goes over to the asynchronous queue loses the guarantee with no change of options.
#
# Seen, calls of fsync for 35 items in chunks of ten, by strace:
#   Queue: 3 of 35 items
#   AsyncQueue: 0 of 35 items
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

apt-get download -qq strace=6.1-0.1 libunwind8=1.6.2-3 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target packages \
    persist-queue==1.1.0 aiofiles==24.1.0

cat > put.py <<'PYTHON'
import asyncio, sys

sys.path.insert(0, "packages")
import persistqueue

async def put_all():
    queue = persistqueue.AsyncQueue("AsyncQueue", chunksize=10)
    for i in range(35):
        await queue.put(i)
    print(await queue.qsize())
    await queue.close()

if sys.argv[1] == "AsyncQueue":
    asyncio.run(put_all())
else:
    queue = persistqueue.Queue("Queue", chunksize=10)
    for i in range(35):
        queue.put(i)
    print(queue.qsize())
PYTHON

python=$(python3 -c 'import sys; print(sys.executable)')
for kind in Queue AsyncQueue; do
    size=$(LD_LIBRARY_PATH=root/usr/lib/x86_64-linux-gnu root/usr/bin/strace -E LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}" \
        -f -e trace=fsync,fdatasync,sync_file_range,sync,syncfs -o calls "$python" put.py $kind)
    echo "$kind: $(grep -cE 'sync[a-z_]*\(' calls) of $size items"
done | tee seen
[ "$(cat seen)" = "Queue: 3 of 35 items
AsyncQueue: 0 of 35 items" ] || { echo "persist-queue behaves otherwise now" >&2; exit 1; }
