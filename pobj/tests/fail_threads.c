/* Preloaded into a process. Threads are refused, as by a system that has no more, to programs and
 * libraries whose path has what the variable FAIL_THREADS says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef int (*creator)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg) {
    const char *refused = getenv("FAIL_THREADS");
    Dl_info caller;
    if (refused && dladdr(__builtin_return_address(0), &caller) && caller.dli_fname
        && strstr(caller.dli_fname, refused))
        return EAGAIN;
    return ((creator)dlsym(RTLD_NEXT, "pthread_create"))(thread, attr, run, arg);
}
