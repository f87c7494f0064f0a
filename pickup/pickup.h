/* SPDX-License-Identifier: ISC */
/* What the files of pickup share. */
#ifndef ROAD_PICKUP_H
#define ROAD_PICKUP_H

#include "lib/ipc/channel.h"
#include "lib/peers/receive.h"
#include "lib/queue/queue.h"

struct pickup {
	struct queue *queue;
	struct client *bounce;
	struct receive receive;
};

enum fate {
	PICKED_UP,			/* cleanup has it, or its sender was told: the file is gone */
	PICKUP_UNFINISHED,		/* still being written: whoever finishes it wakes us */
	PICKUP_LATER,			/* try again after a while */
	PICKUP_SOON,			/* not tried yet */
	PICKUP_SENT,			/* on its way, and the file is still there: must not be sent again */
	PICKUP_NEVER,			/* not a message: reported once, left alone */
};

/* One file of maildrop/: to cleanup, and away. */
enum fate carry(struct pickup *p, struct str id) MAY_YIELD;
int remove_sent(struct pickup *p, struct str id);	/* 0 the file is gone, -errno */

/* Logs the warning unless it was logged before: what lies in maildrop/ is seen again and again. */
void warn_once(const char *words);

#endif
