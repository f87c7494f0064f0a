/* SPDX-License-Identifier: ISC */
/*
 * A file that may be replaced or rewritten while it is in use. It is reached through a descriptor
 * of its directory, taken at start, so that it stays reachable from inside a chroot; and every such
 * directory is listed, so that the jail can let it be read.
 */
#ifndef ROAD_TABLE_WATCH_H
#define ROAD_TABLE_WATCH_H

#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/base/list.h"

struct watch {
	char *path;
	const char *name;		/* its last component */
	int dir;
	bool seen;			/* the three below hold what was opened last */
	struct stat as_seen;
	int64_t next_look_ms;
	int64_t seen_ms;		/* when that was */
	struct list link;		/* all of the process, for table_each_directory */
};

/* The directory must be there (-errno with words); the file need not. */
int watch_new(struct str path, struct watch **ret_w, struct buf *why);
void watch_free(struct watch *w);	/* NULL is fine */
/* Opens the file for reading: fd, or -errno with words. -EISDIR and such when it is no regular file. */
int watch_open(const struct watch *w, struct stat *ret_st, struct buf *why);
/* What was opened is st; it counts as seen until it changes. */
void watch_saw(struct watch *w, const struct stat *st);
/*
 * Is it time to look (at most once a second), and is the file another one than was seen, or other
 * content? True when in doubt: gone, unreadable. But in a directory that this process may not
 * search nothing can be noticed (/etc/letsencrypt/live is root's alone): there it counts as changed
 * an hour after it was seen, and whoever opened it as root has a fresh process look. A file that is
 * being rewritten in place counts as changed only when it has not been written for a second (settle
 * true: for content that is kept in memory meanwhile).
 */
bool watch_changed(struct watch *w, bool settle);
/* device, inode, owner, time of change, size */
bool stat_is_same(const struct stat *a, const struct stat *b);

#endif
