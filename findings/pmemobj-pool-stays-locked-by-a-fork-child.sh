#!/usr/bin/env bash
# libpmemobj 1.12.1: a pool cannot be opened while a forked child of the process that had it open still runs, which may long be dead.
#
# The lock that keeps a second process out is a flock of the pool's file. A child that was forked shares it, without having opened
# anything, and keeps it when the parent ends. A database that saves from forked children, as Redis does, therefore cannot
# restart after a crash until an orphan has finished writing a file that nobody wants any more; the error speaks of the file, not of the
# child. The child has to give the lock up by closing descriptors that libpmemobj keeps to itself, or to end with its parent.
#
# Seen:
#   parent dead, its child alive: flock: Resource temporarily unavailable
#   child ended: opens
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

version=1.12.1-2
apt-get download -qq libpmem1=$version libpmemobj1=$version libpmem-dev=$version libpmemobj-dev=$version \
    libdaxctl1=76.1-1 libndctl6=76.1-1 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
libraries=$(dirname "$(find root -name libpmemobj.so.1)")

cat > parent.c <<'C'
#include <libpmemobj.h>
#include <stdio.h>
#include <unistd.h>

/* Makes a pool, forks a child that waits for the end of its standard input, and ends without closing the pool. */
int main(int argc, char **argv)
{
	if (pmemobj_create(argv[1], "lock", PMEMOBJ_MIN_POOL, 0600) == NULL)
		return 2;
	char byte;
	if (fork() == 0)
		_exit(read(0, &byte, 1) != 0);
	_exit(0);
}
C
cat > opens.c <<'C'
#include <libpmemobj.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	PMEMobjpool *pop = pmemobj_open(argv[1], "lock");
	puts(pop ? "opens" : pmemobj_errormsg());
	if (pop)
		pmemobj_close(pop);
	return 0;
}
C
for program in parent opens; do
    gcc -Iroot/usr/include $program.c -o $program -L"$libraries" -l:libpmemobj.so.1 -Wl,-rpath-link,"$libraries"
done
export LD_LIBRARY_PATH=$libraries
mkfifo line
exec 3<> line
./parent pool < line
echo "parent dead, its child alive: $(./opens pool | sed 's/ "pool"//')" | tee seen
echo >&3
for _ in $(seq 100); do
    answer=$(./opens pool)
    [ "$answer" != opens ] || break
    sleep 0.05
done
echo "child ended: $answer" | tee -a seen
[ "$(cat seen)" = "parent dead, its child alive: flock: Resource temporarily unavailable
child ended: opens" ] || { echo "libpmemobj behaves otherwise now" >&2; exit 1; }
