/* SPDX-License-Identifier: ISC */
/*
 * The sockets that a daemon serves: inherited from master, or opened by itself in the foreground.
 * And what is known of a connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "lib/base/die.h"
#include "lib/daemon/private.h"

bool listener_is_public(int fd)
{
	struct sockaddr_un sa = { 0 };
	socklen_t len = sizeof(sa) - 1;

	if (getsockname(fd, (struct sockaddr *) &sa, &len) < 0 || sa.sun_family != AF_UNIX)
		return false;
	return str_starts(str_of(sa.sun_path), STR("public/"))
	       || str_find_str(str_of(sa.sun_path), STR("/public/")) >= 0;
}

int listeners_inherit(const struct daemon_options *o, struct listener ret[MOST_LISTENERS])
{
	for (int i = 0; i < o->listeners; i++) {
		int fd = FIRST_LISTENER_FD + i;

		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || set_nonblocking(fd) < 0)
			die(EX_USAGE, "descriptor %d is not a listener of the service; use -d to run this program by hand", fd);
		ret[i] = (struct listener){ .fd = fd, .type = o->type, .is_public = listener_is_public(fd) };
	}
	return o->listeners;
}

static int listen_at_path(const char *path, enum service_type type)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if (type != SERVICE_DGRAM)
		return listen_unix(path, 0666, 1024);
	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

static int listen_at_port(const char *spec)
{
	struct str host, port;
	struct address_ip at;

	if (host_port_split(str_of(spec), &host, &port) < 0 || ip_parse(host, &at) < 0
	    || port_parse(port, &at.port) < 0)
		die(EX_USAGE, "\"%s\" is neither address:port nor a path with a /", spec);
	return listen_tcp(&at, 1024);
}

int listeners_open(const struct daemon_options *o, struct listener ret[MOST_LISTENERS])
{
	int n = 0;

	for (char *const *spec = o->rest; *spec != NULL && n < MOST_LISTENERS; spec++) {
		struct listener l = { .type = o->type };

		if (strchr(*spec, '/') == NULL && strchr(*spec, ':') == NULL)
			break;		/* the program's own arguments begin */
		if (strchr(*spec, '/') != NULL) {
			l.fd = listen_at_path(*spec, o->type);
		} else {
			l.type = SERVICE_INET;
			l.fd = listen_at_port(*spec);
		}
		if (l.fd < 0)
			die(EX_OSERR, "cannot listen at %s: %s", *spec, error_text(l.fd));
		l.is_public = listener_is_public(l.fd);
		ret[n++] = l;
	}
	if (n == 0)
		die(EX_USAGE, "no address:port and no path to listen at");
	return n;
}

void describe_socket(const struct listener *l, int fd, struct session_socket *ret)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);
	gid_t gid;

	*ret = (struct session_socket){ .fd = fd, .peer_uid = (uid_t) -1, .is_public = l->is_public };
	if (getsockname(fd, (struct sockaddr *) &sa, &len) < 0 || sa.ss_family == AF_UNIX) {
		peer_credentials(fd, &ret->peer_uid, &gid);
		return;
	}
	ret->is_inet = true;
	ip_from_sockaddr((struct sockaddr *) &sa, &ret->local);
	sa = (struct sockaddr_storage){ 0 };
	len = sizeof(sa);
	if (getpeername(fd, (struct sockaddr *) &sa, &len) == 0)
		ip_from_sockaddr((struct sockaddr *) &sa, &ret->peer);
}

/*
 * Whoever wakes a service writes bytes 'W' and closes, or sends a frame "wakeup" without a call
 * number, perhaps with others behind it. No frame begins with a byte as large as 'W': its first
 * byte is the top of a length below FRAME_LIMIT.
 */
static const char WAKEUP_FRAME[16] = { 0, 0, 0, 12, 0, 0, 0, 0, 6, 'w', 'a', 'k', 'e', 'u', 'p', 0 };

/*
 * Takes a whole trigger off the socket: 1 one was there, 0 something else is there, -errno nothing
 * will come.
 */
static int take_trigger(int fd, when_t until)
{
	char head[sizeof(WAKEUP_FRAME)];

	for (;;) {
		ssize_t n = recv(fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			int events = co_wait_fd(fd, POLLIN, until);

			if (events < 0)
				return events;
			continue;
		}
		if (n <= 0)
			return n == 0 ? -EPIPE : -errno;
		if (head[0] == 'W')
			return recv(fd, head, 1, MSG_DONTWAIT) == 1;
		/* Senders write a frame at once: less than one is not a wakeup. */
		if (n < (ssize_t) sizeof(head) || memcmp(head, WAKEUP_FRAME, sizeof(head)) != 0)
			return 0;
		return recv(fd, head, sizeof(head), MSG_DONTWAIT) == sizeof(head);
	}
}

bool take_triggers(int fd, void (*wake)(void), when_t until)
{
	int result, woken = 0;

	while ((result = take_trigger(fd, woken ? in(0) : until)) == 1)
		woken++;
	if (woken > 0)
		wake();
	return result == 0 || result == -ETIMEDOUT;
}
