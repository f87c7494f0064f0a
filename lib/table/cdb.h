/* SPDX-License-Identifier: ISC */
/*
 * The layout of a constant database (cr.yp.to/cdb/cdb.txt): 256 pairs (position, slots) of hash
 * tables; records (key length, value length, key, value); then the hash tables, each slot (hash,
 * position of the record; 0: empty). Numbers are 32 bits, little endian.
 */
#ifndef ROAD_TABLE_CDB_H
#define ROAD_TABLE_CDB_H

#include "lib/table/modules/driver.h"

enum { CDB_HEAD = 256 * 8 };

static inline uint32_t cdb_number(const unsigned char *at)
{
	return at[0] | (uint32_t) at[1] << 8 | (uint32_t) at[2] << 16 | (uint32_t) at[3] << 24;
}

static inline uint32_t cdb_hash(struct str key)
{
	uint32_t h = 5381;

	for (size_t i = 0; i < key.len; i++)
		h = (h * 33) ^ (unsigned char) key.at[i];
	return h;
}

/* cdb_write.c */
int cdb_edit(const char *path, int fd, bool fresh, size_t cache_bytes, void **ret_db,
	     struct driver_words why);
int cdb_put(void *db, struct str key, struct str value, bool replace, struct driver_words why);
int cdb_remove(void *db, struct str key, struct driver_words why);
int cdb_finish(void *db, bool keep, struct driver_words why);
int cdb_each(const char *path, int fd, driver_entry *say, void *arg, struct driver_words why);

#endif
