/* SPDX-License-Identifier: ISC */
/*
 * lmdb: tables, NAME.lmdb, for reading. The library maps the file and wants its path. It is used without its lock file, which a reader without rights could
 * not write: instead, an answer counts only if the file is still as it was when it was opened, and is asked for again otherwise. Our postmap replaces the
 * file; others change it in place, and never make it shorter.
 */
#include <errno.h>
#include <lmdb.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/table/nul_forms.h"
#include "lib/table/type.h"

enum { MOST_TRIES = 3 };

struct lmdb {
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *txn;			/* of the lookup at hand; else reset */
	int fd;				/* our own descriptor of the same file */
	struct stat opened;
	struct nul_forms forms;
	MDB_val value;			/* valid while the transaction is open */
};

static int as_errno(int r)
{
	return r == 0 ? 0 : r > 0 ? -r : -EIO;
}

static void lmdb_close(void *content)
{
	struct lmdb *l = content;

	if (l->txn != NULL)
		mdb_txn_abort(l->txn);
	if (l->env != NULL)
		mdb_env_close(l->env);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

/* The library opens by path: out of reach in a chroot, where the file that was opened before goes on until a fresh process takes over. */
static int open_environment(struct lmdb *l, const struct watch *file, struct buf *why)
{
	struct stat st;
	mdb_filehandle_t fd;
	int r = mdb_env_create(&l->env);

	if (r == 0)
		r = mdb_env_open(l->env, file->path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NORDAHEAD, 0600);
	if (r == ENOENT)
		r = EACCES;
	if (r == 0 && (r = mdb_env_get_fd(l->env, &fd)) == 0)
		r = fstat(fd, &st) < 0 ? errno : st.st_ino == l->opened.st_ino && st.st_dev == l->opened.st_dev ? 0 : EAGAIN;
	if (r == 0)
		r = mdb_txn_begin(l->env, NULL, MDB_RDONLY, &l->txn);
	if (r == 0)
		r = mdb_dbi_open(l->txn, NULL, 0, &l->dbi);
	if (r == 0)
		mdb_txn_reset(l->txn);
	else
		buf_addf(why, "open database %s: %s", file->path, mdb_strerror(r));
	return as_errno(r);
}

static int lmdb_open(struct table *t, const struct watch *file, void **ret_content, struct buf *why)
{
	struct lmdb *l = get_memory(sizeof(*l));
	int r;

	(void) t;
	l->fd = r = watch_open(file, &l->opened, why);
	if (r >= 0)
		r = open_environment(l, file, why);
	if (r < 0) {
		lmdb_close(l);
		return r;
	}
	watch_saw((struct watch *) file, &l->opened);
	*ret_content = l;
	return 0;
}

static int fetch(void *db, struct str key)
{
	struct lmdb *l = db;
	MDB_val k = { key.len, (void *) key.at };
	int r;

	if (key.len == 0 || key.len > (size_t) mdb_env_get_maxkeysize(l->env))
		return 0;
	r = mdb_get(l->txn, l->dbi, &k, &l->value);
	return r == 0 ? 1 : r == MDB_NOTFOUND ? 0 : as_errno(r);
}

static bool is_unchanged(const void *content)
{
	const struct lmdb *l = content;
	struct stat st;

	return fstat(l->fd, &st) == 0 && stat_is_same(&st, &l->opened);
}

/* One lookup from the beginning to the end of its transaction. */
static int look_up(struct lmdb *l, struct arena *a, struct str key, struct str *ret_value, struct buf *why)
{
	int r = as_errno(mdb_txn_renew(l->txn));

	if (r < 0)
		return r;
	r = nul_forms_fetch(&l->forms, key, fetch, l);
	if (r > 0)
		r = table_value(a, without_nul(str_make(l->value.mv_data, l->value.mv_size)), ret_value, why);
	mdb_txn_reset(l->txn);
	return r;
}

static int lmdb_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value, struct buf *why)
{
	struct lmdb *l = content;
	int r;

	for (int tries = 0; tries < MOST_TRIES; tries++) {
		r = look_up(l, a, key, ret_value, why);
		if (is_unchanged(l)) {
			if (r < 0 && why->len == 0)
				buf_addf(why, "%s: %s", t->file->path, r == -EIO ? "the database is damaged" : error_text(r));
			return r;
		}
		buf_clear(why);
		if (table_reopen(t) < 0) {
			buf_add(why, buf_str(&t->why));
			return t->error;
		}
		l = t->content;
	}
	buf_addf(why, "%s is being written", t->file->path);
	return -EAGAIN;
}

const struct table_type lmdb_type = {
	.name = "lmdb", .traits = TYPE_FIXED_KEYS, .suffix = ".lmdb", .open_file = lmdb_open, .get = lmdb_get, .close = lmdb_close,
	.is_intact = is_unchanged,
};
