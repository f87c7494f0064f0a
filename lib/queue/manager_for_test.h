/* SPDX-License-Identifier: ISC */
/*
 * A queue manager, as far as it deals with lib/queue, for succession_test: what qmgr does, in qmgr's order, and
 * beside each function the one of qmgr that it follows. A file for each part of qmgr (manager_parts_for_test.h).
 * Whoever changes how qmgr uses the queue changes it here.
 */
#ifndef ROAD_QUEUE_MANAGER_FOR_TEST_H
#define ROAD_QUEUE_MANAGER_FOR_TEST_H

#include "lib/queue/promises_for_test.h"
#include "lib/queue/tasks_for_test.h"

enum {
	MANAGER_SEGMENTS = 5, MOST_MANAGERS = 40, MOST_ANNOUNCED = 64, MOST_ORDERS = 8,
	DEBRIS_AGE_S = 100,		/* less than an hour: who would wait for it? */
};

/* What became of a message, whoever delivered it. */
struct fortune {
	unsigned char times[MOST_RECIPIENTS];	/* so often each of them got it */
	unsigned char excused[MOST_RECIPIENTS];	/* so often a death made a repetition unavoidable */
	bool is_accepted;		/* somebody was promised something */
	size_t origin;			/* of one that was handed in again: the first one; else itself */
};

struct world {
	struct disk *d;
	uint64_t dice;
	struct promises promises;
	struct fortune fortunes[MOST_PROMISES];
	struct buf why;			/* what went wrong */
	struct buf story;
	bool is_calm;			/* everything is delivered at the first attempt now */
};

__attribute__((format(printf, 2, 3))) void tell(struct world *w, const char *format, ...);

enum order { ORDER_HOLD, ORDER_REQUEUE, ORDER_RELEASE };

struct mail {				/* a message as this one knows it */
	enum { STRANGER, ASLEEP, IN_HAND, ACTIVE } state;
	enum queue_name where;
	bool is_announced, was_in_log;
	unsigned waiting, under_way;	/* bits: entries */
	unsigned answered;		/* of those under way: the agent has said what became of it */
	unsigned open;			/* bits: still to be tried, when what is under way is through */
	bool is_kept;			/* somebody else is about to conclude it: qmgr's to_do = 1 */
	enum { MAIL_STAYS, MAIL_GONE, MAIL_HELD, MAIL_REQUEUED } fate;
	enum { TO_BE_REMOVED, TO_DEFERRED, TO_HOLD } leaves;
	bool is_leaving, is_departing;
	bool has_content;
	bool is_handed_in;		/* a requeue of it is under way; to others it is in hand: in_hand.c */
	struct queue_lock lock;
};

struct manager {
	struct world *w;
	struct process process;
	struct queue *q;
	int root, lock_fd;
	bool leaving, is_ready, has_ended, is_keeping, is_making_room, is_busy_leaving;
	struct mail mails[MOST_PROMISES];	/* by the number of the promise */
	unsigned unrecorded[MOST_PROMISES];	/* bits: delivered, and no file or ledger says so yet */
	struct { size_t i; struct queue_place place; } announced[MOST_ANNOUNCED];
	size_t announced_count;
	struct { enum order order; size_t i; } orders[MOST_ORDERS];
	size_t order_count;
};

struct manager *manager_start(struct world *w, int number);
void manager_free(struct manager *m);			/* has ended */
void manager_announce(struct manager *m, size_t i, const struct queue_place *place);
void manager_order(struct manager *m, enum order order, size_t i);
void manager_kill(struct manager *m);

/* Opens the queue's directories, and the log for whoever reads it. NULL: its process has been killed. */
struct queue *open_queue_for_test(int root);

#endif
