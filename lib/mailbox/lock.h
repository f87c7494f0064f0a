/* SPDX-License-Identifier: ISC */
/* Locks on mbox files, of the kinds that mail readers know. */
#ifndef ROAD_MAILBOX_LOCK_H
#define ROAD_MAILBOX_LOCK_H

#include "lib/mailbox/mailbox.h"

/*
 * NAME.lock beside the file. 0; -EEXIST somebody has it; -errno. A lock older than stale_lock_ms is
 * removed.
 */
int dotlock_take(int dir, const char *name, const struct mailbox_rules *rules);
void dotlock_drop(int dir, const char *name);
/* fcntl and flock as the rules say; they end with fd. 0, -EAGAIN somebody has it, -errno. */
int file_lock(int fd, const struct mailbox_rules *rules);

#endif
