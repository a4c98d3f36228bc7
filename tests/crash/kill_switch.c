/*
 * Kills the server between any two of its steps.
 *
 * Preloaded into every process of a server. A step is a system call that others can notice: to change a file,
 * to order or lock it, or to send something. A write to a file has two: before it, and half way through.
 * Steps are counted in memory shared with the test, which also says at which of them to die, and who.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OFF, PROCESS, GROUP };
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

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("KILL_SWITCH");
    int descriptor = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return;
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
    return __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST) == control->last;
}

static void die(const char *call) {
    strncpy(control->call, call, sizeof control->call - 1);
    __atomic_store_n(&control->fired, 1, __ATOMIC_SEQ_CST);
    kill(control->mode == GROUP ? 0 : getpid(), SIGKILL);
    for (;;)
        pause();
}

static void step(const char *call) {
    if (is_watched() && is_last_step())
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

#define PLAIN(result, name, parameters, arguments) \
    result name parameters { \
        REAL(name); \
        step(#name); \
        return real arguments; \
    }

PLAIN(int, fsync, (int d), (d))
PLAIN(int, fdatasync, (int d), (d))
PLAIN(int, ftruncate, (int d, off_t size), (d, size))
PLAIN(int, ftruncate64, (int d, off64_t size), (d, size))
PLAIN(int, flock, (int d, int operation), (d, operation))
PLAIN(int, rename, (const char *from, const char *to), (from, to))
PLAIN(int, renameat, (int d, const char *from, int e, const char *to), (d, from, e, to))
PLAIN(int, unlink, (const char *path), (path))
PLAIN(int, unlinkat, (int d, const char *path, int flags), (d, path, flags))
PLAIN(int, mkdir, (const char *path, mode_t mode), (path, mode))
PLAIN(ssize_t, send, (int d, const void *bytes, size_t count, int flags), (d, bytes, count, flags))
PLAIN(ssize_t, sendto,
      (int d, const void *bytes, size_t count, int flags, const struct sockaddr *to, socklen_t length),
      (d, bytes, count, flags, to, length))
PLAIN(ssize_t, sendmsg, (int d, const struct msghdr *message, int flags), (d, message, flags))

#define OPENING(name) \
    int name(const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        REAL(name); \
        if (flags & O_CREAT) \
            step(#name); \
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
            step(#name); \
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
            step(#name); \
        return real(descriptor, command, argument); \
    }

LOCKING(fcntl)
LOCKING(fcntl64)
