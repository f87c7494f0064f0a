/* SPDX-License-Identifier: ISC */
/*
 * A preloaded library whose calls fail by order. $TORTURE_CALLS is a file of records, mapped before
 * the jail closes and shared by all processes: program, call, error number, and which call from now
 * on fails (1: the next). Beside that, $TORTURE_NOSYNC makes fsync and fdatasync do nothing: a test
 * whose power cut then loses no mail proves nothing. The first record's program "clock" is an
 * offset in seconds for the wall clock. tests/torture/calls.py is the other side.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct record {
	char program[16], call[16];
	int32_t error;			/* 0: who makes the call dies there */
	_Atomic int32_t wait;		/* 0: no order. The call that brings it to 0 fails */
	_Atomic uint32_t failed;
	uint32_t unused;
	_Atomic int64_t offset_s;
};

static struct record *records;
static size_t count;
static int no_sync;

__attribute__((constructor)) static void map_records(void)
{
	const char *path = getenv("TORTURE_CALLS");
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	void *at;

	no_sync = getenv("TORTURE_NOSYNC") != NULL;
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	at = mmap(NULL, (size_t) st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		return;
	count = (size_t) st.st_size / sizeof(struct record);
	records = at;
}

static int fails(const char *call)
{
	for (size_t i = 0; records != NULL && i < count; i++) {
		struct record *r = &records[i];

		if (atomic_load(&r->wait) == 0 || strcmp(r->call, call) != 0
		    || strcmp(r->program, program_invocation_short_name) != 0)
			continue;
		if (atomic_fetch_sub(&r->wait, 1) != 1)
			continue;
		atomic_fetch_add(&r->failed, 1);
		if (r->error == 0) {
			raise(SIGKILL);
			_exit(128 + SIGKILL);
		}
		errno = r->error;
		return 1;
	}
	return 0;
}

#define FIND(name) ((__typeof__(name) *) dlsym(RTLD_NEXT, #name))
#define WRAP(result, bad, name, words, values) \
	result name words { static result (*next) words; if (next == NULL) next = (__typeof__(next)) dlsym(RTLD_NEXT, #name); \
		return fails(#name) ? bad : next values; }

WRAP(ssize_t, -1, write, (int fd, const void *at, size_t n), (fd, at, n))
WRAP(ssize_t, -1, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP(ssize_t, -1, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
WRAP(ssize_t, -1, read, (int fd, void *at, size_t n), (fd, at, n))
WRAP(int, -1, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, -1, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAP(int, -1, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags))
WRAP(int, -1, renameat, (int a, const char *b, int c, const char *d), (a, b, c, d))
WRAP(int, -1, renameat2, (int a, const char *b, int c, const char *d, unsigned e), (a, b, c, d, e))
WRAP(int, -1, linkat, (int a, const char *b, int c, const char *d, int e), (a, b, c, d, e))
WRAP(int, -1, unlinkat, (int a, const char *b, int c), (a, b, c))
WRAP(int, -1, utimensat, (int a, const char *b, const struct timespec c[2], int d), (a, b, c, d))
WRAP(int, -1, mkdirat, (int a, const char *b, mode_t c), (a, b, c))
WRAP(int, -1, unlink, (const char *a), (a))
WRAP(int, -1, flock, (int fd, int how), (fd, how))
WRAP(int, -1, fchmod, (int fd, mode_t mode), (fd, mode))
WRAP(int, -1, dup3, (int a, int b, int flags), (a, b, flags))
WRAP(int, -1, pipe2, (int fds[2], int flags), (fds, flags))
WRAP(int, -1, socketpair, (int domain, int type, int protocol, int fds[2]), (domain, type, protocol, fds))
WRAP(int, -1, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAP(int, -1, listen, (int fd, int n), (fd, n))
WRAP(ssize_t, -1, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
WRAP(ssize_t, -1, recv, (int fd, void *at, size_t n, int flags), (fd, at, n, flags))
WRAP(int, -1, epoll_ctl, (int a, int b, int c, struct epoll_event *d), (a, b, c, d))
WRAP(int, -1, eventfd, (unsigned a, int b), (a, b))
WRAP(int, -1, setresuid, (uid_t a, uid_t b, uid_t c), (a, b, c))
WRAP(pid_t, -1, fork, (void), ())

/*
 * The descriptor is closed, and yet it is said that something was wrong: a network file system that
 * could not write.
 */
int close(int fd)
{
	int r = FIND(close)(fd);

	return fails("close") ? -1 : r;
}

/* These say what is wrong in their result. */
WRAP(int, errno, posix_spawn, (pid_t *a, const char *b, const posix_spawn_file_actions_t *c,
			       const posix_spawnattr_t *d, char *const e[],
	char *const f[]), (a, b, c, d, e, f))
WRAP(int, errno, pthread_create, (pthread_t *a, const pthread_attr_t *b, void *(*c)(void *), void *d),
     (a, b, c, d))

/* The two names of one call, with 64-bit offsets and without, are one. */
#define OFFSETS(result, bad, name, words, values) \
	result name words { return fails(#name) ? bad : FIND(name) values; } \
	result name##64 words { return fails(#name) ? bad : FIND(name) values; }

OFFSETS(ssize_t, -1, pwrite, (int fd, const void *at, size_t n, off_t o), (fd, at, n, o))
OFFSETS(ssize_t, -1, pread, (int fd, void *at, size_t n, off_t o), (fd, at, n, o))
OFFSETS(ssize_t, -1, pwritev, (int fd, const struct iovec *v, int n, off_t o), (fd, v, n, o))
OFFSETS(int, -1, ftruncate, (int fd, off_t n), (fd, n))
OFFSETS(int, errno, posix_fallocate, (int fd, off_t at, off_t n), (fd, at, n))
OFFSETS(int, -1, fallocate, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n))

#define SYNC(name) \
	int name(int fd) { if (fails(#name)) return -1; return no_sync ? 0 : FIND(name)(fd); }

SYNC(fsync)
SYNC(fdatasync)
SYNC(syncfs)

#define OPENAT(name) \
	int name(int dir, const char *path, int flags, ...) \
	{ \
		va_list rest; \
		mode_t mode; \
		va_start(rest, flags); \
		mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
		va_end(rest); \
		return fails("openat") ? -1 : FIND(openat)(dir, path, no_sync ? flags & ~(O_SYNC | O_DSYNC) : flags, mode); \
	}
OPENAT(openat)
OPENAT(openat64)

int __openat_2(int dir, const char *path, int flags)
{
	return fails("openat") ? -1 : FIND(openat)(dir, path, flags);
}

#define OPEN(name) \
	int name(const char *path, int flags, ...) \
	{ \
		va_list rest; \
		mode_t mode; \
		va_start(rest, flags); \
		mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
		va_end(rest); \
		return fails("openat") ? -1 : FIND(openat)(AT_FDCWD, path, no_sync ? flags & ~(O_SYNC | O_DSYNC) : flags, mode); \
	}
OPEN(open)
OPEN(open64)

/* The next one is the sanitizer's where there is one. Finding it allocates nothing. */
#define ALLOCATES(name, words, values) \
	void *name words { static void *(*next) words; if (next == NULL) next = (__typeof__(next)) dlsym(RTLD_NEXT, #name); \
		return fails("malloc") ? NULL : next values; }

ALLOCATES(malloc, (size_t n), (n))
ALLOCATES(calloc, (size_t n, size_t size), (n, size))
ALLOCATES(realloc, (void *at, size_t n), (at, n))

static int64_t offset_s(void)
{
	return records != NULL && count > 0 ? atomic_load(&records[0].offset_s) : 0;
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
	int r = FIND(clock_gettime)(id, ret);

	if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ret->tv_sec += offset_s();
	return r;
}

time_t time(time_t *ret)
{
	time_t now = FIND(time)(NULL) + offset_s();

	if (ret != NULL)
		*ret = now;
	return now;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	int r = FIND(gettimeofday)(ret, zone);

	if (r == 0)
		ret->tv_sec += offset_s();
	return r;
}
