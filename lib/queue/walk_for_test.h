/* SPDX-License-Identifier: ISC */
/*
 * A random walk over what cleanup, qmgr, postsuper and pickup do with a queue: two processes that take
 * messages in, and one that keeps them, on a disk in memory.
 */
#ifndef ROAD_QUEUE_WALK_FOR_TEST_H
#define ROAD_QUEUE_WALK_FOR_TEST_H

#include "lib/queue/calls_for_test.h"
#include "lib/queue/keeper_for_test.h"

enum { WRITERS = 2, MOST_LEAVING = 4 };

/* On their way out of the intake log. */
struct leaving {
	struct queue_exit exits[MOST_LEAVING];
	int results[MOST_LEAVING];
	size_t count;
	struct queue *q;
};

struct walk {
	struct disk *d;
	int root;			/* its descriptor */
	uint64_t dice;
	struct promises promises;
	struct queue *writers[WRITERS];
	struct keeper *keeper;		/* NULL: it cannot start, as its disk is in trouble */
	struct leaving leaving;
	bool is_after_cut;		/* and what was written is not what there is */
	bool inherits_ledgers;		/* with what a keeper before it wrote there, and did not sync */
	struct buf why;			/* what went wrong */
	uint64_t steps;			/* calls that changed the disk */
	uint64_t crashes;		/* tried */
	void (*at_step)(struct walk *w);	/* NULL: nothing */
	int length;			/* operations */
	bool disk_fills;		/* for a while, now and then */
};

struct walk *walk_begin(enum disk_kind kind, uint64_t seed);
void walk_end(struct walk *w);
/* All of it, as loop_run()'s first coroutine. */
void walk_run(void *walk);

#endif
