/* SPDX-License-Identifier: ISC */
/*
 * Making and changing hash: and btree: databases, for postmap. The work is done on a file beside the table that takes its place by rename when it
 * is complete and synced: a reader sees the old table or the new one, whatever happens to the writer. What a killed writer leaves behind is
 * removed by the next one.
 */
#ifndef ROAD_TABLE_BDB_WRITE_H
#define ROAD_TABLE_BDB_WRITE_H

#include <sys/stat.h>

#include "lib/base/buf.h"

struct bdb_edit;

enum bdb_edit_flags {
	BDB_FROM_EXISTING = 1,		/* starts as a copy of the table there is (if there is one), which stays locked against other writers */
	BDB_KEEP_NUL = 2,		/* keys and values end with a NUL byte */
};

/* type "hash" or "btree"; path of the database itself (NAME.db), absolute. Waits a while for another writer: then -EBUSY. cache_bytes: of Berkeley DB. */
int bdb_edit_open(const char *type, const char *path, unsigned flags, size_t cache_bytes, struct bdb_edit **ret_e, struct buf *why);
/* 1 stored, 0 the key is there already (and replace is false), -errno with words. */
int bdb_edit_put(struct bdb_edit *e, struct str key, struct str value, bool replace, struct buf *why);
/* 1 deleted, 0 was not there. */
int bdb_edit_delete(struct bdb_edit *e, struct str key, struct buf *why);
/* The existing table's status, for its mode and owner; NULL: there was none. */
const struct stat *bdb_edit_existing(const struct bdb_edit *e);
/*
 * Puts the new file into place with that mode, and owner where uid and gid are not -1 (a group that we may not give stays our own). Ends the edit in any
 * case.
 */
int bdb_edit_commit(struct bdb_edit *e, mode_t mode, uid_t uid, gid_t gid, struct buf *why);
void bdb_edit_abandon(struct bdb_edit *e);	/* NULL is fine */

/* Every entry in database order; say() < 0 stops with that. */
int bdb_each(const char *type, const char *path, int (*say)(void *arg, struct str key, struct str value), void *arg, struct buf *why);

#endif
