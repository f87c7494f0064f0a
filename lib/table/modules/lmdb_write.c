/* SPDX-License-Identifier: ISC */
/*
 * lmdb: tables, for writing and listing. Changes go in portions; when the map is too small for one,
 * it is made twice as large, and the portion is done again.
 */
#include <errno.h>

#include "lib/table/modules/lmdb.h"

enum { PORTION = 10000 };
static const size_t FIRST_MAP = 16 << 20, MOST_MAP = (size_t) 1 << 40;

struct change {
	struct str key, value;		/* in one piece of memory, the key's */
	bool removal, replace;
};

struct writing {
	const char *path;
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *txn;
	size_t map_bytes;
	struct change *portion;		/* what the transaction holds */
	size_t count;
};

/* Room for what is there, and at least as much again. */
static size_t map_for(MDB_env *env)
{
	MDB_envinfo info;
	MDB_stat stat;
	size_t wanted;

	if (mdb_env_info(env, &info) != 0 || mdb_env_stat(env, &stat) != 0)
		return FIRST_MAP;
	wanted = 2 * (info.me_last_pgno + 1) * stat.ms_psize;
	return wanted > FIRST_MAP ? wanted : FIRST_MAP;
}

static void forget_portion(struct writing *w)
{
	for (size_t i = 0; i < w->count; i++)
		free((char *) w->portion[i].key.at);
	w->count = 0;
}

static int remember(struct writing *w, struct change c)
{
	char *copy = malloc(c.key.len + c.value.len + 1);

	if (copy == NULL)
		return ENOMEM;
	memcpy(copy, c.key.at, c.key.len);
	if (c.value.len > 0)
		memcpy(copy + c.key.len, c.value.at, c.value.len);
	c.key.at = copy;
	c.value.at = copy + c.key.len;
	w->portion[w->count++] = c;
	return 0;
}

static void end_writing(struct writing *w)
{
	if (w->txn != NULL)
		mdb_txn_abort(w->txn);
	if (w->env != NULL)
		mdb_env_close(w->env);
	forget_portion(w);
	free(w->portion);
	free(w);
}

static int begin(struct writing *w)
{
	int r = mdb_env_create(&w->env);

	if (r == 0)
		r = mdb_env_open(w->env, w->path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600);
	if (r == 0)
		r = mdb_env_set_mapsize(w->env, w->map_bytes = map_for(w->env));
	if (r == 0)
		r = mdb_txn_begin(w->env, NULL, 0, &w->txn);
	return r == 0 ? mdb_dbi_open(w->txn, NULL, 0, &w->dbi) : r;
}

int lmdb_edit(const char *path, int fd, bool fresh, size_t cache_bytes, void **ret_db,
	      struct driver_words why)
{
	struct writing *w = calloc(1, sizeof(*w));
	int r = ENOMEM;

	(void) fd;
	(void) fresh;
	(void) cache_bytes;
	if (w != NULL && (w->portion = calloc(PORTION, sizeof(*w->portion))) != NULL) {
		w->path = path;
		r = begin(w);
	}
	if (r == 0)
		*ret_db = w;
	else if (w != NULL)
		end_writing(w);
	return lmdb_explain(r, "open database", path, why);
}

bool lmdb_has_nul(void *db)
{
	const struct writing *w = db;
	MDB_cursor *cursor;
	MDB_val k, v;
	bool yes = false;

	if (mdb_cursor_open(w->txn, w->dbi, &cursor) != 0)
		return false;
	if (mdb_cursor_get(cursor, &k, &v, MDB_FIRST) == 0)
		yes = k.mv_size > 0 && ((const char *) k.mv_data)[k.mv_size - 1] == 0;
	mdb_cursor_close(cursor);
	return yes;
}

static int apply(const struct writing *w, const struct change *c)
{
	MDB_val k = { c->key.len, (void *) c->key.at }, v = { c->value.len, (void *) c->value.at };

	if (c->removal)
		return mdb_del(w->txn, w->dbi, &k, NULL);
	return mdb_put(w->txn, w->dbi, &k, &v, c->replace ? 0 : MDB_NOOVERWRITE);
}

static int begin_portion(struct writing *w)
{
	forget_portion(w);
	return mdb_txn_begin(w->env, NULL, 0, &w->txn);
}

/* Ends the transaction, doubles the map, and does everything of the portion again. */
static int redo_in_larger_map(struct writing *w)
{
	int r = MDB_MAP_FULL;

	while (r == MDB_MAP_FULL) {
		if (w->map_bytes >= MOST_MAP)
			return ENOSPC;
		if (w->txn != NULL)
			mdb_txn_abort(w->txn);
		w->txn = NULL;
		w->map_bytes *= 2;
		r = mdb_env_set_mapsize(w->env, w->map_bytes);
		if (r == 0)
			r = mdb_txn_begin(w->env, NULL, 0, &w->txn);
		for (size_t i = 0; i < w->count && r == 0; i++) {
			r = apply(w, &w->portion[i]);
			if (r == MDB_KEYEXIST || r == MDB_NOTFOUND)
				r = 0;
		}
	}
	return r;
}

/* A commit writes the list of free pages too, and may find the map full as well. */
static int commit(struct writing *w)
{
	int r = mdb_txn_commit(w->txn);

	w->txn = NULL;
	while (r == MDB_MAP_FULL && (r = redo_in_larger_map(w)) == 0) {
		r = mdb_txn_commit(w->txn);
		w->txn = NULL;
	}
	return r;
}

static int change(struct writing *w, struct change c)
{
	int r = apply(w, &c);

	if (r == MDB_MAP_FULL) {
		r = redo_in_larger_map(w);
		if (r == 0)
			r = apply(w, &c);
	}
	if (r == 0)
		r = remember(w, c);
	if (r != 0 || w->count < PORTION)
		return r;
	r = commit(w);
	return r == 0 ? begin_portion(w) : r;
}

int lmdb_put(void *db, struct str key, struct str value, bool replace, struct driver_words why)
{
	struct writing *w = db;
	int r;

	if (key.len == 0 || key.len > (size_t) mdb_env_get_maxkeysize(w->env)) {
		snprintf(why.at, why.size, "write %s: a key of %zu bytes, where 1 to %d may be stored",
			 w->path, key.len, mdb_env_get_maxkeysize(w->env));
		return -EMSGSIZE;
	}
	r = change(w, (struct change){ .key = key, .value = value, .replace = replace });
	return r == MDB_KEYEXIST ? 0 : r == 0 ? 1 : lmdb_explain(r, "write", w->path, why);
}

int lmdb_remove(void *db, struct str key, struct driver_words why)
{
	struct writing *w = db;
	int r;

	if (key.len == 0 || key.len > (size_t) mdb_env_get_maxkeysize(w->env))
		return 0;
	r = change(w, (struct change){ .key = key, .removal = true });
	return r == MDB_NOTFOUND ? 0 : r == 0 ? 1 : lmdb_explain(r, "delete from", w->path, why);
}

int lmdb_finish(void *db, bool keep, struct driver_words why)
{
	struct writing *w = db;
	int r = keep ? lmdb_explain(commit(w), "write", w->path, why) : 0;

	end_writing(w);
	return r;
}

int lmdb_each(const char *path, int fd, driver_entry *say, void *arg, struct driver_words why)
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
	return said < 0 ? said : r == MDB_NOTFOUND ? 0 : lmdb_explain(r, "read", path, why);
}
