/*
 * Kills the server between any two of its steps.
 *
 * Preloaded into every process of a server. A step is a system call that others can notice: to change a file,
 * to order or lock it, or to send something. A write to a file has two: before it, and half way through.
 * Steps are counted in memory shared with the test, which also says at which of them to die, and who; or each
 * is written down, to see in which order they are taken.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OFF, PROCESS, GROUP, RECORD };
enum { EVERYBODY = -1 };

/* Known to kill_switch.py, too. */
struct control {
    int32_t mode;
    int32_t fired;
    int64_t last;
    int64_t count;
    int32_t pids[32];
    char call[32];
};

static struct control *control;
static int record = -1;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("KILL_SWITCH"), *record_path = getenv("KILL_SWITCH_RECORD");
    int descriptor = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return;
    if (record_path)
        record = open(record_path, O_WRONLY | O_APPEND | O_CLOEXEC);
    void *memory = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (memory != MAP_FAILED)
        control = memory;
}

static int is_watched(void) {
    if (!control || control->mode == OFF)
        return 0;
    if (control->pids[0] == EVERYBODY)
        return 1;
    int32_t own = getpid();
    for (unsigned i = 0; i < 32 && control->pids[i]; i++)
        if (control->pids[i] == own)
            return 1;
    return 0;
}

static int is_last_step(void) {
    if (control->mode == RECORD)
        return 0;
    return __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST) == control->last;
}

static void die(const char *call) {
    strncpy(control->call, call, sizeof control->call - 1);
    __atomic_store_n(&control->fired, 1, __ATOMIC_SEQ_CST);
    kill(control->mode == GROUP ? 0 : getpid(), SIGKILL);
    for (;;)
        pause();
}

/* One line: the call, and the file or files that it is about. */
static void note(const char *call, int descriptor, const char *from, const char *to) {
    char line[2048], link[64], path[1024] = "";
    int saved = errno;
    if (descriptor >= 0) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        ssize_t length = readlink(link, path, sizeof path - 1);
        path[length > 0 ? length : 0] = 0;
    }
    int length = snprintf(line, sizeof line, "%s\t%s\t%s\n", call, from ? from : path, to ? to : "");
    (void)!syscall(SYS_write, record, line, length);
    errno = saved;
}

static void step(const char *call, int descriptor, const char *from, const char *to) {
    if (!is_watched())
        return;
    if (control->mode == RECORD)
        note(call, descriptor, from, to);
    else if (is_last_step())
        die(call);
}

static mode_t type_of(int descriptor) {
    struct stat status;
    int saved = errno;
    mode_t type = fstat(descriptor, &status) ? 0 : status.st_mode & S_IFMT;
    errno = saved;
    return type;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define WRITING(name, half_of_it, descriptor) \
    if (is_watched()) { \
        mode_t type = type_of(descriptor); \
        if ((type == S_IFREG || type == S_IFSOCK) && control->mode == RECORD) \
            note(#name, descriptor, NULL, NULL); \
        if ((type == S_IFREG || type == S_IFSOCK) && is_last_step()) \
            die(#name); \
        if (type == S_IFREG && is_last_step()) { \
            (void)!(half_of_it); \
            die(#name ", half"); \
        } \
    }

ssize_t write(int descriptor, const void *bytes, size_t count) {
    REAL(write);
    WRITING(write, real(descriptor, bytes, count / 2), descriptor)
    return real(descriptor, bytes, count);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
    REAL(pwrite);
    WRITING(pwrite, real(descriptor, bytes, count / 2, offset), descriptor)
    return real(descriptor, bytes, count, offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t offset) {
    REAL(pwrite64);
    WRITING(pwrite64, real(descriptor, bytes, count / 2, offset), descriptor)
    return real(descriptor, bytes, count, offset);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    REAL(writev);
    struct iovec half = {count ? parts[0].iov_base : NULL, count ? parts[0].iov_len / 2 : 0};
    WRITING(writev, real(descriptor, &half, 1), descriptor)
    return real(descriptor, parts, count);
}

#define PLAIN(result, name, parameters, arguments, descriptor, from, to) \
    result name parameters { \
        REAL(name); \
        step(#name, descriptor, from, to); \
        return real arguments; \
    }

PLAIN(int, fsync, (int d), (d), d, NULL, NULL)
PLAIN(int, fdatasync, (int d), (d), d, NULL, NULL)
PLAIN(int, ftruncate, (int d, off_t size), (d, size), d, NULL, NULL)
PLAIN(int, ftruncate64, (int d, off64_t size), (d, size), d, NULL, NULL)
PLAIN(int, flock, (int d, int operation), (d, operation), d, NULL, NULL)
PLAIN(int, rename, (const char *from, const char *to), (from, to), -1, from, to)
PLAIN(int, renameat, (int d, const char *from, int e, const char *to), (d, from, e, to), -1, from, to)
PLAIN(int, unlink, (const char *path), (path), -1, path, NULL)
PLAIN(int, unlinkat, (int d, const char *path, int flags), (d, path, flags), -1, path, NULL)
PLAIN(int, mkdir, (const char *path, mode_t mode), (path, mode), -1, path, NULL)
PLAIN(ssize_t, send, (int d, const void *bytes, size_t count, int flags), (d, bytes, count, flags), d, NULL, NULL)
PLAIN(ssize_t, sendto,
      (int d, const void *bytes, size_t count, int flags, const struct sockaddr *to, socklen_t length),
      (d, bytes, count, flags, to, length), d, NULL, NULL)
PLAIN(ssize_t, sendmsg, (int d, const struct msghdr *message, int flags), (d, message, flags), d, NULL, NULL)

#define OPENING(name) \
    int name(const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        REAL(name); \
        if (flags & O_CREAT) \
            step(#name, -1, path, NULL); \
        return real(path, flags, mode); \
    }

#define OPENING_AT(name) \
    int name(int directory, const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        REAL(name); \
        if (flags & O_CREAT) \
            step(#name, -1, path, NULL); \
        return real(directory, path, flags, mode); \
    }

OPENING(open)
OPENING(open64)
OPENING_AT(openat)
OPENING_AT(openat64)

#define LOCKING(name) \
    int name(int descriptor, int command, ...) { \
        va_list more; \
        va_start(more, command); \
        long argument = va_arg(more, long); \
        va_end(more); \
        REAL(name); \
        if ((command == F_SETLK || command == F_SETLKW) && ((struct flock *)argument)->l_type == F_WRLCK) \
            step(#name, descriptor, NULL, NULL); \
        return real(descriptor, command, argument); \
    }

LOCKING(fcntl)
LOCKING(fcntl64)
