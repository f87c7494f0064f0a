/* SPDX-License-Identifier: ISC */
/*
 * MIME structure (RFC 2045, 2046) as a line-driven walker: whoever reads or converts a message feeds it
 * line by line and is told what each line is. Nesting and boundary lengths are bounded (mime_nesting_limit,
 * mime_boundary_length_limit). Never recursive; memory does not grow with the message.
 */
#ifndef ROAD_MAIL_MIME_H
#define ROAD_MAIL_MIME_H

#include "lib/base/arena.h"

enum mime_line {
	MIME_PRIMARY_HEADER,		/* of the message itself */
	MIME_PART_HEADER,		/* of a body part */
	MIME_NESTED_HEADER,		/* of an attached message/rfc822 */
	MIME_BLANK,			/* the empty line that ends headers */
	MIME_BODY,
	MIME_BOUNDARY,			/* --boundary or --boundary-- */
};
enum mime_encoding { MIME_7BIT, MIME_8BIT, MIME_BINARY, MIME_QUOTED_PRINTABLE, MIME_BASE64, MIME_OTHER };

/* RFC 2046 allows 70; longer ones are compared by their first bytes */
enum { MIME_BOUNDARY_MAX = 256 };

struct mime_walker;
/* Takes 4 KiB of the arena, at most 256 KiB for long headers, and 300 bytes for each level in use. */
struct mime_walker *mime_walker_new(struct arena *a, int nesting_limit);
/*
 * One line without its LF, or the first 2 KiB of a long one. A line in a header block
 * that is no header and no continuation starts the body, as if an empty line stood before it.
 */
enum mime_line mime_feed(struct mime_walker *m, struct str line);
/* Another piece of that line: a header may be long, and what it says stand at its end. */
void mime_feed_more(struct mime_walker *m, struct str piece);
/* of the part that the walker is in, valid in its body */
enum mime_encoding mime_encoding_here(const struct mime_walker *m);
bool mime_is_leaf(const struct mime_walker *m);	/* not multipart, not message: its body may be re-encoded */
/* a multipart or an attached message whose parts the walker sees */
bool mime_is_composite(const struct mime_walker *m);
/* the nesting limit was exceeded somewhere: what is below it counts as one opaque body */
bool mime_is_too_deep(const struct mime_walker *m);

/*
 * Conversion of 8-bit leaves to quoted-printable for a peer without 8BITMIME (RFC 6152): feeds content in
 * any pieces, writes converted text. Leaves that are declared 8bit or binary are encoded, and their
 * Content-Transfer-Encoding header is replaced (at the end of its header block); composite parts become
 * 7bit. What is declared 7bit, quoted-printable or base64 stays byte for byte, and so does undeclared 8-bit
 * text.
 */
struct mime_downgrade;
struct mime_downgrade *mime_downgrade_new(struct arena *a, void (*out)(void *arg, struct str bytes),
					  void *arg);
int mime_downgrade_feed(struct mime_downgrade *d, struct str bytes);	/* always 0 */
int mime_downgrade_end(struct mime_downgrade *d);			/* always 0 */

#endif
