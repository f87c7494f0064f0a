/* SPDX-License-Identifier: ISC */
/*
 * Inside lib/mailbox only: files of a batch that are written but not yet synced. See mailbox.h.
 *
 *   unsynced       the final name exists, the content is written, an mbox file is locked; results say "sent"
 *   mailbox_settle -> synced: that is true; or undone: the file is as it was, and the results say why
 */
#ifndef ROAD_MAILBOX_BATCH_H
#define ROAD_MAILBOX_BATCH_H

#include <sys/stat.h>

#include "lib/base/arena.h"
#include "lib/base/list.h"
#include "lib/mailbox/mailbox.h"
#include "lib/mailbox/path.h"

struct unsynced {
	struct list link;
	int fd, dir;			/* the file; the directory that holds its name */
	char name[NAME_SIZE];
	char *path;			/* as people know it */
	dev_t device;
	ino_t inode;
	bool is_mbox, has_dotlock;
	off_t old_size;			/* of an mbox file: what a failed sync cuts it back to */
	VEC(struct mailbox_result *) results;
};

/* Takes over fd and dir. */
struct unsynced *batch_add(struct mailbox_batch *b, int fd, int dir, const char *name, const char *path);
void unsynced_result(struct mailbox_batch *b, struct unsynced *u, struct mailbox_result *result);
/*
 * Does the batch hold this mbox file open already? By the name, or because it is the same file
 * under another one. NULL: no.
 */
struct unsynced *batch_find_mbox(struct mailbox_batch *b, const char *path, int dir, const char *name);
/* Nothing of it is left to be synced: unlocks and closes. */
void batch_drop(struct unsynced *u);

#endif
