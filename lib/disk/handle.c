/* SPDX-License-Identifier: ISC */
/* Descriptors for the queue: a directory as the base of *at calls, a file for appending. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/disk/disk.h"

int directory_handle(int dir, const char *name)
{
	int fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int file_open_append(int dir, const char *name)
{
	AUTO_FD fd = openat(dir, name, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? fd_take(&fd) : -EBADF;
}
