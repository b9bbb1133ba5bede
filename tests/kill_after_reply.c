/* Preloaded into a server: kills it (SIGKILL) as soon as it has sent the words of KILL_AFTER to anybody, so that
 * nothing that it does later can make up for what they tell. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int tells(int fd, const void *data, size_t len) {
    int type;
    socklen_t type_len = sizeof type;
    const char *words = getenv("KILL_AFTER");
    return words && memmem(data, len, words, strlen(words)) &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0;
}

ssize_t write(int fd, const void *data, size_t len) {
    ssize_t sent = syscall(SYS_write, fd, data, len);
    if (sent > 0 && tells(fd, data, sent)) kill(getpid(), SIGKILL);
    return sent;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t sent = syscall(SYS_writev, fd, parts, count);
    ssize_t left = sent;
    for (int i = 0; i < count && left > 0; i++) {
        size_t len = (size_t)left < parts[i].iov_len ? (size_t)left : parts[i].iov_len;
        if (tells(fd, parts[i].iov_base, len)) kill(getpid(), SIGKILL);
        left -= len;
    }
    return sent;
}
