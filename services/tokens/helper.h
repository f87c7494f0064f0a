/* SPDX-License-Identifier: ISC */
/* The helper command that makes tokens: running it, in a hand of its user, and understanding what it says. */
#ifndef ROAD_TOKENS_HELPER_H
#define ROAD_TOKENS_HELPER_H

#include "lib/agent/hands.h"

enum { MOST_TOKEN = 8192 };

struct helper {
	struct str *argv;		/* ${user} in them stands for whom a token is wanted */
	size_t argc;
	struct str user, group;		/* who runs it; group may be empty */
	struct str home;
	struct arena *arena;		/* holds what is known of the user, as long as the process lives */
};
/* "user=name[:group] argv=command arguments", of master.cf. -EINVAL with words. Views into the words. */
int helper_parse(struct str *words, size_t n, struct helper *ret, struct buf *why);

/*
 * In the hand: the errand is for whom. The reply is '+' and what the command wrote to its standard
 * output, or '-' and why there is nothing.
 */
int helper_run(const struct helper *h, struct hand_job *j);

struct token {
	struct str text;
	int64_t seconds;		/* how long it is good from now on; 0: that was not said */
};
/*
 * What the command wrote: the token on the first line, and perhaps on the second one for how many
 * seconds it is good; or the JSON object of RFC 6749 5.1, of which access_token and expires_in
 * count. -EBADMSG. A view into output.
 */
int token_parse(struct str output, struct token *ret);

#endif
