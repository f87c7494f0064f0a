/* SPDX-License-Identifier: ISC */
#include "lib/table/bdb_write.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/co/co.h"
#include "lib/table/bdb_place.h"

enum { LOCK_PATIENCE_MS = 20000 };

struct bdb_edit {
	DB *db;
	char *path;			/* the table */
	char *beside;			/* the file being made; NULL: none yet */
	int fd;				/* of that file, locked: it is in use */
	int old;			/* of the table there is, locked; -1: none */
	bool with_nul;
	bool has_old;
	struct stat old_stat;
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

static int open_db(DB **ret_db, const char *type, const char *path, int fd, u_int32_t flags, size_t cache_bytes, struct buf *why)
{
	struct bdb_place place = { .path = path, .fd = fd };
	DBTYPE kind = strcmp(type, "btree") == 0 ? DB_BTREE : DB_HASH;
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

/*
 * Marks a file that is being made as in use. Not with flock(): it is still held for a moment when the file has taken the table's place, and there
 * flock() says to readers that somebody writes in place.
 */
static bool lock_beside(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* Removes files of the same kind that nobody holds: their writers were killed. */
static void sweep(const char *path)
{
	const char *slash = strrchr(path, '/');
	struct str prefix = { slash + 1, strlen(slash + 1) };
	AUTO(buf) dir = BUF(4096);
	struct dirent *entry;
	DIR *d;

	buf_add(&dir, str_make(path, (size_t) (slash - path) + 1));
	d = opendir(buf_text(&dir));
	while (d != NULL && (entry = readdir(d)) != NULL) {
		struct str name = str_of(entry->d_name);

		if (!str_starts(name, prefix) || !str_starts(str_skip(name, prefix.len), STR(".new-")))
			continue;
		AUTO_FD fd = openat(dirfd(d), entry->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

		if (fd >= 0 && lock_beside(fd))
			unlinkat(dirfd(d), entry->d_name, 0);
	}
	if (d != NULL)
		closedir(d);
}

/* A new, empty, locked file beside the table, and its name. */
static int make_beside(struct bdb_edit *e, struct buf *why)
{
	size_t size = strlen(e->path) + 64;
	struct stat st;
	int error;

	e->beside = get_memory(size);
	for (int attempt = 0; attempt < 100; attempt++) {
		snprintf(e->beside, size, "%s.new-%d-%d", e->path, (int) getpid(), attempt);
		e->fd = open(e->beside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (e->fd < 0 && errno == EEXIST)
			continue;
		if (e->fd < 0)
			break;
		/* Another writer's sweep may have been quicker than the lock. */
		if (lock_beside(e->fd) && fstat(e->fd, &st) == 0 && st.st_nlink == 1)
			return 0;
		close(e->fd);
		e->fd = -1;
		errno = EBUSY;
	}
	error = -errno;
	buf_addf(why, "create %s: %s", e->beside, error_text(error));
	free(e->beside);
	e->beside = NULL;
	return error;
}

/* Opens the table there is and locks it against other writers; one that was replaced while we waited does not count. */
static int lock_existing(struct bdb_edit *e, struct buf *why)
{
	when_t until = in(LOCK_PATIENCE_MS);
	struct stat there;

	for (;;) {
		AUTO_FD fd = open(e->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

		if (fd < 0 && errno == ENOENT)
			return 0;
		if (fd < 0 || fstat(fd, &e->old_stat) < 0) {
			int error = -errno;

			buf_addf(why, "open %s: %s", e->path, error_text(error));
			return error;
		}
		if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
			if (stat(e->path, &there) == 0 && there.st_ino == e->old_stat.st_ino && there.st_dev == e->old_stat.st_dev) {
				e->old = fd_take(&fd);
				e->has_old = true;
				return 0;
			}
		} else if (mono_ms() > until) {
			buf_addf(why, "%s is locked by another process", e->path);
			return -EBUSY;
		} else {
			co_sleep(in(50));
		}
	}
}

static int copy_existing(struct bdb_edit *e, struct buf *why)
{
	AUTO_PTR char *piece = get_memory(1 << 16);
	ssize_t n;

	for (off_t at = 0; (n = pread(e->old, piece, 1 << 16, at)) != 0; at += n) {
		if (n < 0 || pwrite(e->fd, piece, (size_t) n, at) != n) {
			int error = errno;

			buf_addf(why, "copy %s to %s: %s", e->path, e->beside, error_text(error));
			return error > 0 ? -error : -EIO;
		}
	}
	return 0;
}

/* Do the entries of this table end with a NUL? Its first one tells. */
static bool has_nul_keys(DB *db)
{
	DBT k = { .flags = DB_DBT_MALLOC }, v = { .flags = DB_DBT_MALLOC };
	DBC *cursor;
	bool yes = false;

	if (db->cursor(db, NULL, &cursor, 0) != 0)
		return false;
	if (cursor->get(cursor, &k, &v, DB_FIRST) == 0)
		yes = k.size > 0 && ((const char *) k.data)[k.size - 1] == 0;
	free(k.data);
	free(v.data);
	cursor->close(cursor);
	return yes;
}

int bdb_edit_open(const char *type, const char *path, unsigned flags, size_t cache_bytes, struct bdb_edit **ret_e, struct buf *why)
{
	struct bdb_edit *e = get_memory(sizeof(*e));
	size_t len = strlen(path);
	bool empty;
	int r;

	e->fd = e->old = -1;
	e->with_nul = flags & BDB_KEEP_NUL;
	e->path = get_memory(len + 1);
	memcpy(e->path, path, len);
	sweep(path);
	if (flags & BDB_FROM_EXISTING)
		r = lock_existing(e, why);
	else
		r = (e->has_old = stat(path, &e->old_stat) == 0) && !S_ISREG(e->old_stat.st_mode) ? -EINVAL : 0;
	if (r == 0)
		r = make_beside(e, why);
	if (r == 0 && e->old >= 0)
		r = copy_existing(e, why);
	empty = e->old < 0 || e->old_stat.st_size == 0;
	if (r == 0)
		r = open_db(&e->db, type, e->beside, e->fd, empty ? DB_CREATE | DB_TRUNCATE : 0, cache_bytes, why);
	if (r < 0) {
		bdb_edit_abandon(e);
		return r;
	}
	if (!empty && has_nul_keys(e->db))
		e->with_nul = true;
	*ret_e = e;
	return 0;
}

int bdb_edit_put(struct bdb_edit *e, struct str key, struct str value, bool replace, struct buf *why)
{
	AUTO(buf) k = BUF(key.len + 1), v = BUF(value.len + 1);
	DBT key_thing = { 0 }, value_thing = { 0 };
	int r;

	buf_add(&k, key);
	buf_add(&v, value);
	key_thing = (DBT){ .data = k.at, .size = (u_int32_t) (k.len + e->with_nul) };
	value_thing = (DBT){ .data = v.at, .size = (u_int32_t) (v.len + e->with_nul) };
	bdb_clear_words();
	r = e->db->put(e->db, NULL, &key_thing, &value_thing, replace ? 0 : DB_NOOVERWRITE);
	if (r == DB_KEYEXIST)
		return 0;
	return r == 0 ? 1 : explain(r, "write", e->beside, why);
}

int bdb_edit_delete(struct bdb_edit *e, struct str key, struct buf *why)
{
	AUTO(buf) k = BUF(key.len + 1);
	DBT key_thing;
	int r;

	buf_add(&k, key);
	key_thing = (DBT){ .data = k.at, .size = (u_int32_t) (k.len + e->with_nul) };
	bdb_clear_words();
	r = e->db->del(e->db, NULL, &key_thing, 0);
	return r == DB_NOTFOUND ? 0 : r == 0 ? 1 : explain(r, "delete from", e->beside, why);
}

const struct stat *bdb_edit_existing(const struct bdb_edit *e)
{
	return e->has_old ? &e->old_stat : NULL;
}

void bdb_edit_abandon(struct bdb_edit *e)
{
	if (e == NULL)
		return;
	if (e->db != NULL)
		e->db->close(e->db, DB_NOSYNC);
	if (e->beside != NULL)
		unlink(e->beside);
	if (e->fd >= 0)
		close(e->fd);
	if (e->old >= 0)
		close(e->old);
	free(e->beside);
	free(e->path);
	free(e);
}

static int sync_directory(const char *path)
{
	AUTO(buf) dir = BUF(4096);
	AUTO_FD fd = -1;

	buf_add(&dir, str_make(path, (size_t) (strrchr(path, '/') - path) + 1));
	fd = open(buf_text(&dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* A directory that we may write but not read cannot be synced; the content is safe. */
	return fd < 0 || fsync(fd) == 0 ? 0 : -errno;
}

int bdb_edit_commit(struct bdb_edit *e, mode_t mode, uid_t uid, gid_t gid, struct buf *why)
{
	int r;

	bdb_clear_words();
	r = e->db->close(e->db, 0);		/* writes what is in its cache */
	e->db = NULL;
	r = explain(r, "write", e->beside, why);
	if (r < 0) {
		bdb_edit_abandon(e);
		return r;
	}
	/* Content first, then the name: a name that survives a power cut leads to whole content. */
	if ((uid != (uid_t) -1 && fchown(e->fd, uid, (gid_t) -1) < 0) ||
	    (gid != (gid_t) -1 && fchown(e->fd, (uid_t) -1, gid) < 0 && errno != EPERM) || fchmod(e->fd, mode) < 0 ||
	    fsync(e->fd) < 0 || rename(e->beside, e->path) < 0) {
		r = -errno;
		buf_addf(why, "%s: %s", e->beside, error_text(r));
	} else {
		free(e->beside);
		e->beside = NULL;
		r = sync_directory(e->path);
		if (r < 0)
			buf_addf(why, "sync the directory of %s: %s", e->path, error_text(r));
	}
	bdb_edit_abandon(e);
	return r;
}

int bdb_each(const char *type, const char *path, int (*say)(void *arg, struct str key, struct str value), void *arg, struct buf *why)
{
	DBT k = { .flags = DB_DBT_REALLOC }, v = { .flags = DB_DBT_REALLOC };
	DBC *cursor = NULL;
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	DB *db;
	int said = 0, r;

	if (fd < 0) {
		r = -errno;
		buf_addf(why, "open database %s: %s", path, error_text(r));
		return r;
	}
	r = open_db(&db, type, path, fd, DB_RDONLY | DB_NOMMAP, 1 << 20, why);
	if (r < 0)
		return r;
	r = db->cursor(db, NULL, &cursor, 0);
	while (r == 0 && said >= 0) {
		r = cursor->get(cursor, &k, &v, DB_NEXT);
		if (r == 0) {
			struct str key = { k.data, k.size }, value = { v.data, v.size };

			if (key.len > 0 && key.at[key.len - 1] == 0)
				key.len--;
			if (value.len > 0 && value.at[value.len - 1] == 0)
				value.len--;
			said = say(arg, key, value);
		}
	}
	r = r == DB_NOTFOUND ? 0 : explain(r, "read", path, why);
	free(k.data);
	free(v.data);
	if (cursor != NULL)
		cursor->close(cursor);
	db->close(db, DB_NOSYNC);
	return said < 0 ? said : r;
}
