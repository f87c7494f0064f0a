/* SPDX-License-Identifier: ISC */
/* The module for lmdb tables. */
#ifndef ROAD_TABLE_LMDB_H
#define ROAD_TABLE_LMDB_H

#include <lmdb.h>

#include "lib/table/modules/driver.h"

/* LMDB's result as -errno, with words. 0: 0, without words. */
int lmdb_explain(int result, const char *what, const char *path, struct driver_words why);

/* lmdb_read.c */
int lmdb_open(const char *path, int fd, void **ret_db, struct driver_words why);
int lmdb_get(void *db, struct str key, struct str *ret_value, struct driver_words why);
void lmdb_close(void *db);

/* lmdb_write.c */
int lmdb_edit(const char *path, int fd, bool fresh, size_t cache_bytes, void **ret_db,
	      struct driver_words why);
bool lmdb_has_nul(void *db);
int lmdb_put(void *db, struct str key, struct str value, bool replace, struct driver_words why);
int lmdb_remove(void *db, struct str key, struct driver_words why);
int lmdb_finish(void *db, bool keep, struct driver_words why);
int lmdb_each(const char *path, int fd, driver_entry *say, void *arg, struct driver_words why);

#endif
