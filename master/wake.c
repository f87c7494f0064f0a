/* SPDX-License-Identifier: ISC */
/*
 * Waking a service by its own front door, so that it works the same whether a process runs or must
 * be started for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "master/master.h"

static int wake_socket(const struct listener *l, int type)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	AUTO_FD fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (strlen(l->where) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	memcpy(at.sun_path, l->where, strlen(l->where));
	/* EAGAIN: so many already wait at its door that it need not be woken. */
	if (connect(fd, (struct sockaddr *) &at, sizeof(at)) < 0)
		return errno == EAGAIN ? 0 : -errno;
	return send(fd, "W", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN ? -errno : 0;
}

void wake_service(const struct service *s)
{
	const struct listener *l = &s->listeners[0];
	int result = 0;

	if (s->listener_count == 0 || l->fd < 0)
		return;
	if (s->type == SERVICE_FIFO)
		result = write(l->fd, "W", 1) < 0 && errno != EAGAIN ? -errno : 0;
	else if (s->type == SERVICE_UNIX)
		result = wake_socket(l, SOCK_STREAM);
	if (result < 0)
		log_warning("cannot wake service %s: %s", service_label(s), error_text(result));
}
