/* SPDX-License-Identifier: ISC */
/*
 * Doing things as other users. Three kinds of process:
 *
 *   agent      the mail owner; jailed; serves many deliveries at once; decides whose rights something is done with, and reads no message
 *   spawner    root, with the few capabilities that it takes; a page of code: starts and kills hands, knows no configuration and no mail
 *   hand       a user, for good; takes errands from the agent over a socket of its own, plain blocking code; lives on for the
 *              next errand as long as there is work, so that a fork per delivery is the exception
 *
 * An errand is words of the agent's own, and usually a message. What a hand says in its reply is as
 * little trusted as its user.
 *
 * A hand takes several errands at once, so that they share a sync (lib/mailbox/mailbox.h); none of
 * them waits for anything but the disk. What may take longer (a command, a lock that is somebody
 * else's) says -EAGAIN before it has done anything, and is given to a hand that does nothing else
 * meanwhile.
 */
#ifndef ROAD_AGENT_HANDS_H
#define ROAD_AGENT_HANDS_H

#include "lib/agent/agent.h"
#include "lib/mailbox/mailbox.h"

enum { NO_GROUP = -1 };

/* ---- in the agent ---- */

struct identity {
	uid_t uid;
	gid_t gid;
	/* a group that hand_use_spool_group() may take on; (gid_t) NO_GROUP: none */
	gid_t spool_gid;
	/*
	 * its jobs wait for other daemons, each in a coroutine; they write no mailboxes and are
	 * never alone
	 */
	bool multiplexes;
};

struct hand_order {
	struct identity as;
	const struct delivery *d;	/* its message goes along; NULL: none is needed */
	const struct recipient *r;	/* NULL: all of the delivery's */
	struct str what;
	/* alone: not more than so many at once for whom it is; 0: no limit */
	struct str whom;
	int most_alone;
	/* errands for one place (an mbox file) are given to one hand as long as it has any; may be empty */
	struct str place;
	bool alone;
	/* of one that is alone (then its hand is killed, with its process group) or whose hand multiplexes */
	int64_t time_limit_ms;
	/* private */
	struct arena *arena;
	struct list link;
	struct hand *hand;
	uint32_t number;
	int code;			/* 1 while it is under way */
	when_t until;			/* NEVER: no hand has it yet */
	struct str reply;
	struct bell done;
};
/* Gives it out; it must live, where it is, until hands_wait() has returned. The reply will be in arena a. */
void hands_send(struct hand_order *o, struct arena *a);
/*
 * 0 with the reply in o->reply, -EPERM and others: could not become that user, -ETIMEDOUT, -ECHILD:
 * the hand died, -ECANCELED (what was begun is nevertheless done), -errno.
 */
int hands_wait(struct hand_order *o) MAY_YIELD;

/* ---- in a hand ---- */

struct hand_job {
	struct str what;
	/* NULL: came without a message. d->env has only the recipients that it is for */
	struct delivery *d;
	bool alone;
	struct mailbox_batch *batch;	/* NULL when alone */
	struct arena *arena;
	struct buf reply;
	void *state;			/* from run to finish */
	uint32_t number;		/* private */
};
struct trade {
	/*
	 * Does it. -EAGAIN, if not alone: this may take long, and nothing was done yet. It must not
	 * log: words for people go into the reply. Only descriptors 0 to 2 and the hand's own are
	 * open; signals are as at a program's start, but for SIGPIPE and SIGXFSZ.
	 */
	int (*run)(struct hand_job *j);
	/* After the sync of all that was written: completes the reply. */
	void (*finish)(struct hand_job *j);
	const char *chroot;		/* the root directory of hands; NULL: as usual */
};

/* In the agent's start(), before the jail: makes the spawner. */
void hands_begin(const struct trade *t);

/* POLLRDHUP on it: the agent is gone, or does not want to know any more what the hand is doing. */
int hand_socket(void);
bool hand_is_heard(void);		/* not so */

/* The group of the mail spool directory for a moment, and back. */
int hand_use_spool_group(bool on);
/* In a child of the hand, before a command is started: gives the spool group up for good. 0 or -errno. */
int hand_forget_spool_group(void);

#endif
