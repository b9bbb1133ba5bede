#!/usr/bin/env bash
# libpmemobj 1.12.1: pmemobj_defrag moves objects out of the allocation class that they were made in: alignment is lost, and size gained.
#
# A class made with heap.alloc_class.new.desc gives its objects an alignment and, with the header type "none", lets them take no
# more than their size. pmemobj_defrag picks the new place of an object by its size alone, among the library's own classes, where
# an object begins 16 bytes behind the start of its unit. So pages that were aligned for O_DIRECT, or lines for SIMD, no longer are
# once their run is half empty, and objects of 64 bytes take 128 each after a call that was to save room. It returns 0; the manual lists
# pmemobj_xalloc among the calls whose objects it moves, and says nothing of this, neither there nor with the classes.
#
# Seen, 250 objects left of 1,000:
#   class of 4096: 250 aligned, of 4096 bytes; 250 moved: 0 aligned, of 4144 bytes
#   class of 64: 250 aligned, of 64 bytes; 250 moved: 0 aligned, of 112 bytes
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

version=1.12.1-2
apt-get download -qq libpmem1=$version libpmemobj1=$version libpmem-dev=$version libpmemobj-dev=$version \
    libdaxctl1=76.1-1 libndctl6=76.1-1 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
libraries=$work/$(dirname "$(find root -name libpmemobj.so.1)")
export LD_LIBRARY_PATH=$libraries
# Nothing here has to survive a power cut: no waiting for the disk.
export PMEM_IS_PMEM_FORCE=1

cat > defrag.c <<'C'
#include <libpmemobj.h>
#include <stdio.h>
#include <stdlib.h>

#define OBJECTS 1000
#define LEFT (OBJECTS / 4)

static void tell(PMEMoid *objects, size_t alignment)
{
	size_t aligned = 0, bytes = 0;
	for (int n = 0; n < OBJECTS; n += 4) {
		aligned += (size_t)pmemobj_direct(objects[n]) % alignment == 0;
		bytes += pmemobj_alloc_usable_size(objects[n]);
	}
	printf("%zu aligned, of %zu bytes", aligned, bytes / LEFT);
}

/* defrag POOL SIZE: makes objects of the size, aligned to it, frees three of four and defragments the rest. */
int main(int argc, char **argv)
{
	struct pobj_alloc_class_desc class = {0};
	class.unit_size = class.alignment = strtoul(argv[argc - 1], NULL, 10);
	class.units_per_block = 100;
	class.header_type = POBJ_HEADER_NONE;
	PMEMobjpool *pop = pmemobj_create(argv[1], "defrag", 32 << 20, 0600);
	if (pop == NULL || pmemobj_ctl_set(pop, "heap.alloc_class.new.desc", &class) != 0) {
		printf("%s\n", pmemobj_errormsg());
		return 1;
	}
	PMEMoid *objects = pmemobj_direct(pmemobj_root(pop, OBJECTS * sizeof(*objects)));
	for (int n = 0; n < OBJECTS; n++)
		if (pmemobj_xalloc(pop, &objects[n], class.unit_size, 0, POBJ_CLASS_ID(class.class_id), NULL, NULL) != 0)
			return 1;
	PMEMoid *left[LEFT];
	for (int n = 0; n < OBJECTS; n++)
		if (n % 4 == 0)
			left[n / 4] = &objects[n];
		else
			pmemobj_free(&objects[n]);
	printf("class of %zu: ", class.unit_size);
	tell(objects, class.alignment);
	struct pobj_defrag_result result;
	if (pmemobj_defrag(pop, left, LEFT, &result) != 0)
		return 1;
	printf("; %zu moved: ", result.relocated);
	tell(objects, class.alignment);
	printf("\n");
	pmemobj_close(pop);
	return 0;
}
C
gcc -Iroot/usr/include defrag.c -o defrag -L"$libraries" -l:libpmemobj.so.1 -Wl,-rpath-link,"$libraries"

for size in 4096 64; do ./defrag "pool-$size" "$size"; done | tee seen
[ "$(cat seen)" = "class of 4096: 250 aligned, of 4096 bytes; 250 moved: 0 aligned, of 4144 bytes
class of 64: 250 aligned, of 64 bytes; 250 moved: 0 aligned, of 112 bytes" ] || { echo "libpmemobj behaves otherwise now" >&2; exit 1; }
