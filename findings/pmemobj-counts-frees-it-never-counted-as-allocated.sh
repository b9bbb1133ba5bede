#!/usr/bin/env bash
# libpmemobj 1.12.1: the count of allocated bytes goes below zero, for good, once statistics are turned on in a pool that has objects.
#
# stats.heap.curr_allocated is kept on media, but only while stats.enabled is set, and by default it is not. Objects that were
# allocated before are not in the count; freeing them takes their bytes out of it all the same. The unsigned number wraps, is stored, and is
# what every later program reads, whether it turns statistics on or not. So whoever wants to know how full a pool is has to turn
# them on before the first allocation of the pool's life and in every program that opens it, or count for himself.
#
# Seen, ten objects of 100,000 bytes:
#   statistics on, ten objects are there: 0
#   all are freed: 18446744073708549376
#   after closing and opening: 18446744073708549376
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

version=1.12.1-2
apt-get download -qq libpmem1=$version libpmemobj1=$version libpmem-dev=$version libpmemobj-dev=$version \
    libdaxctl1=76.1-1 libndctl6=76.1-1 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
libraries=$(dirname "$(find root -name libpmemobj.so.1)")

cat > count.c <<'C'
#include <libpmemobj.h>
#include <stdio.h>

static void show(PMEMobjpool *pop, const char *when)
{
	uint64_t bytes = 0;
	if (pmemobj_ctl_get(pop, "stats.heap.curr_allocated", &bytes) == 0)
		printf("%s: %lu\n", when, bytes);
}

int main(int argc, char **argv)
{
	PMEMoid objects[10];
	PMEMobjpool *pop = pmemobj_create(argv[1], "count", 64 << 20, 0600);
	if (pop == NULL)
		return 2;
	for (int i = 0; i < 10; i++)
		if (pmemobj_alloc(pop, &objects[i], 100000, 1, NULL, NULL) != 0)
			return 3;
	enum pobj_stats_enabled on = POBJ_STATS_ENABLED_BOTH;
	if (pmemobj_ctl_set(pop, "stats.enabled", &on) != 0)
		return 4;
	show(pop, "statistics on, ten objects are there");
	for (int i = 0; i < 10; i++)
		pmemobj_free(&objects[i]);
	show(pop, "all are freed");
	pmemobj_close(pop);
	pop = pmemobj_open(argv[1], "count");
	if (pop == NULL)
		return 5;
	show(pop, "after closing and opening");
	pmemobj_close(pop);
	return 0;
}
C
gcc -Iroot/usr/include count.c -o count -L"$libraries" -l:libpmemobj.so.1 -Wl,-rpath-link,"$libraries"
output=$(LD_LIBRARY_PATH=$libraries ./count "$work/pool" 2>&1)
echo "$output"
[ "$output" = "statistics on, ten objects are there: 0
all are freed: 18446744073708549376
after closing and opening: 18446744073708549376" ] || { echo "libpmemobj behaves otherwise now" >&2; exit 1; }
