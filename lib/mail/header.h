/* SPDX-License-Identifier: ISC */
/*
 * Message headers (RFC 5322 2.2): one logical header is a name, a colon, a value, and its folded
 * continuation lines. LF line ends.
 */
#ifndef ROAD_MAIL_HEADER_H
#define ROAD_MAIL_HEADER_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/co/co.h"

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

/* Whose addresses a header has, as far as they are rewritten: those of who sends, or of who receives. */
enum header_role { NO_ADDRESSES, NAMES_SENDER, NAMES_RECIPIENTS };
enum header_role header_role(struct str name);

/*
 * Exchanges addresses in a header. `rewrite` gets each and answers 1 with what is to stand there in
 * *ret (internal form), 0: it stays, < 0: stop. Nothing else changes: phrases, comments, folding,
 * order, what cannot be parsed, and a route to nobody. At most `most` addresses are looked at. 1:
 * *ret_whole is the new header in the arena, 0: nothing to change, < 0 as rewrite() answered.
 */
struct header_mailbox;
typedef int header_rewriter(void *arg, const struct header_mailbox *box, struct str *ret) MAY_YIELD;
int header_rewrite(const struct header *h, struct arena *a, int64_t most, header_rewriter *rewrite, void *arg,
		   struct str *ret_whole) MAY_YIELD;

/* "Mon, 22 Nov 2026 01:02:03 +0000 (UTC)" (RFC 5322 3.3), local zone; room for 64. */
void date_print(int64_t at_s, char text[64]);

#endif
