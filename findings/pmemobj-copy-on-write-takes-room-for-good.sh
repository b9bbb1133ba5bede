#!/usr/bin/env bash
# libpmemobj 1.12.1: a pool that grows while it is open copy-on-write never gets the new room.
#
# With copy_on_write.at_open a pool can be tried out: the manual says that all changes are reverted when it is closed. A pool of a
# directory grows by files, though, and those are made for real. They stay and count against the size that the set has been given, but
# the heap, whose growth has been reverted, does not know them: nothing is allocated there, and no other file is added beside them.
# The pool opens, its check is content, and it is full at its first 8 MiB. A look at the data, or the rehearsal of an upgrade, has
# cost the pool all of its growth, until someone removes the files of which the heap does not know by hand.
#
# Seen, objects of 900,000 bytes in sets of 160 MiB:
#   used as it is: holds 156 objects, in 3 files
#   after a visit copy-on-write: 0 objects, in 3 files, consistent
#   used then: holds 4 objects, in 3 files
#   without the second and third file: holds 156 objects, in 3 files
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

cat > fill.c <<'C'
#include <libpmemobj.h>
#include <stdio.h>

/* fill create|visit|count|fill SET: allocates until nothing is left, or only counts what is there. */
int main(int argc, char **argv)
{
	char what = argv[1][0];
	int on = what == 'v', objects = 0;
	if (argc != 3 || pmemobj_ctl_set(NULL, "copy_on_write.at_open", &on) != 0)
		return 1;
	PMEMobjpool *pop = argv[1][1] == 'r' ? pmemobj_create(argv[2], "fill", 0, 0600) : pmemobj_open(argv[2], "fill");
	if (pop == NULL) {
		printf("%s\n", pmemobj_errormsg());
		return 1;
	}
	PMEMoid object;
	if (what == 'v' || what == 'f')
		while (pmemobj_alloc(pop, &object, 900000, 1, NULL, NULL) == 0)
			;
	POBJ_FOREACH(pop, object)
		objects++;
	printf("%d objects", objects);
	pmemobj_close(pop);
	return 0;
}
C
gcc -Iroot/usr/include fill.c -o fill -L"$libraries" -l:libpmemobj.so.1 -Wl,-rpath-link,"$libraries"

files() { find "$1" -name '*.pmem' | wc -l; }
for set in used visited; do
    mkdir "$set"
    printf 'PMEMPOOLSET\nOPTION SINGLEHDR\n160M %s\n' "$work/$set" > "$set.set"
    ./fill create "$set.set" > made
done
echo "used as it is: holds $(./fill fill used.set), in $(files used) files" | tee seen
rm -r used
./fill visit visited.set > visit
echo "after a visit copy-on-write: $(./fill count visited.set), in $(files visited) files," \
    "$(root/usr/bin/pmempool check -v visited.set | grep -o '[a-z ]*consistent$' | sed 's/.* //')" | tee -a seen
cp -r --sparse=always visited before
echo "used then: holds $(./fill fill visited.set), in $(files visited) files" | tee -a seen
rm -r visited
mv before visited
rm visited/00000[12].pmem
echo "without the second and third file: holds $(./fill fill visited.set), in $(files visited) files" | tee -a seen
[ "$(cat seen)" = "used as it is: holds 156 objects, in 3 files
after a visit copy-on-write: 0 objects, in 3 files, consistent
used then: holds 4 objects, in 3 files
without the second and third file: holds 156 objects, in 3 files" ] || { echo "libpmemobj behaves otherwise now" >&2; exit 1; }
