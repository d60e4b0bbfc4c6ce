/* Put under a program with LD_PRELOAD: a clock that jumps, a slow fsync, a full disk.
 *
 * The file that SEGUE_FAULTS_KNOBS names holds three numbers of 64 bits, which may change at any
 * time: seconds to add to the time of day; milliseconds that each fsync takes longer; and whether
 * regular files take no more bytes. Calls go to the kernel directly: looking up the library's own
 * functions would allocate, and some allocators ask for the time while they start.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { CLOCK, FSYNC, FULL, KNOBS };
static const volatile int64_t *knobs;

__attribute__((constructor)) static void map_knobs(void) {
    const char *path = getenv("SEGUE_FAULTS_KNOBS");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, KNOBS * sizeof *knobs, PROT_READ, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) knobs = at;
    close(fd);
}

static int64_t knob(int which) { return knobs ? knobs[which] : 0; }

int clock_gettime(clockid_t id, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, id, time);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        time->tv_sec += knob(CLOCK);
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

static void stall(void) {
    struct timespec span = {knob(FSYNC) / 1000, knob(FSYNC) % 1000 * 1000000};
    syscall(SYS_nanosleep, &span, NULL);
}

int fsync(int fd) {
    stall();
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    stall();
    return (int)syscall(SYS_fdatasync, fd);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    struct stat file;
    if (knob(FULL) && fstat(fd, &file) == 0 && S_ISREG(file.st_mode)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_write, fd, bytes, count);
}
