/* SPDX-License-Identifier: ISC */
/*
 * A preloaded library whose openat, pwritev and fsync fail as long as a byte in a shared file is
 * set: 'o', 'w' or 's', and the error number in the next byte. The file, $FAILING_CALLS, is mapped
 * before the jail closes. Tests compile it; see test_cleanup.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>

static volatile const unsigned char *order = (const unsigned char *) "--";

__attribute__((constructor)) static void map_order(void)
{
	const char *path = getenv("FAILING_CALLS");
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 2, PROT_READ, MAP_SHARED, fd, 0);

	if (at != MAP_FAILED)
		order = at;
}

static int fails(unsigned char call)
{
	if (order[0] != call)
		return 0;
	errno = order[1];
	return 1;
}

#define FIND(name) ((__typeof__(name) *) dlsym(RTLD_NEXT, #name))

#define OPENAT(name) \
	int name(int dir, const char *path, int flags, ...) \
	{ \
		va_list rest; \
		mode_t mode; \
		va_start(rest, flags); \
		mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0; \
		va_end(rest); \
		return flags & O_CREAT && fails('o') ? -1 : FIND(name)(dir, path, flags, mode); \
	}
OPENAT(openat)
OPENAT(openat64)

ssize_t pwritev(int fd, const struct iovec *pieces, int n, off_t at)
{
	return fails('w') ? -1 : FIND(pwritev)(fd, pieces, n, at);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int n, off64_t at)
{
	return fails('w') ? -1 : FIND(pwritev64)(fd, pieces, n, at);
}

int fsync(int fd)
{
	return fails('s') ? -1 : FIND(fsync)(fd);
}
