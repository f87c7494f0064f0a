/* SPDX-License-Identifier: ISC */
/*
 * Making and changing database files, for postmap. The work is done on a file beside the table that
 * takes its place by rename when it is complete and synced: a reader sees the old table or the new
 * one, whatever happens to the writer. What a killed writer leaves behind is removed by the next
 * one.
 */
#ifndef ROAD_TABLE_EDIT_H
#define ROAD_TABLE_EDIT_H

#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/table/modules/driver.h"

struct edit;

enum edit_flags {
	/*
	 * starts as a copy of the table there is (if there is one), which stays locked against
	 * other writers
	 */
	EDIT_FROM_EXISTING = 1,
	EDIT_KEEP_NUL = 2,		/* keys and values end with a NUL byte */
};

/* path of the database itself (NAME.db). Waits a while for another writer: then -EBUSY. */
int edit_open(const struct database_driver *driver, const char *path, unsigned flags, size_t cache_bytes,
	      struct edit **ret_e, struct buf *why);
/* 1 stored, 0 the key is there already (and replace is false), -errno with words. */
int edit_put(struct edit *e, struct str key, struct str value, bool replace, struct buf *why);
/* 1 deleted, 0 was not there. */
int edit_delete(struct edit *e, struct str key, struct buf *why);
/* The existing table's status, for its mode and owner; NULL: there was none. */
const struct stat *edit_existing(const struct edit *e);
/*
 * Puts the new file into place with that mode, and owner where uid and gid are not -1 (a group that
 * we may not give stays our own). Ends the edit in any case.
 */
int edit_commit(struct edit *e, mode_t mode, uid_t uid, gid_t gid, struct buf *why);
void edit_abandon(struct edit *e);	/* NULL is fine */

/* Every entry of the database there is, without the NUL at the end. */
int edit_each(const struct database_driver *driver, const char *path, driver_entry *say, void *arg,
	      struct buf *why);

#endif
