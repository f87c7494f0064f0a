/* SPDX-License-Identifier: ISC */
/* postsuper's work on messages: through the queue manager or, when that does not run, on the files. */
#ifndef ROAD_POSTSUPER_H
#define ROAD_POSTSUPER_H

#include "lib/ipc/channel.h"
#include "lib/queue/queue.h"

struct action {
	char letter;			/* the option */
	const char *command;		/* to the queue manager */
	const char *done, *total;	/* what is said of one, and of all */
	unsigned queues;		/* where it looks, when no queue is named */
	bool asked_for;
	uint64_t count;
};

struct super {
	struct queue *queue;
	const char *qmgr_path;
	struct client *qmgr;
	unsigned only;			/* queues named on the command line; 0: the action's own */
	bool failed;
};

/* The ids of all messages that the action may be meant for, one per line. */
void super_all_ids(const struct super *s, const struct action *a, struct buf *ids);
/* ids and *done: one per line. Warns of what went wrong; a message that is not there is no error. */
void super_act(struct super *s, const struct action *a, struct str ids, struct buf *done);
/*
 * Looks at every file: names doubled by a crash, files in the wrong directory, damage (mend); old debris
 * (purge).
 */
void super_mend(struct super *s, bool mend, bool purge);

#endif
