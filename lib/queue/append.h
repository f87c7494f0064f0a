/* SPDX-License-Identifier: ISC */
/* Group commit: messages appended to this process's segment of the intake log. */
#ifndef ROAD_QUEUE_APPEND_H
#define ROAD_QUEUE_APPEND_H

#include <sys/uio.h>

#include "lib/queue/private.h"

struct appender *appender_new(int intake_dir, const struct intake_limits *limits);
void appender_free(struct appender *a);		/* NULL is fine; seals the segment */

/*
 * Writes and syncs one message together with whatever else is ready. head: laid out; gets its
 * place. pieces: what follows the head, up to 4. They must stay until this returns. 0 durable;
 * -EXFULL: the log is full, the message needs a file of its own; -errno: nothing was promised;
 * -ECANCELED: nothing was written. alone: nobody else in this process has anything to do meanwhile,
 * so no other thread needs to be woken for it.
 */
int appender_commit(struct appender *a, struct queue_head *head, const struct iovec *pieces, int count,
		    bool alone) MAY_YIELD;

#endif
