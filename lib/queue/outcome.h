/* SPDX-License-Identifier: ISC */
/*
 * What became of one recipient in one attempt: agents report it, qmgr keeps it in the journal,
 * bounce tells the sender.
 */
#ifndef ROAD_QUEUE_OUTCOME_H
#define ROAD_QUEUE_OUTCOME_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

enum outcome_status {
	OUTCOME_PENDING,		/* not tried yet */
	OUTCOME_DELIVERED,		/* sent; final */
	OUTCOME_DEFERRED,		/* try again */
	OUTCOME_BOUNCED,		/* failed for good; final once the sender was told */
	OUTCOME_EXPANDED,		/* an alias; replaced by others; final (DSN "expanded") */
	OUTCOME_RELAYED,		/* sent to a host without DSN support; final (DSN "relayed") */
	/* sent to a host that will tell the sender of success itself; final (no DSN of ours) */
	OUTCOME_HANDED_ON,
};

struct outcome {
	uint32_t index;			/* the recipient's */
	enum outcome_status status;
	struct str dsn;			/* "5.1.1" */
	struct str relay;		/* as logged: "host[addr]:25", "local", "none" */
	struct str remote_mta;		/* host that said it, or empty */
	struct str diagnostic;		/* what the remote said, with "smtp; " type word, or empty */
	/* the reason for people: "host x said: 550 ... (in reply to RCPT TO command)" */
	struct str text;
	int64_t at_us;			/* wall_us() */
	struct str address, original;	/* only in lists for people (showq); else empty */
};

struct str outcome_status_text(enum outcome_status s);	/* "deferred" */
/*
 * For who reads a journal: does a later line count? What a disk did not take is written again from its
 * beginning (a ledger whose sync failed, lines kept on a full disk), and a death in the middle of that
 * leaves an older state last. Who has got it has got it, whatever stands behind that; and who could not
 * get it is not tried again.
 */
bool outcome_counts_after(enum outcome_status before, enum outcome_status next);

/* TAB-separated lines; control characters in texts become '?'. */
int outcome_pack(const struct outcome *o, struct buf *b);
/* The next one off *packed: 1, 0 at the end, -EBADMSG. Views. */
int outcome_unpack(struct str *packed, struct outcome *ret);

#endif
