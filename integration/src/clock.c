// The system's clock as a test would have it, for one process: loaded before the C library, it moves what the process is told of the time since
// 1970 by the seconds in the file of DAEMONRY_CLOCK, and so by jumps. The monotonic clock stays true.
//
// Who waits for a time of that clock waits on when it is put back, as under a real one: the time is looked at again and again.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

// Between two looks at the time, in nanoseconds.
#define SLICE 20000000
#define SECOND INT64_C(1000000000)

// In the file, which the test writes to.
static const volatile int64_t *moved;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DAEMONRY_CLOCK");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *moved, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) abort();
    close(file);
    moved = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (syscall(SYS_clock_gettime, clock, now) != 0) return -1;
    if ((clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && moved != NULL) now->tv_sec += *moved;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    if (clock_gettime(CLOCK_REALTIME, &precise) != 0) return -1;
    *now = (struct timeval){.tv_sec = precise.tv_sec, .tv_usec = precise.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *into) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    if (into != NULL) *into = now.tv_sec;
    return now.tv_sec;
}

// librdkafka waits by C's threads, which are those of POSIX in the C libraries that have this function for us to stand in for.
int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    for (;;) {
        struct timespec now, slice;
        clock_gettime(CLOCK_REALTIME, &now);
        int64_t left = (until->tv_sec - now.tv_sec) * SECOND + (until->tv_nsec - now.tv_nsec);
        if (left <= 0) return thrd_timedout;
        clock_gettime(CLOCK_MONOTONIC, &slice);
        slice.tv_nsec += left < SLICE ? left : SLICE;
        if (slice.tv_nsec >= SECOND) slice.tv_sec += 1, slice.tv_nsec -= SECOND;
        switch (pthread_cond_clockwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, CLOCK_MONOTONIC, &slice)) {
        case 0:
            return thrd_success;
        case ETIMEDOUT:
            break;
        default:
            return thrd_error;
        }
    }
}
