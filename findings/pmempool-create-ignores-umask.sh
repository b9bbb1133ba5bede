#!/usr/bin/env bash
# PMDK 1.12.1: `pmempool create` makes the parts of a pool readable and writable for the group and readable for all, whatever the
# umask; a pool that libpmemobj makes grow gets parts of mode 0600.
#
# With umask 077 the file of a new pool has mode 0664 all the same, and so does the first part of a poolset that is a directory.
# Parts added when such a pool grows are 0600. So the parts of one pool differ in who can read them, and a pool whose data is
# private has to be narrowed by hand after it was made.
#
# Seen (umask 077):
#   a file: 664
#   first part of a directory: 664
#   part added by growth: 600
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

version=1.12.1-2
apt-get download -qq libpmem1=$version libpmemobj1=$version libpmempool1=$version libpmemblk1=$version libpmemlog1=$version \
    libpmem-dev=$version libpmemobj-dev=$version pmdk-tools=$version libdaxctl1=76.1-1 libndctl6=76.1-1 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
libraries=$work/$(dirname "$(find root -name libpmemobj.so.1)")
export LD_LIBRARY_PATH=$libraries

cat > grow.c <<'C'
#include <libpmemobj.h>

/* Allocates until the pool has grown once. */
int main(int argc, char **argv)
{
	PMEMobjpool *pop = pmemobj_open(argv[1], "grow");
	for (int i = 0; pop != NULL && i < 20; i++)
		if (pmemobj_alloc(pop, NULL, 1 << 20, 1, NULL, NULL) != 0)
			return 1;
	return pop == NULL;
}
C
gcc -Iroot/usr/include grow.c -o grow -L"$libraries" -l:libpmemobj.so.1 -Wl,-rpath-link,"$libraries"

umask 077
root/usr/bin/pmempool create --layout grow --size 16M obj file
mkdir parts
printf 'PMEMPOOLSET\nOPTION SINGLEHDR\n512M %s\n' "$work/parts" > set
root/usr/bin/pmempool create --layout grow obj set
first=$(ls parts | head -n 1)
./grow set
second=$(ls parts | grep -v "$first" | head -n 1)
{
    echo "a file: $(stat -c %a file)"
    echo "first part of a directory: $(stat -c %a "parts/$first")"
    echo "part added by growth: $(stat -c %a "parts/$second")"
} | tee seen
[ "$(cat seen)" = "a file: 664
first part of a directory: 664
part added by growth: 600" ] || { echo "pmempool behaves otherwise now" >&2; exit 1; }
