/* Preloaded into a server: writes to journals, and syncs of anything, fail with the error whose number the file
 * FAIL_WRITES holds, while it is there. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(int fd) {
    char link[64], path[4096], number[16];
    const char *flag = getenv("FAIL_WRITES");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (!flag || len < 0) return 0;
    path[len] = 0;
    if (!strstr(path, ".journal")) return 0;
    int file = open(flag, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    len = read(file, number, sizeof number - 1);
    close(file);
    if (len <= 0) return 0;
    number[len] = 0;
    errno = atoi(number);
    return 1;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) {
    return fails(fd) ? -1 : syscall(SYS_pwrite64, fd, data, len, at);
}

int fdatasync(int fd) {
    return fails(fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}
