/* SPDX-License-Identifier: ISC */
/*
 * Messages as postqueue shows them: from their files and journals. Used by showq, and by postqueue itself
 * when the mail system is down.
 */
#ifndef ROAD_QUEUE_LIST_H
#define ROAD_QUEUE_LIST_H

#include "lib/queue/queue.h"

struct listed_message {
	const char *queue;		/* "incoming", "active", ... */
	struct str id;
	int64_t arrival_s;
	uint64_t size;
	bool forced_expire;
	struct str sender;
	/*
	 * packed outcomes of those not finished, with their addresses; text empty when not yet
	 * tried, or when there are tens of thousands
	 */
	struct str recipients;
};

enum { LISTED_MEMORY = 512 << 20 };	/* enough for a million recipients, however often they were tried */

/*
 * One message. Its strings live in the arena, which has LISTED_MEMORY. As queue_file_open; -ENODATA
 * also for a message without unfinished recipients.
 */
int list_message(struct queue *q, enum queue_name where, struct str id, struct arena *a,
		 struct listed_message *ret);

/*
 * All messages of one queue that are_other(arg, id) (may be NULL) does not claim. each() returns < 0 to stop.
 * Damaged and half-written files are left out: they are not mail.
 */
struct listing {
	bool (*are_other)(void *arg, struct str id);
	int (*each)(void *arg, const struct listed_message *m) MAY_YIELD;
	void *arg;
};
int list_queue(struct queue *q, enum queue_name where, const struct listing *l) MAY_YIELD;

#endif
