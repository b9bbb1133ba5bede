#!/usr/bin/env bash
# fio 3.33: with ioengine=mmap the options sync=sync and sync=dsync make no write synchronous; fio takes them and reports a rate.
#
# mmap is the engine that stands in for persistent memory on an ordinary file. sync asks for synchronous writes; the manual says that for
# the majority of engines this is O_SYNC or O_DSYNC, and does not name another way for mmap. The file is opened with that flag, but stores
# to mapped memory heed no flag of the file, and fio calls msync for none of the writes. The job
# ends without an error or a note, and its rate is that of memcpy. direct=1, which asks for less, calls msync for each write,
# and so does fsync=1.
#
# Seen, for 100 writes of 4 KiB:
#   psync, sync=dsync: opened with O_DSYNC, 0 calls of msync, 100 of pwrite
#   mmap, sync=dsync: opened with O_DSYNC, 0 calls of msync, 0 of pwrite
#   mmap, sync=sync: opened with O_SYNC, 0 calls of msync, 0 of pwrite
#   mmap, direct=1: opened with O_DIRECT, 100 calls of msync, 0 of pwrite
#   mmap, fsync=1: opened with neither, 99 calls of msync, 0 of pwrite
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# With all that they depend on; the C library is the machine's.
mkdir -p cache/archives/partial
: > status
apt-get install -qq -y --download-only --no-install-recommends -o Dir::State::status="$work/status" \
    -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" fio=3.33-3 strace=6.1-0.1 >/dev/null 2>&1
rm cache/archives/libc6_*.deb
for package in cache/archives/fio_*.deb cache/archives/strace_*.deb cache/archives/lib*.deb; do dpkg -x "$package" root; done
libraries=root/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$work/$libraries:$work/root/lib/x86_64-linux-gnu:$work/$libraries/ceph

# Writes with an engine and an option, and says what the kernel was asked for.
writes() {
    local engine=$1 option=$2 flag
    rm -f file
    root/usr/bin/strace -f -e trace=openat,msync,pwrite64 -o calls root/usr/bin/fio --name=job --filename=file --size=1M --bs=4k --rw=write \
        --number_ios=100 --thread --ioengine="$engine" --"$option" > report 2>&1 || { cat report >&2; return 1; }
    flag=$(sed -nE 's/.*"file", O_RDWR.*\|(O_DSYNC|O_SYNC|O_DIRECT).*/\1/p' calls)
    echo "$engine, $option: opened with ${flag:-neither}, $(grep -c 'msync(' calls) calls of msync, $(grep -c 'pwrite64(.*"..., 4096' calls) of pwrite"
}
{
    writes psync sync=dsync
    writes mmap sync=dsync
    writes mmap sync=sync
    writes mmap direct=1
    writes mmap fsync=1
} | tee seen
[ "$(cat seen)" = "psync, sync=dsync: opened with O_DSYNC, 0 calls of msync, 100 of pwrite
mmap, sync=dsync: opened with O_DSYNC, 0 calls of msync, 0 of pwrite
mmap, sync=sync: opened with O_SYNC, 0 calls of msync, 0 of pwrite
mmap, direct=1: opened with O_DIRECT, 100 calls of msync, 0 of pwrite
mmap, fsync=1: opened with neither, 99 calls of msync, 0 of pwrite" ] || { echo "fio behaves otherwise now" >&2; exit 1; }
