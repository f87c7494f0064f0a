/* SPDX-License-Identifier: ISC */
/* Lists of destinations, as in aliases(5), .forward and :include: files. */
#ifndef ROAD_LOCAL_DESTINATIONS_H
#define ROAD_LOCAL_DESTINATIONS_H

#include "lib/base/arena.h"

enum destination_kind {
	TO_ADDRESS,			/* user, user@domain: internal form */
	TO_USER,			/* \user: no further aliases or .forward files */
	TO_COMMAND,			/* |command */
	TO_FILE,			/* /file or /directory/ */
	TO_HOME_FILE,			/* ~/file: from its slash on */
	TO_INCLUDE,			/* :include:/file */
};
struct destination {
	enum destination_kind kind;
	struct str what;		/* without its mark; views or in the arena */
};
struct destinations {
	size_t count;
	struct destination *at;
};
/*
 * Separated by commas and line ends, and addresses by blanks too; "quoted items" may contain all of them; lines that start with '#' and empty
 * items are passed over. -EINVAL with the item in *ret_bad: cannot be read; -E2BIG: more than most.
 */
int destinations_parse(struct str text, size_t most, struct arena *a, struct destinations *ret,
		       struct str *ret_bad);

#endif
