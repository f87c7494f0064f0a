/* SPDX-License-Identifier: ISC */
/*
 * The reading half of a stream. While nothing is read ahead there is no buffer: a receive then goes
 * into one scratch area for the whole process and what came is copied into a buffer of fitting
 * size, without a wait in between. A stream that fills a big buffer receives straight into it until
 * it has to wait.
 */
#include <errno.h>
#include <poll.h>

#include "lib/base/die.h"
#include "lib/io/stream_private.h"

enum { SMALLEST_BUFFER = 512, BULK = 8 << 10 };

static char scratch[STREAM_BUFFER];
/* bytes from its start that something was received into since it was wiped */
static size_t scratch_used;

static size_t held(const struct stream *s)
{
	return s->in_end - s->in_at;
}

static struct str at_hand(const struct stream *s)
{
	return str_make(s->in == NULL ? "" : s->in + s->in_at, held(s));
}

void stream_free_input(struct stream *s)
{
	free(s->in);
	s->in = NULL;
	s->in_at = s->in_end = s->in_cap = s->scanned = 0;
}

void stream_wipe_input(struct stream *s)
{
	explicit_bzero(scratch, scratch_used);
	scratch_used = 0;
	if (s->in == NULL)
		return;
	explicit_bzero(s->in, s->in_at);
	explicit_bzero(s->in + s->in_end, s->in_cap - s->in_end);
}

/* Part of a line may be part of a password: no copy of it stays behind. */
static void grow(struct stream *s, size_t cap)
{
	char *in = get_memory(cap);

	if (s->in != NULL) {
		memcpy(in, s->in, s->in_end);
		explicit_bzero(s->in, s->in_end);
		free(s->in);
	}
	s->in = in;
	s->in_cap = cap;
}

static void compact(struct stream *s)
{
	if (s->in_at == 0)
		return;
	memmove(s->in, s->in + s->in_at, held(s));
	s->in_end -= s->in_at;
	s->in_at = 0;
}

static void append(struct stream *s, const char *bytes, size_t n)
{
	size_t need, cap = SMALLEST_BUFFER;

	if (s->in != NULL)
		compact(s);
	need = s->in_end + n;
	if (need > s->in_cap) {
		while (cap < need)
			cap *= 2;
		if (n >= BULK)
			cap = MAX(cap, (size_t) STREAM_BUFFER);
		grow(s, cap);
	}
	memcpy(s->in + s->in_end, bytes, n);
	s->in_end += n;
}

/* What a receive that brought nothing means. The end is an error only when nothing is at hand any more. */
static void no_bytes(struct stream *s, ssize_t got)
{
	if (got == 0)
		s->ended = true;
	if (got < 0 || held(s) == 0)
		stream_fail(s, got == 0 ? -EPIPE : (int) got);
}

/*
 * Receives at least a byte; what waits to be sent goes out before we wait. 0: the stream has failed
 * or ended.
 */
static size_t receive_waiting(struct stream *s, char *at, size_t n)
{
	for (;;) {
		short events;
		ssize_t got = stream_receive_once(s, at, n, &events);

		if (got > 0)
			return (size_t) got;
		if (got != -EAGAIN) {
			no_bytes(s, got);
			return 0;
		}
		flush(s);
		if (s->error != 0 || !stream_wait(s, events))
			return 0;
	}
}

/* Adds at least one byte to those at hand, of which there may be `limit` at most. */
static bool fill(struct stream *s, size_t limit)
{
	size_t n;
	short events;
	ssize_t got;

	if (s->ended && held(s) == 0)
		stream_fail(s, -EPIPE);
	if (s->error != 0 || s->ended)
		return false;
	if (s->drained)
		flush(s);		/* the peer will hardly say more before it has our answer */
	if (s->in_cap >= STREAM_BUFFER) {
		compact(s);
		n = MIN(s->in_cap, limit) - MIN(s->in_end, limit);
		got = n == 0 || s->error != 0 ? -EAGAIN : stream_receive_once(s,
				s->in + s->in_end, n, &events);
		if (got > 0) {
			s->in_end += (size_t) got;
			stream_progress(s, 0, (size_t) got);
			return true;
		}
		if (got != -EAGAIN) {
			no_bytes(s, got);
			return false;
		}
	}
	if (held(s) == 0)
		stream_free_input(s);
	if (s->error != 0)
		return false;
	n = receive_waiting(s, scratch, MIN(sizeof(scratch), limit - held(s)));
	scratch_used = MAX(scratch_used, n);
	if (n == 0)
		return false;
	append(s, scratch, n);
	stream_progress(s, 0, n);
	return true;
}

/* ---- lines ---- */

static void take(struct stream *s, size_t n)
{
	s->in_at += n;
	s->scanned = 0;
}

/* Bytes at hand up to and with the LF, or 0: there is none yet. */
static size_t find_line(struct stream *s)
{
	struct str all = at_hand(s);
	const char *lf = memchr(all.at + s->scanned, '\n', all.len - s->scanned);

	if (lf == NULL) {
		s->scanned = all.len;
		return 0;
	}
	return (size_t) (lf - all.at) + 1;
}

static bool skip_rest_of_line(struct stream *s)
{
	while (s->skipping) {
		size_t n = find_line(s);

		if (n > 0)
			s->skipping = false;
		s->skipped += n > 0 ? n : held(s);
		take(s, n > 0 ? n : held(s));
		stream_wipe_input(s);
		if (s->skipped > LONGEST_SKIPPED) {
			stream_fail(s, -E2BIG);
			return false;
		}
		if (s->skipping && !fill(s, STREAM_BUFFER))
			return false;
	}
	return true;
}

static bool too_long(struct stream *s, size_t line)
{
	s->skipping = line == 0;
	s->skipped = 0;
	take(s, line > 0 ? line : held(s));
	stream_wipe_input(s);		/* passwords are what is long and not expected */
	stream_fail(s, -EMSGSIZE);
	return false;
}

bool read_line(struct stream *s, size_t max, struct str *ret_line, bool *ret_bare_lf)
{
	size_t n, len;
	bool cr;

	if (s->error != 0 || !skip_rest_of_line(s))
		return false;
	while ((n = find_line(s)) == 0) {
		if (held(s) > max + 1)		/* a CR may be the last of them */
			return too_long(s, 0);
		if (!fill(s, MAX((size_t) STREAM_BUFFER, max + 2))) {
			stream_fail(s, -EPIPE);		/* if it has not failed: part of a line is no line */
			return false;
		}
	}
	len = n - 1;
	cr = len > 0 && s->in[s->in_at + len - 1] == '\r';
	len -= cr;
	if (len > max)
		return too_long(s, n);
	*ret_line = str_make(s->in + s->in_at, len);
	if (ret_bare_lf != NULL)
		*ret_bare_lf = !cr;
	take(s, n);
	stream_progress(s, 1, 0);
	return true;
}

/* ---- bytes ---- */

ssize_t read_some(struct stream *s, void *at, size_t n)
{
	struct str ready;
	size_t got;

	if (s->error != 0)
		return s->error == -EPIPE ? 0 : s->error;
	if (held(s) == 0 && n >= STREAM_BUFFER && !s->ended) {
		stream_free_input(s);
		got = receive_waiting(s, at, n);	/* as big as our buffer: no copy */
		stream_progress(s, 0, got);
	} else {
		ready = stream_peek(s);
		got = MIN(n, ready.len);
		if (got > 0)
			memcpy(at, ready.at, got);
		stream_skip(s, got);
	}
	if (got > 0)
		return (ssize_t) got;
	return s->error == -EPIPE ? 0 : s->error;
}

bool read_exact(struct stream *s, void *at, size_t n)
{
	char *to = at;

	while (n > 0) {
		ssize_t got = read_some(s, to, n);

		if (got <= 0)
			return false;
		to += got;
		n -= (size_t) got;
	}
	return true;
}

struct str stream_peek(struct stream *s)
{
	if (held(s) == 0 || s->error != 0)
		fill(s, STREAM_BUFFER);
	return s->error != 0 ? STR_NONE : at_hand(s);
}

bool stream_peek_more(struct stream *s, struct str *ret_bytes)
{
	if (held(s) >= STREAM_BUFFER || !fill(s, STREAM_BUFFER))
		return false;
	*ret_bytes = at_hand(s);
	return true;
}

void stream_skip(struct stream *s, size_t n)
{
	BUG_UNLESS(n <= held(s));
	take(s, n);
}

bool stream_more(const struct stream *s)
{
	return held(s) > 0;
}

void stream_drop_input(struct stream *s)
{
	stream_free_input(s);
	s->skipping = false;
}

bool stream_poll_input(struct stream *s)
{
	short events;
	ssize_t got;

	if (held(s) > 0 || s->error != 0)
		return held(s) > 0;
	s->sent = false;			/* this is to learn about the end as well: really look */
	got = stream_receive_once(s, scratch, sizeof(scratch), &events);
	if (got == -EAGAIN)
		return false;
	if (got <= 0) {
		no_bytes(s, got);
		return false;
	}
	scratch_used = MAX(scratch_used, (size_t) got);
	append(s, scratch, (size_t) got);
	return true;
}
