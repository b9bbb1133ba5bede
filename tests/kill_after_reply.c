/* Preloaded into a server: kills it (SIGKILL) as soon as it has sent the words of KILL_AFTER to anybody, so that
 * nothing that it does later can make up for what they tell. A server may send them in two pieces. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 1024
#define WORDS_MAX 64

/* The last bytes that were sent to each descriptor: one less than the words have. */
static char tails[FDS][WORDS_MAX];
static size_t tail_lens[FDS];

static int is_socket(int fd) {
    int type;
    socklen_t type_len = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0;
}

/* Looks at what was sent, and at where it joins what was sent before. */
static void look(int fd, const char *data, size_t len) {
    const char *words = getenv("KILL_AFTER");
    size_t words_len = words ? strlen(words) : 0;
    if (fd < 0 || fd >= FDS || words_len < 2 || words_len > WORDS_MAX) return;
    char joint[2 * WORDS_MAX];
    size_t before = tail_lens[fd];
    size_t after = len < words_len ? len : words_len;
    memcpy(joint, tails[fd], before);
    memcpy(joint + before, data, after);
    int told = memmem(data, len, words, words_len) || memmem(joint, before + after, words, words_len);
    if (told && is_socket(fd)) kill(getpid(), SIGKILL);
    if (len >= words_len) {
        before = 0;
        memcpy(joint, data + len - words_len, words_len);
    }
    size_t all = before + after;
    size_t kept = all < words_len - 1 ? all : words_len - 1;
    memcpy(tails[fd], joint + all - kept, kept);
    tail_lens[fd] = kept;
}

ssize_t write(int fd, const void *data, size_t len) {
    ssize_t sent = syscall(SYS_write, fd, data, len);
    if (sent > 0) look(fd, data, sent);
    return sent;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t sent = syscall(SYS_writev, fd, parts, count);
    ssize_t left = sent;
    for (int i = 0; i < count && left > 0; i++) {
        size_t len = (size_t)left < parts[i].iov_len ? (size_t)left : parts[i].iov_len;
        look(fd, parts[i].iov_base, len);
        left -= len;
    }
    return sent;
}
