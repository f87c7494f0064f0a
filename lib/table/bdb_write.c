/* SPDX-License-Identifier: ISC */
/* hash: and btree: tables of Berkeley DB, for writing and listing. */
#include <errno.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/table/bdb_place.h"
#include "lib/table/edit.h"

struct bdb_file {
	DB *db;
	char *path;
};

/* Berkeley DB's result as -errno, with words about what failed. */
static int explain(int r, const char *what, const char *path, struct buf *why)
{
	if (r == 0)
		return 0;
	r = r > 0 ? -r : -EIO;
	buf_addf(why, "%s %s: %s", what, path, bdb_words()[0] != 0 ? bdb_words() : error_text(r));
	return r;
}

static int open_db(DB **ret_db, DBTYPE kind, const char *path, int fd, u_int32_t flags, size_t cache_bytes, struct buf *why)
{
	struct bdb_place place = { .path = path, .fd = fd };
	DB *db;
	int r = db_create(&db, NULL, 0);

	bdb_clear_words();
	if (r != 0)
		return explain(r, "open database", path, why);
	bdb_listen(db);
	db->set_cachesize(db, 0, (u_int32_t) MIN(MAX(cache_bytes, 65536), 1u << 30), 0);
	r = bdb_open_place(db, &place, kind, flags);
	if (r != 0) {
		db->close(db, DB_NOSYNC);
		return explain(r, "open database", path, why);
	}
	*ret_db = db;
	return 0;
}

static int open_file(DBTYPE kind, const char *path, int fd, bool fresh, size_t cache_bytes, void **ret_db, struct buf *why)
{
	struct bdb_file *f;
	size_t len = strlen(path);
	DB *db;
	int r = open_db(&db, kind, path, fd, fresh ? DB_CREATE | DB_TRUNCATE : 0, cache_bytes, why);

	if (r < 0)
		return r;
	f = get_memory(sizeof(*f));
	f->db = db;
	f->path = get_memory(len + 1);
	memcpy(f->path, path, len);
	*ret_db = f;
	return 0;
}

static int hash_open(const char *path, int fd, bool fresh, size_t cache_bytes, void **ret_db, struct buf *why)
{
	return open_file(DB_HASH, path, fd, fresh, cache_bytes, ret_db, why);
}

static int btree_open(const char *path, int fd, bool fresh, size_t cache_bytes, void **ret_db, struct buf *why)
{
	return open_file(DB_BTREE, path, fd, fresh, cache_bytes, ret_db, why);
}

/* The first entry tells. */
static bool bdb_has_nul(void *file)
{
	const struct bdb_file *f = file;
	DBT k = { .flags = DB_DBT_MALLOC }, v = { .flags = DB_DBT_MALLOC };
	DBC *cursor;
	bool yes = false;

	if (f->db->cursor(f->db, NULL, &cursor, 0) != 0)
		return false;
	if (cursor->get(cursor, &k, &v, DB_FIRST) == 0)
		yes = k.size > 0 && ((const char *) k.data)[k.size - 1] == 0;
	free(k.data);
	free(v.data);
	cursor->close(cursor);
	return yes;
}

static int bdb_put(void *file, struct str key, struct str value, bool replace, struct buf *why)
{
	const struct bdb_file *f = file;
	DBT k = { .data = (void *) key.at, .size = (u_int32_t) key.len }, v = { .data = (void *) value.at, .size = (u_int32_t) value.len };
	int r;

	bdb_clear_words();
	r = f->db->put(f->db, NULL, &k, &v, replace ? 0 : DB_NOOVERWRITE);
	if (r == DB_KEYEXIST)
		return 0;
	return r == 0 ? 1 : explain(r, "write", f->path, why);
}

static int bdb_remove(void *file, struct str key, struct buf *why)
{
	const struct bdb_file *f = file;
	DBT k = { .data = (void *) key.at, .size = (u_int32_t) key.len };
	int r;

	bdb_clear_words();
	r = f->db->del(f->db, NULL, &k, 0);
	return r == DB_NOTFOUND ? 0 : r == 0 ? 1 : explain(r, "delete from", f->path, why);
}

static int bdb_close(void *file, bool keep, struct buf *why)
{
	struct bdb_file *f = file;
	int r;

	bdb_clear_words();
	r = f->db->close(f->db, keep ? 0 : DB_NOSYNC);		/* writes what is in its cache */
	r = keep ? explain(r, "write", f->path, why) : 0;
	free(f->path);
	free(f);
	return r;
}

static int each(DBTYPE kind, const char *path, int fd, say_entry *say, void *arg, struct buf *why)
{
	DBT k = { .flags = DB_DBT_REALLOC }, v = { .flags = DB_DBT_REALLOC };
	DBC *cursor = NULL;
	DB *db;
	int said = 0, r;

	r = open_db(&db, kind, path, fd, DB_RDONLY | DB_NOMMAP, 1 << 20, why);
	if (r < 0)
		return r;
	r = db->cursor(db, NULL, &cursor, 0);
	while (r == 0 && said >= 0) {
		r = cursor->get(cursor, &k, &v, DB_NEXT);
		if (r == 0)
			said = say(arg, str_make(k.data, k.size), str_make(v.data, v.size));
	}
	r = r == DB_NOTFOUND ? 0 : explain(r, "read", path, why);
	free(k.data);
	free(v.data);
	if (cursor != NULL)
		cursor->close(cursor);
	db->close(db, DB_NOSYNC);
	return said < 0 ? said : r;
}

static int hash_each(const char *path, int fd, say_entry *say, void *arg, struct buf *why)
{
	return each(DB_HASH, path, fd, say, arg, why);
}

static int btree_each(const char *path, int fd, say_entry *say, void *arg, struct buf *why)
{
	return each(DB_BTREE, path, fd, say, arg, why);
}

const struct database hash_database = {
	.type = "hash", .suffix = ".db", .can_change = true, .open = hash_open, .has_nul = bdb_has_nul, .put = bdb_put, .remove = bdb_remove,
	.close = bdb_close, .each = hash_each,
};

const struct database btree_database = {
	.type = "btree", .suffix = ".db", .can_change = true, .open = btree_open, .has_nul = bdb_has_nul, .put = bdb_put, .remove = bdb_remove,
	.close = bdb_close, .each = btree_each,
};
