/* SPDX-License-Identifier: ISC */
/*
 * The writing half of a stream: small pieces gather, big ones go out beside the buffer without
 * being copied.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>

#include "lib/base/die.h"
#include "lib/base/format.h"
#include "lib/io/stream_private.h"

enum { SMALLEST_OUTPUT = 1024, NOT_WORTH_COPYING = 16 << 10, PIECES_AT_ONCE = 64 };

/* Sends all of v, waiting as needed. */
static void send_all(struct stream *s, struct iovec *v, int n)
{
	while (n > 0 && s->error == 0) {
		short events;
		ssize_t sent;

		if (v->iov_len == 0) {
			v++, n--;
			continue;
		}
		sent = stream_send_once(s, v, n, &events);
		if (sent == -EAGAIN) {
			stream_wait(s, events);
			continue;
		}
		if (sent < 0) {
			stream_fail(s, (int) sent);
			return;
		}
		stream_progress(s, 0, (size_t) sent);
		for (; n > 0 && (size_t) sent >= v->iov_len; v++, n--)
			sent -= (ssize_t) v->iov_len;
		if (n > 0) {
			v->iov_base = (char *) v->iov_base + sent;
			v->iov_len -= (size_t) sent;
		}
	}
}

/*
 * The buffer is taken out of the stream before it is sent: a coroutine that reads and one that
 * writes may share a stream, and the reader flushes too. Whoever comes while the other is sending
 * leaves it to him.
 */
static char *take_output(struct stream *s, size_t *ret_len)
{
	char *out = s->out;

	*ret_len = s->out_len;
	s->out = NULL;
	s->out_len = s->out_cap = 0;
	return out;
}

void flush(struct stream *s)
{
	if (s->sending)
		return;
	s->sending = true;
	while (s->out_len > 0) {
		size_t len;
		AUTO_PTR char *out = take_output(s, &len);
		struct iovec one = { .iov_base = out, .iov_len = len };

		send_all(s, &one, 1);
	}
	s->sending = false;
}

void flush_last(struct stream *s)
{
	s->last = true;
	flush(s);
}

void write_pieces(struct stream *s, const struct iovec *pieces, int n)
{
	struct iovec v[PIECES_AT_ONCE];
	int taken = 0;

	if (s->error != 0)
		return;
	BUG_UNLESS(!s->sending);	/* two write */
	s->sending = true;
	do {
		size_t len;
		AUTO_PTR char *out = take_output(s, &len);
		int count = 0;

		if (len > 0)
			v[count++] = (struct iovec){ .iov_base = out, .iov_len = len };
		while (count < PIECES_AT_ONCE && taken < n)
			v[count++] = pieces[taken++];
		send_all(s, v, count);
	} while (taken < n && s->error == 0);
	s->sending = false;
}

/*
 * Room for n more bytes, n <= STREAM_BUFFER; flushes what is in the way (or lets it grow if
 * somebody is sending). NULL: failed.
 */
static char *room(struct stream *s, size_t n)
{
	size_t cap = MAX(s->out_cap, (size_t) SMALLEST_OUTPUT);

	if (s->out_len + n > STREAM_BUFFER)
		flush(s);
	if (s->error != 0)
		return NULL;
	if (s->out_len + n > s->out_cap) {
		cap = MAX(s->out_cap, (size_t) SMALLEST_OUTPUT);
		while (cap < s->out_len + n)
			cap *= 2;
		s->out = resize_memory(s->out, cap);
		s->out_cap = cap;
	}
	return s->out + s->out_len;
}

void write_str(struct stream *s, struct str b)
{
	char *at;

	if (s->error != 0 || b.len == 0)
		return;
	if (b.len >= NOT_WORTH_COPYING) {
		struct iovec piece = { .iov_base = (void *) (uintptr_t) b.at, .iov_len = b.len };

		write_pieces(s, &piece, 1);
		return;
	}
	at = room(s, b.len);
	if (at == NULL)
		return;
	memcpy(at, b.at, b.len);
	s->out_len += b.len;
}

void writef(struct stream *s, const char *format, ...)
{
	va_list arguments;
	char usual[512], *at;
	int n;

	if (s->error != 0)
		return;
	va_start(arguments, format);
	n = format_textv(usual, sizeof(usual), format, arguments);
	va_end(arguments);
	BUG_UNLESS(n >= 0 && n < STREAM_BUFFER);
	at = room(s, (size_t) n + 1);
	if (at == NULL)
		return;
	if (n < (int) sizeof(usual)) {
		memcpy(at, usual, (size_t) n);
	} else {
		va_start(arguments, format);
		format_textv(at, (size_t) n + 1, format, arguments);
		va_end(arguments);
	}
	s->out_len += (size_t) n;
}

size_t stream_unsent(const struct stream *s)
{
	return s->out_len;
}
