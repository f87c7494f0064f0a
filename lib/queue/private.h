/* SPDX-License-Identifier: ISC */
/* Inside lib/queue: the open queue, with what is known of the intake log. */
#ifndef ROAD_QUEUE_PRIVATE_H
#define ROAD_QUEUE_PRIVATE_H

#include "lib/queue/format.h"

struct appender;			/* append.h */
struct residents;			/* residents.h */

struct queue {
	int dirs[QUEUE_COUNT];			/* -1: not opened */
	int depth;				/* of deferred */
	int intake_dir;				/* -1: there is none, or it is not looked at */
	void (*say)(const char *words);
	struct appender *appender;		/* NULL: every message gets a file of its own */
	int writers;				/* messages being written */
	struct residents *residents;		/* with intake_dir only */
};

/* exit.c: out of the intake log */
int queue_leave_log(struct queue *q, struct str id, enum queue_name to) MAY_YIELD;
void queue_file_keep_head(struct queue_file *f, const struct queue_head *h);

__attribute__((format(printf, 2, 3))) void queue_say(const struct queue *q, const char *format, ...);

#endif
