/* SPDX-License-Identifier: ISC */
/*
 * lmdb: tables, for reading. The library maps the file and wants its path. It is used without its
 * lock file, which a reader without rights could not write. Our postmap replaces the file; others
 * change it in place, and never make it shorter.
 */
#include <errno.h>
#include <sys/stat.h>

#include "lib/table/modules/lmdb.h"

struct reading {
	const char *path;
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *txn;			/* of the last lookup, whose value is still wanted; else reset */
};

void lmdb_close(void *db)
{
	struct reading *l = db;

	if (l->txn != NULL)
		mdb_txn_abort(l->txn);
	if (l->env != NULL)
		mdb_env_close(l->env);
	free(l);
}

/*
 * The library opens by path: out of reach in a chroot, where the file that was opened before goes
 * on until a fresh process takes over.
 */
static int open_environment(struct reading *l, int wanted_fd)
{
	struct stat wanted, st;
	mdb_filehandle_t fd;
	int r = mdb_env_create(&l->env);

	if (r == 0)
		r = mdb_env_open(l->env, l->path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NORDAHEAD,
				 0600);
	if (r == ENOENT)
		r = EACCES;
	if (r == 0 && (r = mdb_env_get_fd(l->env, &fd)) == 0)
		r = fstat(fd, &st) < 0 || fstat(wanted_fd, &wanted) < 0 ? errno :
			st.st_ino == wanted.st_ino && st.st_dev == wanted.st_dev ? 0 : EAGAIN;
	if (r == 0)
		r = mdb_txn_begin(l->env, NULL, MDB_RDONLY, &l->txn);
	if (r == 0)
		r = mdb_dbi_open(l->txn, NULL, 0, &l->dbi);
	if (r == 0)
		mdb_txn_reset(l->txn);
	return r;
}

int lmdb_open(const char *path, int fd, void **ret_db, struct driver_words why)
{
	struct reading *l = calloc(1, sizeof(*l));
	int r = ENOMEM;

	if (l != NULL) {
		l->path = path;
		r = open_environment(l, fd);
	}
	if (r == 0)
		*ret_db = l;
	else if (l != NULL)
		lmdb_close(l);
	return lmdb_explain(r, "open database", path, why);
}

int lmdb_get(void *db, struct str key, struct str *ret_value, struct driver_words why)
{
	struct reading *l = db;
	MDB_val k = { key.len, (void *) key.at }, v;
	int r;

	if (key.len == 0 || key.len > (size_t) mdb_env_get_maxkeysize(l->env))
		return 0;
	mdb_txn_reset(l->txn);
	r = mdb_txn_renew(l->txn);
	if (r == 0)
		r = mdb_get(l->txn, l->dbi, &k, &v);
	if (r == 0) {
		*ret_value = str_make(v.mv_data, v.mv_size);
		return 1;
	}
	mdb_txn_reset(l->txn);
	return r == MDB_NOTFOUND ? 0 : lmdb_explain(r, "read", l->path, why);
}
