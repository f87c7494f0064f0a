/* SPDX-License-Identifier: ISC */
/* See trigger.h. */
#include "lib/peers/trigger.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/io/net.h"

enum { TRIGGER_MS = 1000 };

static int trigger_fifo(const char *path)
{
	AUTO_FD fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	return write(fd, "W", 1) == 1 ? 0 : -errno;
}

int trigger(const char *path)
{
	struct stat st;
	int fd, r;

	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISFIFO(st.st_mode))
		return trigger_fifo(path);
	fd = connect_unix(path, in(TRIGGER_MS));
	if (fd < 0)
		return fd;
	r = send(fd, "W", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -errno;
	co_forget_fd(fd);
	close(fd);
	return r;
}
