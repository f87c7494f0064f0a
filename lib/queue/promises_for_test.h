/* SPDX-License-Identifier: ISC */
/*
 * What crash_test has been promised by the queue, message by message, and whether what is found after a
 * crash keeps it. A message's content follows from its number, so nothing of it is kept here.
 */
#ifndef ROAD_QUEUE_PROMISES_FOR_TEST_H
#define ROAD_QUEUE_PROMISES_FOR_TEST_H

#include "lib/queue/queue.h"

enum { MOST_PROMISES = 400, MOST_RECIPIENTS = 4, MOST_SIGHTS = 2 * MOST_PROMISES };

struct promise {
	char id[32];
	uint64_t number;		/* what its content follows from */
	size_t body_len;
	unsigned to;			/* bits: whom it goes to */
	bool is_acknowledged;		/* the commit returned 0 */
	/* its end: began, so it need not be there any more; came; is durable, so it must not be there */
	bool may_be_gone, has_ended, must_be_gone;
	bool ends_in_log;		/* the ledger says so, and the next sync makes it durable */
	/* bits: who got it. Written perhaps; written; written to the ledger, and not synced; durable. */
	unsigned got, got_written, got_in_log, got_for_certain;
	unsigned ever_got;		/* the same after a power cut has made it forgotten */
	bool may_be_in_maildrop, must_be_in_maildrop;
};

struct promises {
	struct promise at[MOST_PROMISES];
	size_t count;
};

struct promise *promise_of(struct promises *all, struct str id);		/* NULL: none */
struct promise *promise_add(struct promises *all, uint64_t number, size_t body_len, unsigned to);

/* What it holds. */
void promise_headers(const struct promise *p, struct buf *to);
void promise_body(const struct promise *p, struct buf *to);
void promise_envelope(const struct promise *p, struct arena *a, struct envelope *ret);

/* A message as it was found. */
struct sight {
	char id[32];
	enum queue_name where;
	unsigned open;			/* bits: who is still to get it */
};

struct sights {
	struct sight at[MOST_SIGHTS];
	size_t count;
};

/*
 * Reads all of one as qmgr does, and compares it: 0, -errno of the queue. What is not as promised is
 * said in why.
 */
int sight_read(struct promises *all, struct queue *q, enum queue_name where, struct str id, struct sight *ret,
	       struct buf *why);
/* Is everything there that was promised, and nothing that must not be? Says in why what is wrong. */
void promises_compare(struct promises *all, const struct sights *seen, struct buf *why);
/* The same when only processes died: what was written is known. */
void promises_compare_all(struct promises *all, const struct sights *seen, struct buf *why);

/* All that the ledgers say is durable now; or nothing of it ever will be (the sync failed). */
void promises_ledgers_synced(struct promises *all, bool well);
void promises_settled(struct promises *all);			/* all that happened is durable */
/* The power failed, and this is what there is: from now on this is what counts. */
void promises_begin_anew(struct promises *all, const struct sights *seen);

#endif
