/* SPDX-License-Identifier: ISC */
/*
 * A stream's life, its errors, and the single attempts to receive and send that reading and writing
 * are built on.
 */
#include "lib/io/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/io/net.h"
#include "lib/io/stream_private.h"

struct stream *stream_new(int fd)
{
	struct stream *s = get_memory(sizeof(*s));

	s->fd = fd;
	s->until = NEVER;
	return s;
}

int stream_release(struct stream *s)
{
	int fd = s->fd;

	if (s->transport != NULL && s->transport->end != NULL)
		s->transport->end(s->transport_arg);
	co_forget_fd(fd);
	if (stream_more(s)) {		/* it broke off, perhaps in the middle of a password */
		stream_skip(s, s->in_end - s->in_at);
		stream_wipe_input(s);
	}
	stream_free_input(s);
	free(s->out);
	free(s);
	return fd;
}

void stream_free(struct stream *s)
{
	if (s != NULL)
		close(stream_release(s));
}

void stream_auto(struct stream **s)
{
	stream_free(*s);
}

int stream_fd(const struct stream *s)
{
	return s->fd;
}

void stream_deadline(struct stream *s, when_t until)
{
	s->until = until;
}

int stream_error(const struct stream *s)
{
	return s->error;
}

void stream_fail(struct stream *s, int error)
{
	if (s->error == 0)
		s->error = error < 0 ? error : -error;
}

void stream_clear_error(struct stream *s)
{
	BUG_UNLESS(s->error == 0 || s->error == -EMSGSIZE || s->error == -ETIMEDOUT || s->error == -ECANCELED
		   || s->error == -EPIPE || s->error == -ECONNRESET);
	s->error = 0;
}

void stream_transcript(struct stream *s, void (*show)(void *arg, char direction, struct str bytes), void *arg)
{
	s->show = show;
	s->show_arg = arg;
}

void stream_set_transport(struct stream *s, const struct stream_transport *transport, void *arg)
{
	BUG_UNLESS(s->out_len == 0 && s->in_at == s->in_end);
	s->transport = transport;
	s->transport_arg = arg;
	s->drained = s->sent = false;
}

/* ---- one attempt ---- */

/*
 * Sockets are used with MSG_DONTWAIT whatever their mode is. Others must not wait inside a
 * coroutine; outside, their mode is left alone (it may be a terminal that others share) and we wait
 * before the operation.
 */
static int prepare_file(struct stream *s, short events)
{
	int result;

	if (s->nonblocking)
		return 0;
	if (co_self() != NULL) {
		result = set_nonblocking(s->fd);
		s->nonblocking = result >= 0;
		return result;
	}
	result = s->until == NEVER ? 0 : co_wait_fd(s->fd, events, s->until);
	return result < 0 ? result : 0;
}

static ssize_t plain_receive(struct stream *s, void *at, size_t n)
{
	ssize_t got;
	int result;

	if (!s->not_socket) {
		do
			got = recv(s->fd, at, n, MSG_DONTWAIT);
		while (got < 0 && errno == EINTR);
		if (got >= 0) {
			s->drained = (size_t) got < n;
			s->sent = false;
			return got;
		}
		if (errno != ENOTSOCK)
			return -errno;
		s->not_socket = true;
	}
	result = prepare_file(s, POLLIN);
	if (result < 0)
		return result;
	do
		got = read(s->fd, at, n);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

ssize_t stream_receive_once(struct stream *s, void *at, size_t n, short *ret_wait)
{
	ssize_t got;

	*ret_wait = POLLIN;
	if (s->transport != NULL)
		got = s->transport->receive(s->transport_arg, at, n, ret_wait);
	else if (s->drained && s->sent)
		return -EAGAIN;		/* nothing more can be there without an edge that the wait will see */
	else
		got = plain_receive(s, at, n);
	if (got > 0 && s->show != NULL)
		s->show(s->show_arg, '<', str_make(at, (size_t) got));
	return got;
}

static ssize_t plain_send(struct stream *s, struct iovec *pieces, int n)
{
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = (size_t) n };
	const int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (s->last ? MSG_MORE : 0);
	ssize_t sent;
	int result;

	if (!s->not_socket) {
		do
			sent = sendmsg(s->fd, &message, flags);
		while (sent < 0 && errno == EINTR);
		if (sent >= 0) {
			s->sent = true;
			return sent;
		}
		if (errno != ENOTSOCK)
			return -errno;
		s->not_socket = true;
	}
	result = prepare_file(s, POLLOUT);
	if (result < 0)
		return result;
	do
		sent = writev(s->fd, pieces, n);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

ssize_t stream_send_once(struct stream *s, struct iovec *pieces, int n, short *ret_wait)
{
	ssize_t sent;

	*ret_wait = POLLOUT;
	if (s->transport != NULL)
		sent = s->transport->send(s->transport_arg, pieces, n, ret_wait);
	else
		sent = plain_send(s, pieces, n);
	if (sent > 0 && s->show != NULL) {
		size_t left = (size_t) sent;

		for (int i = 0; i < n && left > 0; i++) {
			size_t part = MIN(left, pieces[i].iov_len);

			s->show(s->show_arg, '>', str_make(pieces[i].iov_base, part));
			left -= part;
		}
	}
	return sent;
}

/* ---- waiting ---- */

bool stream_wait(struct stream *s, short events)
{
	int result = co_wait_fd(s->fd, events, s->until);

	s->lines = 0;
	s->bytes = 0;
	if (events & POLLIN)
		s->drained = false;
	if (result < 0)
		stream_fail(s, result);
	return result >= 0;
}

void stream_progress(struct stream *s, size_t lines, size_t bytes)
{
	s->lines += (unsigned) lines;
	s->bytes += bytes;
	if (s->lines >= LINES_IN_A_ROW || s->bytes > BYTES_IN_A_ROW) {
		s->lines = 0;
		s->bytes = 0;
		co_pass();
	}
}
