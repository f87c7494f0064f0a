/* SPDX-License-Identifier: ISC */
/*
 * Where lines go. syslog takes a datagram per line, many of which leave in one sendmmsg(); postlogd
 * takes as many whole lines as fit a datagram. A receiver that was restarted is connected to again.
 */
#include "lib/log/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/die.h"

enum { LINES_AT_ONCE = 32, DATAGRAM = 32 << 10, SEND_BUFFER = 1 << 20 };

static enum log_sink kind;
static int fd = STDERR_FILENO;		/* until sink_open() */
static char path[sizeof(((struct sockaddr_un *) 0)->sun_path)];

static int connect_sink(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int size = SEND_BUFFER, made = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (made < 0)
		return -errno;
	memcpy(at.sun_path, path, sizeof(at.sun_path));
	if (connect(made, (const struct sockaddr *) &at, sizeof(at)) < 0) {
		int error = -errno;

		close(made);
		return error;
	}
	setsockopt(made, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (fd < 0) {
		fd = made;
	} else {
		dup3(made, fd, O_CLOEXEC);	/* keeps its number: the jail may know it */
		close(made);
	}
	return 0;
}

int sink_open(enum log_sink new_kind, const char *postlog_path)
{
	if (fd > STDERR_FILENO)
		close(fd);
	fd = -1;
	kind = new_kind;
	if (kind == LOG_TO_STDOUT || kind == LOG_TO_STDERR) {
		fd = kind == LOG_TO_STDOUT ? STDOUT_FILENO : STDERR_FILENO;
		return 0;
	}
	if (kind == LOG_TO_SYSLOG && postlog_path == NULL)
		postlog_path = "/dev/log";
	if (postlog_path == NULL || strlen(postlog_path) >= sizeof(path))
		return -ENAMETOOLONG;
	snprintf(path, sizeof(path), "%s", postlog_path);
	return connect_sink();
}

/* ---- files ---- */

static bool send_to_file(struct buf *gathered)
{
	while (gathered->len > 0) {
		ssize_t n = write(fd, gathered->at, gathered->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0) {
			buf_clear(gathered);		/* nobody is there any more */
			return true;
		}
		buf_cut_front(gathered, (size_t) n);
	}
	return true;
}

/* ---- datagrams ---- */

/*
 * The end of the datagram that begins at `at`: one line for syslog, whole lines up to DATAGRAM for
 * postlogd.
 */
static size_t datagram_end(const struct buf *gathered, size_t at)
{
	size_t end = at;

	do {
		const char *lf = memchr(gathered->at + end, '\n', gathered->len - end);
		size_t next = lf == NULL ? gathered->len : (size_t) (lf - gathered->at) + 1;

		if (end > at && next - at > DATAGRAM)
			break;
		end = next;
	} while (kind == LOG_TO_POSTLOG && end < gathered->len);
	return end;
}

/* How many bytes of `gathered` were sent, or -errno. */
static ssize_t send_some(const struct buf *gathered)
{
	struct mmsghdr messages[LINES_AT_ONCE];
	struct iovec pieces[LINES_AT_ONCE];
	size_t ends[LINES_AT_ONCE], at = 0;
	int n = 0, sent;

	memset(messages, 0, sizeof(messages));
	for (; n < LINES_AT_ONCE && at < gathered->len; n++) {
		ends[n] = datagram_end(gathered, at);
		pieces[n] = (struct iovec){ gathered->at + at, ends[n] - at - (kind == LOG_TO_SYSLOG) };
		messages[n].msg_hdr.msg_iov = &pieces[n];
		messages[n].msg_hdr.msg_iovlen = 1;
		at = ends[n];
	}
	do
		sent = n == 1 ? (send(fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL) < 0 ? -1 : 1)
			: sendmmsg(fd, messages, (unsigned) n, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : (ssize_t) ends[sent - 1];
}

static bool is_restarted(ssize_t error)
{
	return error == -ECONNREFUSED || error == -ECONNRESET || error == -ENOTCONN || error == -EPIPE;
}

static bool send_datagrams(struct buf *gathered, int wait_ms)
{
	size_t done = 0;
	bool reconnected = false;

	while (done < gathered->len) {
		struct buf rest = { .at = gathered->at + done, .len = gathered->len - done };
		ssize_t n = send_some(&rest);

		if (n > 0) {
			done += (size_t) n;
			continue;
		}
		if (n == -EMSGSIZE) {			/* this one will never fit */
			done += datagram_end(&rest, 0);
			continue;
		}
		if (is_restarted(n) && !reconnected && connect_sink() == 0) {
			reconnected = true;
			continue;
		}
		if (n == -EAGAIN && wait_ms > 0) {
			struct pollfd one = { .fd = fd, .events = POLLOUT };

			if (poll(&one, 1, wait_ms) > 0)
				continue;
		}
		break;
	}
	buf_cut_front(gathered, done);
	return gathered->len == 0;
}

bool sink_send(struct buf *gathered, int wait_ms)
{
	if (gathered->len == 0)
		return true;
	if (fd < 0)
		return false;
	if (kind == LOG_TO_STDOUT || kind == LOG_TO_STDERR)
		return send_to_file(gathered);
	return send_datagrams(gathered, wait_ms);
}

void sink_send_now(const char *line, size_t len)
{
	ssize_t n;

	if (fd < 0)
		return;
	if (kind == LOG_TO_SYSLOG || kind == LOG_TO_POSTLOG)
		n = send(fd, line, len - (kind == LOG_TO_SYSLOG), MSG_NOSIGNAL | MSG_DONTWAIT);
	else
		n = write(fd, line, len);
	(void) n;
}
