/* SPDX-License-Identifier: ISC */
/*
 * The module for hash and btree tables, with Berkeley DB. It opens a file that is held by
 * descriptor instead of by its path, which may be out of reach (in a chroot) or in somebody else's
 * hands (a directory where others may swap names). Nothing else is opened meanwhile, DB_CONFIG of
 * the working directory least of all.
 */
#ifndef ROAD_TABLE_BDB_H
#define ROAD_TABLE_BDB_H

#include <db.h>

#include "lib/table/modules/driver.h"

/*
 * A handle for the file, without environment: no lock region. 0; -errno with words that begin with
 * "open database".
 */
int bdb_open_file(const char *path, int fd, DBTYPE type, u_int32_t flags, size_t cache_bytes, DB **ret_db,
		  struct driver_words why);
/* Berkeley DB's result as -errno, with what it said about it. 0: 0, without words. */
int bdb_explain(int result, const char *what, const char *path, struct driver_words why);
/* What Berkeley DB says from now on is about this call. */
void bdb_clear_words(void);

/* bdb_read.c */
int bdb_open_hash(const char *path, int fd, void **ret_db, struct driver_words why);
int bdb_open_btree(const char *path, int fd, void **ret_db, struct driver_words why);
int bdb_get(void *db, struct str key, struct str *ret_value, struct driver_words why);
void bdb_close(void *db);

/* bdb_write.c */
int bdb_edit_hash(const char *path, int fd, bool fresh, size_t cache_bytes, void **ret_db,
		  struct driver_words why);
int bdb_edit_btree(const char *path, int fd, bool fresh, size_t cache_bytes, void **ret_db,
		   struct driver_words why);
bool bdb_has_nul(void *db);
int bdb_put(void *db, struct str key, struct str value, bool replace, struct driver_words why);
int bdb_remove(void *db, struct str key, struct driver_words why);
int bdb_finish(void *db, bool keep, struct driver_words why);
int bdb_each_hash(const char *path, int fd, driver_entry *say, void *arg, struct driver_words why);
int bdb_each_btree(const char *path, int fd, driver_entry *say, void *arg, struct driver_words why);

#endif
