/* SPDX-License-Identifier: ISC */
/*
 * The queue manager's side of crash_test: opens a queue as qmgr does when it starts (qmgr/scan.c), and
 * looks at every message.
 */
#ifndef ROAD_QUEUE_KEEPER_FOR_TEST_H
#define ROAD_QUEUE_KEEPER_FOR_TEST_H

#include "lib/queue/promises_for_test.h"

enum { KEEPER_DEPTH = 1, KEEPER_SEGMENTS = 5, KEEPER_SEGMENT_SIZE = 32 << 10 };

struct keeper {
	struct queue *q;
	struct promises *promises;
	struct sights seen;
	struct buf *why;		/* what is wrong */
};

struct queue *keeper_open_queue(int root);
/* Opens it and takes in what it finds, as often as qmgr does until nothing changes. */
struct keeper *keeper_start(int root, struct promises *promises, struct buf *why);
void keeper_free(struct keeper *k);
/* Looks again for what was not announced. */
void keeper_scan(struct keeper *k);
struct sight *keeper_find(struct keeper *k, const char *id);		/* NULL */
void keeper_forget(struct keeper *k, struct sight *s);

#endif
