/* SPDX-License-Identifier: ISC */
/* Sockets: connecting, listening, accepting, and passing one descriptor. */
#include "lib/io/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"

enum { ACCEPTS_IN_A_ROW = 16 };

int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

/*
 * Mail's own ports (RFC 5321, 6409, 8314; LMTP's is custom) are known where there is no
 * /etc/services: in a jail, in a small container.
 */
static const struct {
	const char *name;
	uint16_t port;
} MAIL_PORTS[] = { { "lmtp", 24 }, { "smtp", 25 }, { "smtps", 465 }, { "submissions", 465 },
		   { "submission", 587 } };

int port_parse(struct str text, uint16_t *ret_port)
{
	char name[32], space[1024];
	struct servent service, *found;
	int64_t number;

	if (str_to_int(text, 1, 65535, &number) == 0) {
		*ret_port = (uint16_t) number;
		return 0;
	}
	if (text.len == 0 || text.len >= sizeof(name) || is_digit(text.at[0]))
		return -EINVAL;
	for (size_t i = 0; i < COUNT_OF(MAIL_PORTS); i++)
		if (str_is(text, str_of(MAIL_PORTS[i].name))) {
			*ret_port = MAIL_PORTS[i].port;
			return 0;
		}
	memcpy(name, text.at, text.len);
	name[text.len] = 0;
	if (getservbyname_r(name, "tcp", &service, space, sizeof(space), &found) != 0 || found == NULL)
		return -EINVAL;
	*ret_port = ntohs((uint16_t) found->s_port);
	return 0;
}

/* ---- connecting ---- */

static int unix_address(const char *path, struct sockaddr_un *ret_at)
{
	size_t len = strlen(path);

	*ret_at = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (len == 0 || len >= sizeof(ret_at->sun_path))
		return -ENAMETOOLONG;
	memcpy(ret_at->sun_path, path, len + 1);
	return 0;
}

/* Undone when the caller fails: the loop must not remember a descriptor that is closed. */
static int give_up(int fd, int error)
{
	co_forget_fd(fd);
	close(fd);
	return error;
}

static int finish_connect(int fd, when_t until)
{
	int result = co_wait_fd(fd, POLLOUT, in(0)), error = 0;	/* within a host it is there already */
	socklen_t len = sizeof(error);

	if (result == -ETIMEDOUT)
		result = co_wait_fd(fd, POLLOUT, until);
	if (result < 0)
		return result;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return -error;
}

int connect_unix(const char *path, when_t until)
{
	struct sockaddr_un at;
	int fd, result = unix_address(path, &at);
	int64_t pause = 1;

	if (result < 0)
		return result;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (const struct sockaddr *) &at, sizeof(at)) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return give_up(fd, -errno);
		/* the backlog is full, and the kernel has no event for the end of that */
		if (until <= mono_ms())
			return give_up(fd, -ETIMEDOUT);
		result = co_sleep(sooner(in(pause), until));
		if (result < 0)
			return give_up(fd, result);
		pause = MIN(pause * 2, (int64_t) 100);
	}
	return fd;
}

int connect_tcp(const struct address_ip *to, const struct address_ip *from, when_t until)
{
	struct sockaddr_storage at;
	socklen_t len;
	int fd, result = 0, on = 1;

	fd = socket(to->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (from != NULL && from->family == to->family) {
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		len = ip_to_sockaddr(from, &at);
		if (bind(fd, (const struct sockaddr *) &at, len) < 0)
			return give_up(fd, -errno);
	}
	len = ip_to_sockaddr(to, &at);
	if (connect(fd, (const struct sockaddr *) &at, len) < 0)
		result = errno == EINPROGRESS || errno == EINTR ? finish_connect(fd, until) : -errno;
	return result < 0 ? give_up(fd, result) : fd;
}

/* ---- listening ---- */

/*
 * A socket file that nobody listens on any more goes away; one in use is -EADDRINUSE; another file
 * is -EEXIST.
 */
static int remove_stale(const char *path, const struct sockaddr_un *at)
{
	struct stat st;
	AUTO_FD probe = -1;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (probe < 0)
		return -errno;
	if (connect(probe, (const struct sockaddr *) at, sizeof(*at)) == 0 || errno == EAGAIN)
		return -EADDRINUSE;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/*
 * The name comes with its mode: a chmod() afterwards would go wherever a link leads that somebody
 * with rights to the directory has put there meanwhile.
 */
int bind_unix(int fd, const struct sockaddr_un *at, mode_t mode)
{
	const mode_t usual = umask(0777 & ~mode);
	const int result = bind(fd, (const struct sockaddr *) at, sizeof(*at)) < 0 ? -errno : 0;

	umask(usual);
	return result;
}

int listen_unix(const char *path, mode_t mode, int backlog)
{
	struct sockaddr_un at;
	AUTO_FD fd = -1;
	int result = unix_address(path, &at);

	if (result == 0)
		result = remove_stale(path, &at);
	if (result < 0)
		return result;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	result = bind_unix(fd, &at, mode);
	if (result < 0)
		return result;
	return listen(fd, backlog) < 0 ? -errno : fd_take(&fd);
}

int bind_tcp(const struct address_ip *address)
{
	struct sockaddr_storage at;
	socklen_t len = ip_to_sockaddr(address, &at);
	AUTO_FD fd = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (address->family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *) &at, len) < 0)
		return -errno;
	return fd_take(&fd);
}

int listen_tcp(const struct address_ip *address, int backlog)
{
	AUTO_FD fd = bind_tcp(address);
	const int on = 1;

	if (fd < 0)
		return fd;
	if (listen(fd, backlog) < 0)
		return -errno;
	/* accepted sockets inherit it (Linux), which saves a call per connection */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd_take(&fd);
}

/* Errors of the connection that was just to be accepted, not of the listener: accept(2) says to try again. */
static bool is_peers_error(int error)
{
	return error == ECONNABORTED || error == EINTR || error == ENETDOWN || error == EPROTO
	       || error == EHOSTDOWN || error == EHOSTUNREACH || error == ENETUNREACH || error == ENOPROTOOPT
	       || error == EOPNOTSUPP;
}

int accept_one(int listener, when_t until, struct address_ip *ret_peer)
{
	/* a long backlog must not keep those who were accepted from being served */
	static unsigned in_a_row;
	struct sockaddr_storage from;
	socklen_t len;

	if (++in_a_row % ACCEPTS_IN_A_ROW == 0)
		co_pass();

	for (;;) {
		int fd, result;

		len = sizeof(from);
		fd = accept4(listener, (struct sockaddr *) &from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			if (ret_peer != NULL) {
				*ret_peer = (struct address_ip){ .family = AF_UNSPEC };
				if (len >= sizeof(from.ss_family))
					ip_from_sockaddr((const struct sockaddr *) &from, ret_peer);
			}
			return fd;
		}
		if (is_peers_error(errno))
			continue;
		if (errno != EAGAIN)
			return -errno;
		result = co_wait_fd(listener, POLLIN, until);
		if (result < 0)
			return result;
	}
}

int peer_credentials(int fd, uid_t *ret_uid, gid_t *ret_gid)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return -errno;
	*ret_uid = who.uid;
	*ret_gid = who.gid;
	return 0;
}

/* ---- one descriptor ---- */

int send_fd(int socket, int fd, const void *data, size_t len)
{
	union { struct cmsghdr head; char bytes[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct iovec piece = { .iov_base = (void *) (uintptr_t) data, .iov_len = len };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	ssize_t sent;

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
						 .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	do
		sent = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return (size_t) sent == len ? 0 : -EMSGSIZE;
}

/* Keeps the first descriptor and closes any others that a peer may have sent. */
static int take_fds(struct msghdr *message)
{
	int kept = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			if (kept < 0)
				kept = fd;
			else
				close(fd);
		}
	}
	return kept;
}

int recv_fd(int socket, int *ret_fd, void *data, size_t len, when_t until)
{
	for (;;) {
		union { struct cmsghdr head; char bytes[CMSG_SPACE(16 * sizeof(int))]; } control;
		struct iovec piece = { .iov_base = data, .iov_len = len };
		struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control,
					  .msg_controllen = sizeof(control) };
		ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		int result;

		if (got >= 0) {
			*ret_fd = take_fds(&message);
			return (int) got;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		result = co_wait_fd(socket, POLLIN, until);
		if (result < 0)
			return result;
	}
}
