/* SPDX-License-Identifier: ISC */
/* hash: and btree: tables, for writing and listing. */
#include <errno.h>

#include "lib/table/modules/bdb.h"

enum { LEAST_CACHE = 64 << 10, MOST_CACHE = 1 << 30, LIST_CACHE = 1 << 20 };

struct writing {
	DB *db;
	const char *path;
};

static int open_for_writing(const char *path, int fd, DBTYPE type, bool fresh, size_t cache_bytes,
			    void **ret_db, struct driver_words why)
{
	struct writing *w = calloc(1, sizeof(*w));
	size_t cache = cache_bytes < LEAST_CACHE ? LEAST_CACHE : cache_bytes > MOST_CACHE
		       ? MOST_CACHE : cache_bytes;
	int r;

	if (w == NULL) {
		snprintf(why.at, why.size, "out of memory");
		return -ENOMEM;
	}
	w->path = path;
	r = bdb_open_file(path, fd, type, fresh ? DB_CREATE | DB_TRUNCATE : 0, cache, &w->db, why);
	if (r < 0)
		free(w);
	else
		*ret_db = w;
	return r;
}

int bdb_edit_hash(const char *path, int fd, bool fresh, size_t cache_bytes, void **ret_db,
		  struct driver_words why)
{
	return open_for_writing(path, fd, DB_HASH, fresh, cache_bytes, ret_db, why);
}

int bdb_edit_btree(const char *path, int fd, bool fresh, size_t cache_bytes, void **ret_db,
		   struct driver_words why)
{
	return open_for_writing(path, fd, DB_BTREE, fresh, cache_bytes, ret_db, why);
}

/* The first entry tells. */
bool bdb_has_nul(void *db)
{
	const struct writing *w = db;
	DBT k = { .flags = DB_DBT_MALLOC }, v = { .flags = DB_DBT_MALLOC };
	DBC *cursor;
	bool yes = false;

	if (w->db->cursor(w->db, NULL, &cursor, 0) != 0)
		return false;
	if (cursor->get(cursor, &k, &v, DB_FIRST) == 0)
		yes = k.size > 0 && ((const char *) k.data)[k.size - 1] == 0;
	free(k.data);
	free(v.data);
	cursor->close(cursor);
	return yes;
}

int bdb_put(void *db, struct str key, struct str value, bool replace, struct driver_words why)
{
	const struct writing *w = db;
	DBT k = { .data = (void *) key.at, .size = (u_int32_t) key.len },
		v = { .data = (void *) value.at, .size = (u_int32_t) value.len };
	int r;

	bdb_clear_words();
	r = w->db->put(w->db, NULL, &k, &v, replace ? 0 : DB_NOOVERWRITE);
	if (r == DB_KEYEXIST)
		return 0;
	return r == 0 ? 1 : bdb_explain(r, "write", w->path, why);
}

int bdb_remove(void *db, struct str key, struct driver_words why)
{
	const struct writing *w = db;
	DBT k = { .data = (void *) key.at, .size = (u_int32_t) key.len };
	int r;

	bdb_clear_words();
	r = w->db->del(w->db, NULL, &k, 0);
	return r == DB_NOTFOUND ? 0 : r == 0 ? 1 : bdb_explain(r, "delete from", w->path, why);
}

int bdb_finish(void *db, bool keep, struct driver_words why)
{
	struct writing *w = db;
	int r;

	bdb_clear_words();
	r = w->db->close(w->db, keep ? 0 : DB_NOSYNC);		/* writes what is in its cache */
	r = keep ? bdb_explain(r, "write", w->path, why) : 0;
	free(w);
	return r;
}

static int each(DBTYPE type, const char *path, int fd, driver_entry *say, void *arg, struct driver_words why)
{
	DBT k = { .flags = DB_DBT_REALLOC }, v = { .flags = DB_DBT_REALLOC };
	DBC *cursor = NULL;
	DB *db;
	int said = 0, r;

	r = bdb_open_file(path, fd, type, DB_RDONLY | DB_NOMMAP, LIST_CACHE, &db, why);
	if (r < 0)
		return r;
	r = db->cursor(db, NULL, &cursor, 0);
	while (r == 0 && said >= 0) {
		r = cursor->get(cursor, &k, &v, DB_NEXT);
		if (r == 0)
			said = say(arg, str_make(k.data, k.size), str_make(v.data, v.size));
	}
	r = r == DB_NOTFOUND ? 0 : bdb_explain(r, "read", path, why);
	free(k.data);
	free(v.data);
	if (cursor != NULL)
		cursor->close(cursor);
	db->close(db, DB_NOSYNC);
	return said < 0 ? said : r;
}

int bdb_each_hash(const char *path, int fd, driver_entry *say, void *arg, struct driver_words why)
{
	return each(DB_HASH, path, fd, say, arg, why);
}

int bdb_each_btree(const char *path, int fd, driver_entry *say, void *arg, struct driver_words why)
{
	return each(DB_BTREE, path, fd, say, arg, why);
}
