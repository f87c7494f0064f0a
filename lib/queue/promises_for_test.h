/* SPDX-License-Identifier: ISC */
/*
 * What crash_test has been promised by the queue, message by message, and whether what is found after a
 * crash keeps it. A message's content follows from its number, so nothing of it is kept here.
 */
#ifndef ROAD_QUEUE_PROMISES_FOR_TEST_H
#define ROAD_QUEUE_PROMISES_FOR_TEST_H

#include "lib/queue/queue.h"

enum { MOST_PROMISES = 400, MOST_RECIPIENTS = 4, MOST_SIGHTS = 2 * MOST_PROMISES };

/* What a journal says of a message, in bits. The first four are one of each recipient's, the first recipient's being 1. */
enum {
	GOT = 1, FAILED = 1 << MOST_RECIPIENTS, TOLD = 1 << 2 * MOST_RECIPIENTS,
	WARNED = 1 << 3 * MOST_RECIPIENTS, EXPIRED = WARNED << 1,
	ALL = (1 << MOST_RECIPIENTS) - 1,
};

/* The order that stands in it. */
enum fate { NO_ORDER, ORDERED_TO_HOLD, ORDERED_TO_REQUEUE };

struct promise {
	char id[32];
	uint64_t number;		/* what its content follows from */
	size_t body_len;
	unsigned to;			/* bits: whom it goes to */
	bool is_acknowledged;		/* the commit returned 0 */
	/* its end: began, so it need not be there any more; came; is durable, so it must not be there */
	bool may_be_gone, has_ended, must_be_gone;
	bool ends_in_log;		/* the ledger says so, and the next sync makes it durable */
	bool had_copy;			/* beside the log, and its removal is not durable: it may come back */
	/* what was noted. Written perhaps; written; written to the ledger, and not synced; durable. */
	unsigned noted, noted_written, noted_in_log, noted_for_certain;
	unsigned ever_noted;		/* the same after a power cut has made it forgotten */
	/* bits, 1 << fate: of these one stands; and after a power cut */
	unsigned fates, fates_after_cut;
	bool is_ordered_in_log;		/* the last order is in the ledger, and not synced */
	bool may_be_in_maildrop, must_be_in_maildrop;
	unsigned not_for;		/* bits: who had got it by then */
};

struct promises {
	struct promise at[MOST_PROMISES];
	size_t count;
};

struct promise *promise_of(struct promises *all, struct str id);		/* NULL: none */
struct promise *promise_add(struct promises *all, uint64_t number, size_t body_len, unsigned to);
/* An order was answered. */
void promise_ordered(struct promise *p, enum fate fate, bool in_log);
/* Whom a message that is handed in again is not for, of those noted. */
unsigned promise_left_out(unsigned noted);

/* What it holds. */
void promise_headers(const struct promise *p, struct buf *to);
void promise_body(const struct promise *p, struct buf *to);
void promise_envelope(const struct promise *p, struct arena *a, struct envelope *ret);

/* A message as it was found. */
struct sight {
	char id[32];
	enum queue_name where;
	unsigned open;			/* bits: who is still to get it */
	unsigned noted;
	enum fate fate;
	bool is_done;			/* it says that it is through, and waits for its removal */
};

struct sights {
	struct sight at[MOST_SIGHTS];
	size_t count;
};

/* Who is meant, in bits. */
unsigned bits_of_envelope(const struct envelope *e);
/* What its journal says, as qmgr's message.c reads it: open, noted, fate, is_done. 0, -errno. */
int sight_replay(struct queue_file *f, const struct envelope *e, struct sight *ret);
/*
 * Reads all of one as qmgr does, and compares it: 0, -errno of the queue. What is not as promised is
 * said in why.
 */
int sight_read(struct promises *all, struct queue *q, enum queue_name where, struct str id, struct sight *ret,
	       struct buf *why);
/* Is everything there that was promised, and nothing that must not be? Says in why what is wrong. */
void promises_compare(struct promises *all, const struct sights *seen, struct buf *why);
/* The same when only processes died: what was written is known, and what was ordered stands. */
void promises_compare_all(struct promises *all, const struct sights *seen, struct buf *why);

/* All that was added to the ledgers is written. */
void promises_ledgers_written(struct promises *all);
/* All that the ledgers say is durable now; or it is no more certain that it is there than if it had not been written. */
void promises_ledgers_synced(struct promises *all, bool well);
/* What was not synced never will be: who knew it is dead. */
void promises_ledgers_lost(struct promises *all);
void promises_settled(struct promises *all);			/* all that happened is durable */
/* The power failed, and this is what there is: from now on this is what counts. */
void promises_begin_anew(struct promises *all, const struct sights *seen);

#endif
