#!/usr/bin/env bash
# libfabric 1.17.0, shm: a write that asks for FI_COMMIT_COMPLETE is complete before the data is in the target's memory at all.
#
# FI_COMMIT_COMPLETE is the highest level: "the result is both available and durable, in the case of power failure". fi_getinfo does not
# offer shm to who asks for it. fi_writemsg takes the flag all the same, as the target takes FI_RMA_PMEM for its memory, and does what it
# does without a flag: the write is complete once it is in a queue in shared memory, before the target has looked. With the
# lower level FI_DELIVERY_COMPLETE it waits for the target. So a program that asks for more gets less, and no error. (Where memory is
# registered with FI_MR_VIRT_ADDR the writer puts the data there itself, and the completion is no later.)
#
# Seen, by the level that a write asks for while the target's process is stopped by SIGSTOP:
#   none: complete, data not there; fi_getinfo offers shm for it
#   DELIVERY: not complete, data not there; fi_getinfo offers shm for it
#   COMMIT: complete, data not there; fi_getinfo does not offer shm for it
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# With all that it depends on; the C library is the machine's.
mkdir -p cache/archives/partial
: > status
apt-get install -qq -y --download-only --no-install-recommends -o Dir::State::status="$work/status" \
    -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" libfabric1=1.17.0-3 libfabric-dev=1.17.0-3 >/dev/null 2>&1
rm cache/archives/libc6_*.deb
for package in cache/archives/*.deb; do dpkg -x "$package" root; done
libraries=$work/root/usr/lib/x86_64-linux-gnu
ln -s "$work"/root/usr/lib/libpsm1/libpsm_infinipath.so.1.* "$libraries/libpsm_infinipath.so.1"

cat > stopped.c <<'C'
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_rma.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define OK(call) do { if ((call) != 0) { puts("failed: " #call); exit(1); } } while (0)

/* What both processes see: the word is written to through libfabric. */
static volatile struct { char word[8], name[256]; size_t length; int ready, end; } *both;
static struct fi_info *info;
static struct fid_domain *domain;
static struct fid_ep *ep;
static struct fid_cq *cq;
static struct fid_av *av;

static struct fi_info *ask(uint64_t completion)
{
	struct fi_info *hints = fi_allocinfo(), *found = NULL;
	hints->caps = FI_RMA;
	hints->tx_attr->op_flags = completion;
	hints->fabric_attr->prov_name = strdup("shm");
	return fi_getinfo(FI_VERSION(1, 17), NULL, NULL, 0, hints, &found) == 0 ? found : NULL;
}

static void open_endpoint(void)
{
	struct fid_fabric *fabric;
	struct fi_cq_attr cq_attr = {.format = FI_CQ_FORMAT_CONTEXT};
	struct fi_av_attr av_attr = {.type = FI_AV_TABLE};
	info = ask(0);
	OK(fi_fabric(info->fabric_attr, &fabric, NULL) | fi_domain(fabric, info, &domain, NULL));
	OK(fi_cq_open(domain, &cq_attr, &cq, NULL) | fi_av_open(domain, &av_attr, &av, NULL) | fi_endpoint(domain, info, &ep, NULL));
	OK(fi_ep_bind(ep, &cq->fid, FI_TRANSMIT | FI_RECV) | fi_ep_bind(ep, &av->fid, 0) | fi_enable(ep));
}

/* Serves until it is told to end; closing takes the endpoint's file in /dev/shm away. */
static int serve(void)
{
	struct fid_mr *region;
	struct fi_cq_entry entry;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	OK(fi_mr_reg(domain, (void *)both->word, 8, FI_REMOTE_WRITE, 0, 1, FI_RMA_PMEM, &region, NULL));
	both->length = sizeof both->name;
	OK(fi_getname(&ep->fid, (void *)both->name, (size_t *)&both->length));
	for (both->ready = 1; !both->end; usleep(1000))
		fi_cq_read(cq, &entry, 1);
	return fi_close(&ep->fid);
}

/* Writes a word; whether it is complete within so many seconds. */
static int write_word(char *word, fi_addr_t peer, uint64_t flags, int seconds)
{
	struct iovec part = {word, 6};
	struct fi_rma_iov there = {0, 6, 1};
	struct fi_msg_rma message = {&part, NULL, 1, peer, &there, 1, NULL, 0};
	struct fi_cq_entry entry;
	int posted = 0;
	for (int i = 0; i < seconds * 1000; i++, usleep(1000)) {
		posted = posted || fi_writemsg(ep, &message, flags | FI_COMPLETION) == 0;
		if (fi_cq_read(cq, &entry, 1) == 1)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t flags = argv[1][0] == 'D' ? FI_DELIVERY_COMPLETE : argv[1][0] == 'C' ? FI_COMMIT_COMPLETE : 0;
	fi_addr_t peer;
	both = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child = fork();
	open_endpoint();
	if (child == 0)
		return serve();
	while (!both->ready)
		usleep(1000);
	OK(fi_av_insert(av, (void *)both->name, 1, &peer, 0, NULL) != 1);
	OK(!write_word("first", peer, FI_DELIVERY_COMPLETE, 60));
	kill(child, SIGSTOP);
	waitpid(child, NULL, WUNTRACED);
	int complete = write_word("later", peer, flags, 2);
	printf("%scomplete, data %sthere; fi_getinfo %s shm for it\n", complete ? "" : "not ", both->word[0] == 'l' ? "" : "not ",
		ask(flags) != NULL ? "offers" : "does not offer");
	both->end = 1;
	kill(child, SIGCONT);
	waitpid(child, NULL, 0);
	return fi_close(&ep->fid);
}
C
gcc -w -Iroot/usr/include stopped.c -o stopped -L"$libraries" -l:libfabric.so.1 -Wl,--unresolved-symbols=ignore-in-shared-libs
export LD_LIBRARY_PATH=$libraries:$work/root/lib/x86_64-linux-gnu
for level in none DELIVERY COMMIT; do echo "$level: $(timeout 120 ./stopped $level)"; done | tee seen
[ "$(cat seen)" = "none: complete, data not there; fi_getinfo offers shm for it
DELIVERY: not complete, data not there; fi_getinfo offers shm for it
COMMIT: complete, data not there; fi_getinfo does not offer shm for it" ] || { echo "libfabric behaves otherwise now" >&2; exit 1; }
