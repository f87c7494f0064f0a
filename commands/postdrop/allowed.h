/* SPDX-License-Identifier: ISC */
/*
 * What a local account may do: hand in mail (authorized_submit_users), and with which senders
 * (local_login_sender_maps).
 */
#ifndef ROAD_POSTDROP_ALLOWED_H
#define ROAD_POSTDROP_ALLOWED_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

/*
 * 1 yes, 0 no; -errno with words when it cannot be found out: then nobody may. user "": an account
 * without a name.
 */
int may_submit(struct arena *a, const char *authorized_submit_users, struct str user, struct buf *why);

struct sender_rules {
	const char *maps;		/* local_login_sender_maps */
	const char *null_pattern;	/* what stands for the null sender in their results */
	struct str delimiter;		/* recipient_delimiter */
};
/* The same for one sender. login: "uid:1234" of an account without a name. */
int may_send_as(struct arena *a, const struct sender_rules *rules, struct str login, struct str sender,
		struct buf *why);

#endif
