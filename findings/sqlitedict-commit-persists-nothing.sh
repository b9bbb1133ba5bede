#!/usr/bin/env bash
# sqlitedict 2.1.0: commit(), described as "Persist all data to disk", never has the disk synced, nor does close().
#
# The dictionary keeps its items in SQLite, whose own default is to sync a commit. sqlitedict sets PRAGMA synchronous=OFF
# for each connection; it is not said in its documentation, and no option changes it: journal_mode is the only one. commit(blocking=True) is
# described as returning when the data has actually persisted to disk, and close() likewise. SQLite's documentation says of this
# pragma that a power failure may corrupt the database, so it is not only the last commits that are at stake.
#
# Seen, calls of fsync, fdatasync or msync for five commits and closing, by strace:
#   sqlite3 of Python: 1 or more
#   sqlitedict, journal_mode DELETE: 0
#   sqlitedict, journal_mode WAL: 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

apt-get download -qq strace=6.1-0.1 libunwind8=1.6.2-3 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target packages sqlitedict==2.1.0

cat > keep.py <<'PYTHON'
import os, sqlite3, sys

sys.path.insert(0, "packages")
from sqlitedict import SqliteDict

mode = sys.argv[1]
if mode == "plain":
    connection = sqlite3.connect("plain")
    connection.execute("CREATE TABLE t (k, v)")
    os.chdir(".")  # marks the place in the trace
    for i in range(5):
        connection.execute("INSERT INTO t VALUES (?, ?)", (i, "value"))
        connection.commit()
    connection.close()
else:
    kept = SqliteDict(mode, journal_mode=mode)
    os.chdir(".")
    for i in range(5):
        kept[i] = "value"
        kept.commit(blocking=True)
    kept.close()
PYTHON

python=$(python3 -c 'import sys; print(sys.executable)')
for mode in plain DELETE WAL; do
    LD_LIBRARY_PATH=root/usr/lib/x86_64-linux-gnu root/usr/bin/strace -E LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}" \
        -f -e trace=fsync,fdatasync,msync,sync_file_range,openat,chdir -o calls "$python" keep.py $mode
    calls=$(sed '1,/chdir/d' calls | grep -cE 'sync(_file_range)?\(|O_D?SYNC' || true)
    [ "$calls" -eq 0 ] || calls="1 or more"
    case $mode in
        plain) echo "sqlite3 of Python: $calls" ;;
        *) echo "sqlitedict, journal_mode $mode: $calls" ;;
    esac
done | tee seen
[ "$(cat seen)" = "sqlite3 of Python: 1 or more
sqlitedict, journal_mode DELETE: 0
sqlitedict, journal_mode WAL: 0" ] || { echo "sqlitedict behaves otherwise now" >&2; exit 1; }
