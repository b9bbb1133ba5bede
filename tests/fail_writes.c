/* Preloaded into a server. While the file FAIL_WRITES is there, what it holds is done:
 *   NUMBER   writes to journals, and syncs of them, fail with the error of this number
 *   cNUMBER  writes to pools, and syncs of them, fail so: what checkpoints do
 *   mNUMBER  one sync of a pool by the main thread fails so, and the file FAIL_WRITES is removed
 *   rNUMBER  the writing out of parts of pools fails so
 *   wNUMBER  writes to journals take so many milliseconds longer
 *   sNUMBER  syncs of all other files take so many milliseconds longer */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int has_in_its_path(int fd, const char *part) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0) return 0;
    path[len] = 0;
    return strstr(path, part) != NULL;
}

static int is_journal(int fd) {
    return has_in_its_path(fd, ".journal");
}

static int fails(int fd, char delayed) {
    char what[16];
    const char *flag = getenv("FAIL_WRITES");
    int file = flag ? open(flag, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t len = read(file, what, sizeof what - 1);
    close(file);
    if (len <= 0) return 0;
    what[len] = 0;
    if (what[0] == 'w' || what[0] == 's') {
        if (what[0] == delayed && is_journal(fd) == (delayed == 'w')) usleep(atoi(what + 1) * 1000);
        return 0;
    }
    if (what[0] == 'm' || what[0] == 'r' || delayed == 'm' || delayed == 'r') {
        if (what[0] != delayed || is_journal(fd) || !has_in_its_path(fd, ".pool")) return 0;
        if (what[0] == 'm') unlink(flag);
        errno = atoi(what + 1);
        return 1;
    }
    int checkpoints = what[0] == 'c';
    if (is_journal(fd) == checkpoints || !has_in_its_path(fd, ".pool")) return 0;
    errno = atoi(what + checkpoints);
    return 1;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) {
    return fails(fd, 'w') ? -1 : syscall(SYS_pwrite64, fd, data, len, at);
}

int fdatasync(int fd) {
    if (getpid() == gettid() && fails(fd, 'm')) return -1;
    return fails(fd, 's') ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int sync_file_range(int fd, off64_t at, off64_t len, unsigned flags) {
    return fails(fd, 'r') ? -1 : (int)syscall(SYS_sync_file_range, fd, at, len, flags);
}
