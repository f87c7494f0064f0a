/* SPDX-License-Identifier: ISC */
/*
 * SMTP command lines (RFC 5321 4.1.1), as the server reads them. Pure parsing: views into the line,
 * no allocation. What the bytes of a line may be is decided here, once: no NUL, and well-formed
 * UTF-8 where the caller asks for it.
 */
#ifndef ROAD_SMTP_COMMAND_H
#define ROAD_SMTP_COMMAND_H

#include "lib/base/str.h"

struct command {
	struct str line;		/* all of it, for logging */
	struct str verb;		/* the first word, as written */
	struct str args;		/* the rest, without blanks around it */
};

/*
 * A line without its line end. -EINVAL: no word in it, or a NUL byte; -EILSEQ: utf8 is set and it
 * is not UTF-8.
 */
int command_parse(struct str line, bool utf8, struct command *ret);

/*
 * Takes "FROM:" (given with its colon, any case) and the blanks behind it off *args. False: *args
 * begins otherwise.
 */
bool command_keyword(struct str *args, struct str keyword);

/* Takes the next word off *args. False at the end. */
bool command_word(struct str *args, struct str *ret_word);

/* "1000", "0 LAST" (RFC 3030 2). -EINVAL syntax, -ERANGE more than INT64_MAX. */
int command_bdat(struct str args, uint64_t *ret_size, bool *ret_last);

#endif
