/* SPDX-License-Identifier: ISC */
/*
 * Lets Berkeley DB open a file that is held by descriptor instead of by its path, which may be out of reach (in a chroot) or in somebody else's hands (a
 * directory where others may swap names). Nothing else is opened meanwhile, DB_CONFIG of the working directory least of all.
 */
#ifndef ROAD_TABLE_BDB_PLACE_H
#define ROAD_TABLE_BDB_PLACE_H

#include <db.h>

struct bdb_place {
	const char *path;		/* what Berkeley DB is told, and tells */
	int fd;				/* the file itself; not owned */
};

/* DB->open() without environment. 0, or Berkeley DB's error. */
int bdb_open_place(DB *db, const struct bdb_place *place, DBTYPE type, u_int32_t flags);
/* What Berkeley DB said since the last bdb_clear_words(), of any handle that bdb_listen() was called for; "" nothing. */
void bdb_listen(DB *db);
void bdb_clear_words(void);
const char *bdb_words(void);

#endif
