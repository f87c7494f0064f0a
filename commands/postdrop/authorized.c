/* SPDX-License-Identifier: ISC */
/*
 * authorized_submit_users by hand: the general table code reads database files with libraries that a setgid program must not
 * link, so only what needs none of them is known here.
 */
#include "commands/postdrop/authorized.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/conf/conf.h"

enum { MOST_NESTING = 8 };

enum answer { NO_MATCH = 2 };		/* besides 0 no, 1 yes, -errno */

static int match_list(struct arena *a, struct str list, struct str user, int depth, struct buf *why);

static int match_file(struct arena *a, struct str path, struct str user, int depth, struct buf *why)
{
	struct str text;
	int r;

	if (depth >= MOST_NESTING) {
		buf_addf(why, "authorized_submit_users: files name each other");
		return -ELOOP;
	}
	r = conf_read_file(a, str_c(a, path), &text, why);
	return r < 0 ? r : match_list(a, text, user, depth + 1, why);
}

static int match_one(struct arena *a, struct str pattern, struct str user, int depth, struct buf *why)
{
	bool negated = false;
	int r;

	while (pattern.len > 0 && pattern.at[0] == '!') {
		negated = !negated;
		pattern = str_skip(pattern, 1);
	}
	if (pattern.len > 0 && pattern.at[0] == '/') {
		r = match_file(a, pattern, user, depth, why);
		return r < 0 || r == NO_MATCH ? r : negated ? !r : r;
	}
	if (str_starts(pattern, STR("static:")))
		return !negated;
	if (str_find(pattern, ':') >= 0) {
		buf_addf(why, "authorized_submit_users: \"%.*s\": tables other than static: cannot be used here", PSTR(pattern));
		return -EINVAL;
	}
	return user.len > 0 && str_is_nocase(pattern, user) ? !negated : NO_MATCH;
}

static int match_list(struct arena *a, struct str list, struct str user, int depth, struct buf *why)
{
	struct str pattern;

	while (str_token(&list, ", \t\r\n", &pattern)) {
		int r = match_one(a, pattern, user, depth, why);

		if (r != NO_MATCH)
			return r;
	}
	return NO_MATCH;
}

int is_authorized(struct arena *a, struct str list, struct str user, struct buf *why)
{
	int r = match_list(a, list, user, 0, why);

	return r == NO_MATCH ? 0 : r;
}
