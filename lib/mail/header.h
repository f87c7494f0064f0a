/* SPDX-License-Identifier: ISC */
/*
 * Message headers (RFC 5322 2.2): one logical header is a name, a colon, a value, and its folded
 * continuation lines. LF line ends.
 */
#ifndef ROAD_MAIL_HEADER_H
#define ROAD_MAIL_HEADER_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

struct header {
	struct str whole;		/* with its folded lines, without the last LF */
	struct str name;		/* without the colon; white space before the colon is not part */
	/* from behind the colon, not trimmed, may contain LF and white space of folding */
	struct str value;
};

/*
 * Is this line (no LF) the start of a header? "Name:", a name of printable ASCII without blanks (also
 * under RFC 6532); also "Name :" as obsolete syntax.
 */
bool is_header_start(struct str line);
/*
 * The next whole header of *rest, where *rest starts at a line's start. 1, 0 at an empty line or the end
 * (*rest behind the empty line), -EINVAL: not a header.
 */
int header_next(struct str *rest, struct header *ret);
/*
 * Value without folding (LF removed, white space of folds kept as one blank), trimmed, in the arena, at
 * most max bytes.
 */
struct str header_unfold(struct arena *a, struct str value, size_t max);

/* "Mon, 22 Nov 2026 01:02:03 +0000 (UTC)" (RFC 5322 3.3), local zone; room for 64. */
void date_print(int64_t at_s, char text[64]);

#endif
