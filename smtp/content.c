/* SPDX-License-Identifier: ISC */
/*
 * The message's content on its way out: read in pieces, converted if the server needs that,
 * dot-stuffed, written.
 */
#include <errno.h>
#include <sys/uio.h>

#include "lib/base/die.h"
#include "lib/mail/mime.h"
#include "lib/smtp/dot_out.h"
#include "smtp/smtp.h"

enum { PIECE = 32 << 10 };

struct sending {
	struct session *s;
	struct dot_out dots;
	struct buf out;			/* encoded, not yet written */
};

static void write_out(struct sending *w)
{
	struct iovec piece = { .iov_base = w->out.at, .iov_len = w->out.len };

	if (w->out.len == 0)
		return;
	stream_deadline(w->s->stream, in(the_client.conf.smtp_data_xfer_timeout));
	write_pieces(w->s->stream, &piece, 1);
	buf_clear(&w->out);
}

static void encode(void *arg, struct str bytes)
{
	struct sending *w = arg;

	while (bytes.len > 0) {
		struct str part = str_head(bytes, PIECE);

		if (w->out.len >= PIECE)
			write_out(w);
		BUG_UNLESS(dot_out_feed(&w->dots, part, &w->out) == 0);
		bytes = str_skip(bytes, part.len);
	}
}

static bool must_downgrade(const struct job *job, const struct session *s)
{
	return (job->d->env.flags & ENVELOPE_8BITMIME) && !(s->offers.features & EHLO_8BITMIME)
		&& !the_client.conf.disable_mime_output_conversion;
}

static void put(struct sending *w, struct mime_downgrade *downgrade, struct str bytes)
{
	if (downgrade != NULL)
		mime_downgrade_feed(downgrade, bytes);
	else
		encode(w, bytes);
}

static int send_all(struct job *job, struct sending *w, struct mime_downgrade *downgrade)
{
	struct delivery *d = job->d;
	size_t size = (size_t) MIN(d->content.parts.size + 1, (uint64_t) PIECE);
	AUTO_PTR char *piece = resize_memory(NULL, size);
	uint64_t at = 0;

	if (job->outside != NULL) {
		put(w, downgrade, buf_str(&job->outside->headers));
		at = d->content.parts.headers_len;
	}
	while (at < d->content.parts.size) {
		ssize_t n = content_pread(&d->content, at, piece, size);

		if (n <= 0)
			return n < 0 ? (int) n : -EIO;
		put(w, downgrade, str_make(piece, (size_t) n));
		if (stream_error(w->s->stream) != 0)
			return 0;
		at += (uint64_t) n;
	}
	if (downgrade != NULL)
		mime_downgrade_end(downgrade);
	return 0;
}

int content_send(struct job *job, struct session *s, bool *ret_local)
{
	struct sending w = { .s = s, .dots = { .limit = (size_t) the_client.conf.smtp_line_length_limit },
			     .out = BUF(0) };
	struct arena *scratch = NULL;
	int result;

	w.out.limit = PIECE + dot_out_most(&w.dots, PIECE) + 16;
	if (must_downgrade(job, s)) {
		scratch = arena_new("conversion", NULL, 4 << 20);
		result = send_all(job, &w, mime_downgrade_new(scratch, encode, &w));
	} else {
		result = send_all(job, &w, NULL);
	}
	*ret_local = result < 0;
	if (result == 0) {
		if (w.out.len + 8 > w.out.limit)
			write_out(&w);
		dot_out_end(&w.dots, &w.out);
		write_out(&w);
		result = stream_error(s->stream);
	}
	arena_free(scratch);
	buf_free(&w.out);
	return result;
}

bool content_needs_utf8(const struct job *job)
{
	struct delivery *d = job->d;
	AUTO_PTR char *piece = NULL;

	if (job->outside != NULL)
		return !str_is_ascii(buf_str(&job->outside->headers));
	piece = resize_memory(NULL, PIECE);

	for (uint64_t at = 0; at < d->content.parts.headers_len;) {
		ssize_t n = content_pread(&d->content, at, piece,
					  (size_t) MIN((uint64_t) PIECE, d->content.parts.headers_len - at));

		if (n <= 0)
			return true;		/* it cannot be sent now anyway */
		if (!str_is_ascii(str_make(piece, (size_t) n)))
			return true;
		at += (uint64_t) n;
	}
	return false;
}
