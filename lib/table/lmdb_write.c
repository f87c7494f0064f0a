/* SPDX-License-Identifier: ISC */
/*
 * lmdb: tables, for writing and listing. Changes go in portions; when the map is too small for one, it is made twice as large, and the portion is done
 * again.
 */
#include <errno.h>
#include <lmdb.h>

#include "lib/base/arena.h"
#include "lib/base/die.h"
#include "lib/table/edit.h"

enum { PORTION = 10000 };
static const size_t FIRST_MAP = 16 << 20, MOST_MAP = (size_t) 1 << 40;

struct change {
	struct str key, value;
	bool removal, replace;
};

struct lmdb_file {
	char *path;
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *txn;
	size_t map_bytes;
	struct arena *arena;		/* of the portion */
	VEC(struct change) portion;	/* what the transaction holds */
};

static int explain(int r, const char *what, const char *path, struct buf *why)
{
	if (r == 0)
		return 0;
	if (why != NULL)
		buf_addf(why, "%s %s: %s", what, path, mdb_strerror(r));
	return r > 0 ? -r : -EIO;
}

static int lmdb_close(void *file, bool keep, struct buf *why);

/* Room for what is there, and at least as much again. */
static size_t map_for(MDB_env *env)
{
	MDB_envinfo info;
	MDB_stat stat;

	if (mdb_env_info(env, &info) != 0 || mdb_env_stat(env, &stat) != 0)
		return FIRST_MAP;
	return MAX(FIRST_MAP, 2 * (info.me_last_pgno + 1) * stat.ms_psize);
}

static int lmdb_open(const char *path, int fd, bool fresh, size_t cache_bytes, void **ret_db, struct buf *why)
{
	struct lmdb_file *f = get_memory(sizeof(*f));
	int r;

	(void) fd;
	(void) fresh;
	(void) cache_bytes;
	f->path = get_memory(strlen(path) + 1);
	memcpy(f->path, path, strlen(path));
	f->arena = arena_new("lmdb", NULL, (size_t) 8 << 30);
	r = mdb_env_create(&f->env);
	if (r == 0)
		r = mdb_env_open(f->env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600);
	if (r == 0)
		r = mdb_env_set_mapsize(f->env, f->map_bytes = map_for(f->env));
	if (r == 0)
		r = mdb_txn_begin(f->env, NULL, 0, &f->txn);
	if (r == 0)
		r = mdb_dbi_open(f->txn, NULL, 0, &f->dbi);
	if (r == 0) {
		*ret_db = f;
		return 0;
	}
	lmdb_close(f, false, NULL);
	return explain(r, "open database", path, why);
}

static bool lmdb_has_nul(void *file)
{
	const struct lmdb_file *f = file;
	MDB_cursor *cursor;
	MDB_val k, v;
	bool yes = false;

	if (mdb_cursor_open(f->txn, f->dbi, &cursor) != 0)
		return false;
	if (mdb_cursor_get(cursor, &k, &v, MDB_FIRST) == 0)
		yes = k.mv_size > 0 && ((const char *) k.mv_data)[k.mv_size - 1] == 0;
	mdb_cursor_close(cursor);
	return yes;
}

static int apply(const struct lmdb_file *f, const struct change *c)
{
	MDB_val k = { c->key.len, (void *) c->key.at }, v = { c->value.len, (void *) c->value.at };

	if (c->removal)
		return mdb_del(f->txn, f->dbi, &k, NULL);
	return mdb_put(f->txn, f->dbi, &k, &v, c->replace ? 0 : MDB_NOOVERWRITE);
}

static int begin_portion(struct lmdb_file *f)
{
	memset(&f->portion, 0, sizeof(f->portion));
	arena_reset(f->arena);
	return mdb_txn_begin(f->env, NULL, 0, &f->txn);
}

/* Ends the transaction, doubles the map, and does everything of the portion again. */
static int redo_in_larger_map(struct lmdb_file *f)
{
	int r = MDB_MAP_FULL;

	while (r == MDB_MAP_FULL) {
		if (f->map_bytes >= MOST_MAP)
			return ENOSPC;
		if (f->txn != NULL)
			mdb_txn_abort(f->txn);
		f->txn = NULL;
		f->map_bytes *= 2;
		r = mdb_env_set_mapsize(f->env, f->map_bytes);
		if (r == 0)
			r = mdb_txn_begin(f->env, NULL, 0, &f->txn);
		for (size_t i = 0; i < f->portion.len && r == 0; i++) {
			r = apply(f, &f->portion.at[i]);
			if (r == MDB_KEYEXIST || r == MDB_NOTFOUND)
				r = 0;
		}
	}
	return r;
}

/* A commit writes the list of free pages too, and may find the map full as well. */
static int commit(struct lmdb_file *f)
{
	int r = mdb_txn_commit(f->txn);

	f->txn = NULL;
	while (r == MDB_MAP_FULL && (r = redo_in_larger_map(f)) == 0) {
		r = mdb_txn_commit(f->txn);
		f->txn = NULL;
	}
	return r;
}

static int change(struct lmdb_file *f, struct change c)
{
	int r = apply(f, &c);

	if (r == MDB_MAP_FULL) {
		r = redo_in_larger_map(f);
		if (r == 0)
			r = apply(f, &c);
	}
	if (r != 0)
		return r;
	c.key = arena_copy(f->arena, c.key);
	c.value = arena_copy(f->arena, c.value);
	*vec_add(f->arena, &f->portion) = c;
	if (f->portion.len < PORTION)
		return 0;
	r = commit(f);
	return r == 0 ? begin_portion(f) : r;
}

static int lmdb_put(void *file, struct str key, struct str value, bool replace, struct buf *why)
{
	struct lmdb_file *f = file;
	int r;

	if (key.len == 0 || key.len > (size_t) mdb_env_get_maxkeysize(f->env)) {
		buf_addf(why, "write %s: a key of %zu bytes, where 1 to %d may be stored", f->path, key.len, mdb_env_get_maxkeysize(f->env));
		return -EMSGSIZE;
	}
	r = change(f, (struct change){ .key = key, .value = value, .replace = replace });
	return r == MDB_KEYEXIST ? 0 : r == 0 ? 1 : explain(r, "write", f->path, why);
}

static int lmdb_remove(void *file, struct str key, struct buf *why)
{
	struct lmdb_file *f = file;
	int r;

	if (key.len == 0 || key.len > (size_t) mdb_env_get_maxkeysize(f->env))
		return 0;
	r = change(f, (struct change){ .key = key, .removal = true });
	return r == MDB_NOTFOUND ? 0 : r == 0 ? 1 : explain(r, "delete from", f->path, why);
}

static int lmdb_close(void *file, bool keep, struct buf *why)
{
	struct lmdb_file *f = file;
	int r = 0;

	if (keep)
		r = explain(commit(f), "write", f->path, why);
	else if (f->txn != NULL)
		mdb_txn_abort(f->txn);
	if (f->env != NULL)
		mdb_env_close(f->env);
	arena_free(f->arena);
	free(f->path);
	free(f);
	return r;
}

static int lmdb_each(const char *path, int fd, say_entry *say, void *arg, struct buf *why)
{
	MDB_env *env = NULL;
	MDB_txn *txn = NULL;
	MDB_cursor *cursor = NULL;
	MDB_dbi dbi;
	MDB_val k, v;
	int said = 0, r = mdb_env_create(&env);

	(void) fd;
	if (r == 0)
		r = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0600);
	if (r == 0)
		r = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
	if (r == 0)
		r = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (r == 0)
		r = mdb_cursor_open(txn, dbi, &cursor);
	while (r == 0 && said >= 0) {
		r = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
		if (r == 0)
			said = say(arg, str_make(k.mv_data, k.mv_size), str_make(v.mv_data, v.mv_size));
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	if (txn != NULL)
		mdb_txn_abort(txn);
	if (env != NULL)
		mdb_env_close(env);
	return said < 0 ? said : r == MDB_NOTFOUND ? 0 : explain(r, "read", path, why);
}

const struct database lmdb_database = {
	.type = "lmdb", .suffix = ".lmdb", .can_change = true, .open = lmdb_open, .has_nul = lmdb_has_nul, .put = lmdb_put,
	.remove = lmdb_remove, .close = lmdb_close, .each = lmdb_each,
};
