/* SPDX-License-Identifier: ISC */
/*
 * Doing something as another user: in a child process, which becomes that user for good before it does
 * anything, and says in a reply what came of it. The reply is as little trusted as the user.
 */
#ifndef ROAD_MAILBOX_CHILD_H
#define ROAD_MAILBOX_CHILD_H

#include <sys/types.h>

#include "lib/base/buf.h"

enum { NO_GROUP = -1 };

struct child_work {
	uid_t uid;
	gid_t gid;
	/* a group that child_use_spool_group() may take on, (gid_t) NO_GROUP: none */
	gid_t spool_gid;
	/*
	 * In the child. Only descriptors 0 to 2 (/dev/null), the reply and *keep_fd (NULL: none; its number
	 * changes) are open; signals are as at a program's start. It must not log: words for people go into
	 * the reply.
	 */
	void (*run)(void *arg, struct buf *reply);
	void *arg;
	int *keep_fd;
	int64_t time_limit_ms;		/* then the child and its process group are killed */
};
/*
 * 0 with the reply (its limit holds), -EPERM: could not become that user, -ETIMEDOUT, -ECHILD: it died or
 * said too much, -errno. Blocking.
 */
int child_run(const struct child_work *w, struct buf *ret_reply);

/* In the child: the group of the mail spool directory for a moment, and back. */
int child_use_spool_group(bool on);
/* In a child of the child, before a command is started: gives the spool group up for good. 0 or -errno. */
int child_forget_spool_group(void);

#endif
