/* SPDX-License-Identifier: ISC */
#include "lib/smtp/dot_out.h"

#include <errno.h>

enum { LEAST_LIMIT = 2 };		/* the blank of a broken line, and a byte of content */

/* Every line but the first begins with a blank, and so holds a byte less. */
size_t dot_out_most(const struct dot_out *d, size_t n)
{
	return 2 * n + (d->limit > 0 ? 3 * (n / (MAX(d->limit, (size_t) LEAST_LIMIT) - 1) + 1) : 0) + 5;
}

static char *put(char *to, const char *bytes, size_t n)
{
	memcpy(to, bytes, n);
	return to + n;
}

/* Part of a line, without its LF. */
static char *put_text(struct dot_out *d, char *to, const char *at, size_t n)
{
	const size_t limit = d->limit > 0 ? MAX(d->limit, (size_t) LEAST_LIMIT) : SIZE_MAX;

	if (d->column == 0 && n > 0 && *at == '.')
		*to++ = '.';
	while (n > limit - d->column) {
		size_t fits = limit - d->column;

		to = put(to, at, fits);
		to = put(to, "\r\n ", 3);
		at += fits;
		n -= fits;
		d->column = 1;		/* the blank: so the next byte is never a leading dot */
	}
	d->column += n;
	return put(to, at, n);
}

int dot_out_feed(struct dot_out *d, struct str in, struct buf *out)
{
	char *start = buf_room(out, dot_out_most(d, in.len)), *to = start;
	const char *at = in.at, *end = in.at + in.len;

	if (start == NULL)
		return -EMSGSIZE;
	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t) (end - at));

		to = put_text(d, to, at, (size_t) ((lf == NULL ? end : lf) - at));
		if (lf == NULL)
			break;
		to = put(to, "\r\n", 2);
		d->column = 0;
		at = lf + 1;
	}
	out->len += (size_t) (to - start);
	out->at[out->len] = 0;
	return 0;
}

int dot_out_end(struct dot_out *d, struct buf *out)
{
	int result = buf_add_text(out, d->column > 0 ? "\r\n.\r\n" : ".\r\n");

	d->column = 0;
	return result;
}
