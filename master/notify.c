/* SPDX-License-Identifier: ISC */
/* sd_notify(3)'s protocol without its library: a datagram to the socket that NOTIFY_SOCKET named. */
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "master/master.h"

static struct sockaddr_un service_manager;
static socklen_t address_length;

void notify_remember(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path == NULL ? 0 : strlen(path);

	if (len < 2 || len >= sizeof(service_manager.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	service_manager.sun_family = AF_UNIX;
	memcpy(service_manager.sun_path, path, len);
	if (path[0] == '@')		/* the abstract name space */
		service_manager.sun_path[0] = 0;
	address_length = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len);
}

static void notify(const char *text)
{
	AUTO_FD fd = -1;

	if (address_length == 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *) &service_manager,
			     address_length) < 0)
		log_warning("cannot tell the service manager \"%s\": errno %d", text, errno);
}

void notify_ready(void)
{
	char text[64];

	snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\n", (int) getpid());
	notify(text);
}

void notify_reloading(void)
{
	char text[80];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld\n", (long long) mono_us());
	notify(text);
}

void notify_stopping(void)
{
	notify("STOPPING=1\n");
}
