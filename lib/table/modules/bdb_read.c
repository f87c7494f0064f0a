/* SPDX-License-Identifier: ISC */
/*
 * hash: and btree: tables, for reading. Others rewrite the file in place while it is read here, so
 * it is not mapped: a truncated map is SIGBUS.
 */
#include <errno.h>

#include "lib/table/modules/bdb.h"

enum { READ_CACHE = 128 << 10, FIRST_ROOM = 512, MOST_ROOM = 16 << 20 };

struct reading {
	DB *db;
	const char *path;
	char *room;			/* the value of the lookup at hand */
	u_int32_t room_size;
};

void bdb_close(void *db)
{
	struct reading *b = db;

	if (b->db != NULL)
		b->db->close(b->db, DB_NOSYNC);
	free(b->room);
	free(b);
}

static int open_for_reading(const char *path, int fd, DBTYPE type, void **ret_db, struct driver_words why)
{
	struct reading *b = calloc(1, sizeof(*b));
	int r;

	if (b == NULL || (b->room = malloc(FIRST_ROOM)) == NULL) {
		snprintf(why.at, why.size, "out of memory");
		r = -ENOMEM;
	} else {
		b->path = path;
		b->room_size = FIRST_ROOM;
		r = bdb_open_file(path, fd, type, DB_RDONLY | DB_NOMMAP, READ_CACHE, &b->db, why);
	}
	if (r == 0)
		*ret_db = b;
	else if (b != NULL)
		bdb_close(b);
	return r;
}

int bdb_open_hash(const char *path, int fd, void **ret_db, struct driver_words why)
{
	return open_for_reading(path, fd, DB_HASH, ret_db, why);
}

int bdb_open_btree(const char *path, int fd, void **ret_db, struct driver_words why)
{
	return open_for_reading(path, fd, DB_BTREE, ret_db, why);
}

int bdb_get(void *db, struct str key, struct str *ret_value, struct driver_words why)
{
	struct reading *b = db;
	DBT k = { .data = (void *) key.at, .size = (u_int32_t) key.len };
	DBT v = { .flags = DB_DBT_USERMEM };
	int r;

	bdb_clear_words();
	for (;;) {
		char *longer;

		v.data = b->room;
		v.ulen = b->room_size;
		r = b->db->get(b->db, NULL, &k, &v, 0);
		if (r != DB_BUFFER_SMALL || v.size > MOST_ROOM)
			break;
		longer = realloc(b->room, v.size);
		if (longer == NULL) {
			r = ENOMEM;
			break;
		}
		b->room = longer;
		b->room_size = v.size;
	}
	if (r == DB_NOTFOUND)
		return 0;
	if (r != 0)
		return bdb_explain(r, "read", b->path, why);
	*ret_value = str_make(b->room, v.size);
	return 1;
}
