#!/usr/bin/env bash
# rsync 3.2.7: with --fsync --remove-source-files the source is deleted while the target may be on disk under its temporary name only.
#
# --fsync has the receiver sync "each finished file", to "provide peace of mind when updating critical files". The file is synced under its
# temporary name, .NAME.XXXXXX, and renamed afterwards, but the directory is never synced, neither then nor at the end, nor
# are directories that rsync has made. So with exit code 0 the update may not have happened after a power failure. With
# --remove-source-files, which moves files, the source is unlinked right after the rename: on another file system that may be on disk
# before the rename is, and a file of a name that no one looks for, and that the next rsync --delete removes, is all that is left.
#
# Seen, in the order of the calls:
#   receiver: fsync of dir/.file.XXXXXX
#   receiver: rename of dir/.file.XXXXXX to dir/file
#   sender: unlink of dir/file
#   calls of fsync, fdatasync, sync and syncfs in all: 1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# With all that they depend on; the C library is the machine's.
mkdir -p cache/archives/partial
: > status
apt-get install -qq -y --download-only --no-install-recommends -o Dir::State::status="$work/status" \
    -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" rsync=3.2.7-1+deb12u6 strace=6.1-0.1 >/dev/null 2>&1
rm cache/archives/libc6_*.deb
for package in cache/archives/rsync_*.deb cache/archives/strace_*.deb cache/archives/lib*.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu

mkdir -p from/dir to
echo contents > from/dir/file
root/usr/bin/strace -f -y -e trace=fsync,fdatasync,sync,syncfs,sync_file_range,rename,renameat,renameat2,unlink,unlinkat -o calls \
    root/usr/bin/rsync --recursive --fsync --remove-source-files from/ to/
grep -q contents to/dir/file
{
    sed -nE -e 's/\.file\.[A-Za-z0-9]{6}/.file.XXXXXX/g' -e "s,$work/to/,,g" \
        -e 's/^[0-9]+ +fsync\([0-9]+<([^>]*)>.*/receiver: fsync of \1/p' \
        -e 's/^[0-9]+ +rename\("([^"]*)", "([^"]*)".*/receiver: rename of \1 to \2/p' \
        -e 's/^[0-9]+ +unlink\("([^"]*)".*/sender: unlink of \1/p' calls
    echo "calls of fsync, fdatasync, sync and syncfs in all: $(grep -cE ' (fsync|fdatasync|sync|syncfs|sync_file_range)\(' calls)"
} | tee seen
[ "$(cat seen)" = "receiver: fsync of dir/.file.XXXXXX
receiver: rename of dir/.file.XXXXXX to dir/file
sender: unlink of dir/file
calls of fsync, fdatasync, sync and syncfs in all: 1" ] || { echo "rsync behaves otherwise now" >&2; exit 1; }
