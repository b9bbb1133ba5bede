#!/usr/bin/env bash
# LMDB 0.9.24: a backup made with mdb_copy (mdb_env_copy) is never synced, although every commit of the database was.
#
# A commit in LMDB ends with fdatasync. mdb_copy, the way to back up an environment that is in use, writes its file with O_DIRECT, closes it
# and exits with 0: no fsync of the file, none of its directory, with or without -c. O_DIRECT passes the page cache, but the new file's
# length and name, and what the disk keeps in its own cache, are not on the medium yet. Neither the manual nor the
# API's description says so. Whoever removes an older backup, or the database, on the word of the exit code has to sync first.
# SQLite's .backup, which does the same job, syncs the copy before it returns.
#
# Seen, calls of fsync, fdatasync or msync, and files opened with O_SYNC or O_DSYNC, by strace:
#   mdb_load of one record: 1 or more
#   mdb_copy: 0
#   mdb_copy -c: 0
#   sqlite3 .backup: 1 or more
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

apt-get download -qq lmdb-utils=0.9.24-1 strace=6.1-0.1 libunwind8=1.6.2-3 sqlite3=3.40.1-2+deb12u2 libsqlite3-0=3.40.1-2+deb12u2 \
    libreadline8=8.2-1.3 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
libraries=$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu
bin=root/usr/bin

# Runs a program and says how often it had something synced.
syncs() {
    local what=$1 calls
    shift
    LD_LIBRARY_PATH=$libraries $bin/strace -f -e trace=fsync,fdatasync,msync,sync_file_range,sync,syncfs,open,openat -o calls "$@"
    calls=$(grep -cE '(sync|sync_file_range|syncfs)\(|O_D?SYNC' calls || true)
    [ "$calls" -eq 0 ] || calls="1 or more"
    echo "$what: $calls" | tee -a seen
}

mkdir database copy compacted
printf 'VERSION=3\nformat=print\ntype=btree\nmapsize=10485760\nHEADER=END\n key\n value\nDATA=END\n' > dump
syncs "mdb_load of one record" $bin/mdb_load -f dump database
syncs "mdb_copy" $bin/mdb_copy database copy
syncs "mdb_copy -c" $bin/mdb_copy -c database compacted
LD_LIBRARY_PATH=$libraries $bin/sqlite3 sqlite 'CREATE TABLE t (k, v); INSERT INTO t VALUES (1, 2)'
syncs "sqlite3 .backup" $bin/sqlite3 sqlite '.backup backup'
for backup in copy compacted; do
    LD_LIBRARY_PATH=$libraries $bin/mdb_dump -p $backup | grep -q '^ value$' || { echo "$backup is no backup" >&2; exit 1; }
done
[ "$(cat seen)" = "mdb_load of one record: 1 or more
mdb_copy: 0
mdb_copy -c: 0
sqlite3 .backup: 1 or more" ] || { echo "LMDB behaves otherwise now" >&2; exit 1; }
