/* SPDX-License-Identifier: ISC */
/*
 * One state machine over bytes, in which only line starts and CRs are looked at singly: the inside
 * of a line is found with memchr and copied at once.
 */
#include "lib/smtp/dot_in.h"

#include "lib/base/die.h"

void dot_in_begin(struct dot_in *d, bool dots)
{
	*d = (struct dot_in){ .state = DOT_IN_START, .dots = dots, .after_crlf = true };
}

/* There is room: dot_in_feed() and dot_in_finish() see to it. */
static void put_byte(struct dot_in *d, struct buf *out, char c)
{
	out->at[out->len++] = c;
	d->bytes++;
}

static void put(struct dot_in *d, struct buf *out, struct str bytes)
{
	memcpy(out->at + out->len, bytes.at, bytes.len);
	out->len += bytes.len;
	d->bytes += bytes.len;
}

static void end_line(struct dot_in *d, struct buf *out, bool crlf)
{
	put_byte(d, out, '\n');
	d->lines++;
	d->state = DOT_IN_START;
	d->after_crlf = crlf;
	d->bare_lf |= !crlf;
}

/* The inside of a line up to its LF, or all there is. A last CR waits until it is known what follows. */
static size_t take_text(struct dot_in *d, struct str in, struct buf *out)
{
	const char *lf = memchr(in.at, '\n', in.len);
	struct str text = lf == NULL ? in : str_head(in, (size_t) (lf - in.at));
	size_t used = text.len;
	bool cr = text.len > 0 && text.at[text.len - 1] == '\r';

	if (cr)
		text.len--;
	put(d, out, text);
	if (lf != NULL) {
		end_line(d, out, cr);
		return used + 1;
	}
	d->state = cr ? DOT_IN_TEXT_CR : DOT_IN_TEXT;
	return used;
}

/* Behind a CR: `c` is LF and ends the line, or the CR was content. Returns bytes used. */
static size_t after_cr(struct dot_in *d, char c, struct buf *out)
{
	if (c == '\n') {
		end_line(d, out, true);
		return 1;
	}
	put_byte(d, out, '\r');
	d->state = DOT_IN_TEXT;
	return 0;
}

static size_t step(struct dot_in *d, struct str in, struct buf *out)
{
	char c = in.at[0];

	switch (d->state) {
	case DOT_IN_START:
		if (d->dots && c == '.') {
			d->state = DOT_IN_DOT;
			return 1;
		}
		return take_text(d, in, out);
	case DOT_IN_DOT:
		if (c != '\r')
			return take_text(d, in, out);
		d->state = DOT_IN_DOT_CR;
		return 1;
	case DOT_IN_DOT_CR:
		if (c == '\n' && d->after_crlf) {
			d->state = DOT_IN_END;
			return 1;
		}
		return after_cr(d, c, out);
	case DOT_IN_TEXT_CR:
		return after_cr(d, c, out);
	case DOT_IN_TEXT:
		return take_text(d, in, out);
	case DOT_IN_END:
		break;
	}
	BUG("content after the end of data");
}

size_t dot_in_feed(struct dot_in *d, struct str in, struct buf *out)
{
	size_t used = 0;

	BUG_UNLESS(buf_room(out, in.len + 1) != NULL);
	while (used < in.len && !dot_in_ended(d))
		used += step(d, str_skip(in, used), out);
	out->at[out->len] = 0;
	return used;
}

void dot_in_finish(struct dot_in *d, struct buf *out)
{
	BUG_UNLESS(buf_room(out, 2) != NULL);
	if (d->state == DOT_IN_TEXT_CR || d->state == DOT_IN_DOT_CR)
		put_byte(d, out, '\r');
	if (d->state != DOT_IN_START && d->state != DOT_IN_END)
		end_line(d, out, true);
	out->at[out->len] = 0;
}
