/* SPDX-License-Identifier: ISC */
/* Files: created exclusively, opened without following links, written and read whole, synced on the pool. */
#include "lib/disk/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/die.h"

enum { LONGEST_PATH = 1024 };

int file_create(int dir, const char *name, mode_t mode)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

	return fd < 0 ? -errno : fd;
}

int file_open_read(int dir, const char *name)
{
	/* O_NONBLOCK: a fifo in its place must not stop us */
	AUTO_FD fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? fd_take(&fd) : -EBADF;
}

static int sync_job(void *arg)
{
	return fsync(*(const int *) arg) < 0 ? -errno : 0;
}

int file_sync(int fd)
{
	return co_offload(sync_job, &fd);
}

int write_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		at += n;
		len -= (size_t) n;
	}
	return 0;
}

int pwritev_all(int fd, struct iovec *pieces, int n, off_t at)
{
	while (n > 0) {
		ssize_t written;

		if (pieces->iov_len == 0) {
			pieces++, n--;
			continue;
		}
		written = pwritev(fd, pieces, MIN(n, IOV_MAX), at);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? -errno : -ENOSPC;
		at += written;
		for (; n > 0 && (size_t) written >= pieces->iov_len; pieces++, n--)
			written -= (ssize_t) pieces->iov_len;
		if (n > 0) {
			pieces->iov_base = (char *) pieces->iov_base + written;
			pieces->iov_len -= (size_t) written;
		}
	}
	return 0;
}

ssize_t pread_all(int fd, void *at, size_t len, off_t offset)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, (char *) at + got, len - got, offset + (off_t) got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t) n;
	}
	return (ssize_t) got;
}

int file_read_opened(int fd, struct buf *b)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (S_ISREG(st.st_mode) && (uint64_t) st.st_size > b->limit)
		return -EMSGSIZE;
	for (;;) {
		size_t step = MIN((size_t) 16384, b->limit - b->len);
		char probe, *room = step > 0 ? buf_room(b, step) : &probe;
		ssize_t n = read(fd, room, step > 0 ? step : 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		if (step == 0)
			return -EMSGSIZE;
		b->len += (size_t) n;
	}
	if (b->cap > 0)
		b->at[b->len] = 0;
	return 0;
}

int file_read_whole(int dir, const char *name, struct buf *b)
{
	AUTO_FD fd = openat(dir, name, O_RDONLY | O_NOCTTY | O_CLOEXEC);

	return fd < 0 ? -errno : file_read_opened(fd, b);
}

/* ---- replacing ---- */

struct replacement {
	int dir, fd;
	const char *name, *beside;
	struct str content;
	mode_t mode;
};

static int sync_directory(int dir, const char *name)
{
	char parent[LONGEST_PATH];
	const char *slash = strrchr(name, '/');
	AUTO_FD fd = -1;

	if (slash == NULL)
		snprintf(parent, sizeof(parent), ".");
	else if (snprintf(parent, sizeof(parent), "%.*s", (int) (slash - name) + 1,
			  name) >= (int) sizeof(parent))
		return -ENAMETOOLONG;
	fd = openat(dir, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int replace_job(void *arg)
{
	const struct replacement *r = arg;
	int result = write_all(r->fd, r->content.at, r->content.len);

	if (result == 0 && fchmod(r->fd, r->mode) < 0)		/* whatever the umask is */
		result = -errno;
	if (result == 0 && renameat(r->dir, r->beside, r->dir, r->name) < 0)
		result = -errno;
	if (result < 0) {
		unlinkat(r->dir, r->beside, 0);
		return result;
	}
	if (fsync(r->fd) < 0)
		return -errno;
	return sync_directory(r->dir, r->name);
}

int file_replace(int dir, const char *name, struct str content, mode_t mode)
{
	char beside[LONGEST_PATH];
	struct replacement r = { .dir = dir, .name = name, .beside = beside, .content = content,
				 .mode = mode };
	int result;

	if (snprintf(beside, sizeof(beside), "%s.new.%d", name, (int) getpid()) >= (int) sizeof(beside))
		return -ENAMETOOLONG;
	r.fd = file_create(dir, beside, 0600);
	if (r.fd == -EEXIST && unlinkat(dir, beside, 0) == 0)	/* of a process with our number, long dead */
		r.fd = file_create(dir, beside, 0600);
	if (r.fd < 0)
		return r.fd;
	result = co_offload(replace_job, &r);
	if (result == -ECANCELED)
		unlinkat(dir, beside, 0);
	close(r.fd);
	return result;
}

/* ---- directories, locks, space ---- */

int make_directory(int dir, const char *name, mode_t mode)
{
	struct stat st;

	if (mkdirat(dir, name, mode) == 0)
		return fchmodat(dir, name, mode, 0) < 0 ? -errno : 0;
	if (errno != EEXIST)
		return -errno;
	if (fstatat(dir, name, &st, 0) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

enum { TO_THE_END = 0 };		/* what a length of 0 means to fcntl */

static int try_range(int fd, off_t at, off_t len)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = len };

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

static int is_range_taken(int fd, off_t at, off_t len)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = len };

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	return lock.l_type != F_UNLCK;
}

int lock_try(int fd)
{
	return try_range(fd, 0, TO_THE_END);
}

int lock_is_taken(int fd)
{
	return is_range_taken(fd, 0, TO_THE_END);
}

int lock_try_at(int fd, off_t at)
{
	return try_range(fd, at, 1);
}

int lock_is_taken_at(int fd, off_t at)
{
	return is_range_taken(fd, at, 1);
}

void lock_release_at(int fd, off_t at)
{
	struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };

	fcntl(fd, F_OFD_SETLK, &lock);
}

int64_t disk_free_bytes(int fd)
{
	struct statvfs st;

	if (fstatvfs(fd, &st) < 0)
		return -errno;
	return (int64_t) MIN((uint64_t) st.f_bavail * st.f_frsize, (uint64_t) INT64_MAX);
}
