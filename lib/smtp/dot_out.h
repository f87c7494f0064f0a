/* SPDX-License-Identifier: ISC */
/*
 * Message content from lines that end in LF to what DATA sends (RFC 5321 4.5.2): CR LF line ends, a
 * dot before each leading dot, and lines beyond a limit broken (a CR LF and a blank are put in, so
 * that in a header it is a folded line).
 */
#ifndef ROAD_SMTP_DOT_OUT_H
#define ROAD_SMTP_DOT_OUT_H

#include "lib/base/buf.h"

struct dot_out {
	size_t limit;			/* of a line, without CR LF; 0: none; 1 counts as 2 */
	size_t column;			/* bytes of the present line so far */
};

/* The most bytes that n bytes can become, the end included: for the caller's buffer. */
size_t dot_out_most(const struct dot_out *d, size_t n);
/*
 * Encodes `in`, any piece of the content, onto the end of out. -EMSGSIZE: out is too small; then
 * nothing was added.
 */
int dot_out_feed(struct dot_out *d, struct str in, struct buf *out);
/* The end: a line that is not ended gets its CR LF, then "." CR LF. */
int dot_out_end(struct dot_out *d, struct buf *out);

#endif
