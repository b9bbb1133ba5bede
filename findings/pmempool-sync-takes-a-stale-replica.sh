#!/usr/bin/env bash
# PMDK 1.12.1: `pmempool sync` and `pmempool check` take a replica that missed changes as a good one.
#
# A poolset has a local replica. The replica's file is set aside, the pool goes on and writes a word, and the old file is put
# back, as a restored backup or a disk that was away for a while would be. `pmempool check` calls the set consistent. Then the
# first part is lost, and `pmempool sync` rebuilds it from the replica without a word: the pool opens, and the
# word is the old one. Headers are compared, contents are not, so whoever keeps replicas has to know by other means
# which one is newest before the pool is opened.
#
# Seen:
#   after the write: 2
#   check with the stale replica: consistent
#   sync after the loss of the first part: done
#   after sync: 1
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
pmempool=root/usr/bin/pmempool

cat > word.c <<'C'
#include <libpmemobj.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* word SET [NUMBER]: stores the number in the root object, or prints what is there. */
int main(int argc, char **argv)
{
	PMEMobjpool *pop = pmemobj_open(argv[1], "word");
	if (pop == NULL) {
		printf("%s\n", pmemobj_errormsg());
		return 1;
	}
	uint64_t *word = pmemobj_direct(pmemobj_root(pop, sizeof(*word)));
	if (argc > 2) {
		*word = strtoull(argv[2], NULL, 10);
		pmemobj_persist(pop, word, sizeof(*word));
	} else {
		printf("%lu\n", *word);
	}
	pmemobj_close(pop);
	return 0;
}
C
gcc -Iroot/usr/include word.c -o word -L"$libraries" -l:libpmemobj.so.1 -Wl,-rpath-link,"$libraries"

printf 'PMEMPOOLSET\n16M %s\nREPLICA\n16M %s\n' "$work/first" "$work/replica" > set
$pmempool create --layout word obj set
./word set 1
cp replica stale
./word set 2
echo "after the write: $(./word set)" | tee seen
cp stale replica
$pmempool check set > /dev/null && echo "check with the stale replica: consistent" | tee -a seen
rm first
$pmempool sync set && echo "sync after the loss of the first part: done" | tee -a seen
echo "after sync: $(./word set)" | tee -a seen
[ "$(cat seen)" = "after the write: 2
check with the stale replica: consistent
sync after the loss of the first part: done
after sync: 1" ] || { echo "pmempool behaves otherwise now" >&2; exit 1; }
