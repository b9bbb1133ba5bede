#!/usr/bin/env bash
# libpmemobj 1.12.1: freeing many objects as one atomic step needs free room in the pool.
#
# A pool is filled with objects of 300,000 bytes until an allocation fails. pmemobj_defer_free collects frees, which
# pmemobj_publish makes durable together. In the full pool a publish of 80 frees fails, and nothing is freed: what does
# not fit into the log that each lane has goes to further log room, which libpmemobj takes from the same heap, and there is
# none. 20 frees in one publish fit, and any number can be freed one by one. So an application that promises that
# deletions always work has to free in small portions, or keep room of its own for this.
#
# Seen (pool of 64 MiB):
#   publish of 80 frees: failed: Cannot allocate memory
#   publish of 20 frees: done
#   60 frees one by one: 60 done
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

version=1.12.1-2
apt-get download -qq libpmem1=$version libpmemobj1=$version libpmem-dev=$version libpmemobj-dev=$version \
    libdaxctl1=76.1-1 libndctl6=76.1-1 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
libraries=$(dirname "$(find root -name libpmemobj.so.1)")

cat > full.c <<'C'
#include <errno.h>
#include <libpmemobj.h>
#include <stdio.h>
#include <string.h>

/* Frees `count` objects from objects[from] on in one publish; 0 or an errno. */
static int free_together(PMEMobjpool *pop, PMEMoid *objects, int from, int count)
{
	struct pobj_action actions[count];
	for (int i = 0; i < count; i++)
		pmemobj_defer_free(pop, objects[from + i], &actions[i]);
	if (pmemobj_publish(pop, actions, count) == 0)
		return 0;
	int error = errno;
	pmemobj_cancel(pop, actions, count);
	return error;
}

int main(int argc, char **argv)
{
	PMEMobjpool *pop = pmemobj_create(argv[1], "full", 64 << 20, 0600);
	if (pop == NULL)
		return 2;
	static PMEMoid objects[1000];
	int n = 0;
	while (n < 1000 && pmemobj_alloc(pop, &objects[n], 300000, 1, NULL, NULL) == 0)
		n++;
	/* What is left is taken by small objects. */
	static PMEMoid small[2000000];
	int filled = 0;
	for (size_t size = 100000; size >= 64; size /= 2)
		while (filled < 2000000 && pmemobj_alloc(pop, &small[filled], size, 2, NULL, NULL) == 0)
			filled++;
	for (int count = 80; count >= 20; count -= 60) {
		int error = free_together(pop, objects, 0, count);
		printf("publish of %d frees: %s%s\n", count, error ? "failed: " : "done", error ? strerror(error) : "");
	}
	int done = 0;
	for (int i = 20; i < 80; i++) {
		pmemobj_free(&objects[i]);
		done += OID_IS_NULL(objects[i]);
	}
	printf("60 frees one by one: %d done\n", done);
	pmemobj_close(pop);
	return 0;
}
C
gcc -Iroot/usr/include full.c -o full -L"$libraries" -l:libpmemobj.so.1 -Wl,-rpath-link,"$libraries"
output=$(LD_LIBRARY_PATH=$libraries ./full "$work/pool" 2>&1)
echo "$output"
[ "$output" = "publish of 80 frees: failed: Cannot allocate memory
publish of 20 frees: done
60 frees one by one: 60 done" ] || { echo "libpmemobj behaves otherwise now" >&2; exit 1; }
