/* SPDX-License-Identifier: ISC */
#include "lib/table/edit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/table/database.h"

enum { LOCK_PATIENCE_MS = 20000 };

struct edit {
	const struct database_driver *driver;
	void *db;
	char *path;			/* the table */
	char *beside;			/* the file being made; NULL: none yet */
	int fd;				/* of that file, locked: it is in use */
	int old;			/* of the table there is, locked; -1: none */
	bool with_nul;
	bool has_old;
	struct stat old_stat;
	char words[500];		/* the driver's */
};

static struct driver_words room_for_words(struct edit *e)
{
	e->words[0] = 0;
	return (struct driver_words){ e->words, sizeof(e->words) };
}

/* The driver's result, with its words. */
static int explain(const struct edit *e, int r, struct buf *why)
{
	if (r < 0)
		buf_add_text(why, e->words);
	return r;
}

/*
 * Marks a file that is being made as in use. Not with flock(): it is still held for a moment when
 * the file has taken the table's place, and there flock() says to readers that somebody writes in
 * place.
 */
static bool lock_for_writing(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static const char *name_in(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

static void add_directory(struct buf *dir, const char *path)
{
	buf_add(dir, name_in(path) == path ? STR(".") : str_make(path, (size_t) (name_in(path) - path)));
}

/* Removes files of the same kind that nobody holds: their writers were killed. */
static void sweep(const char *path)
{
	const struct str prefix = str_of(name_in(path));
	AUTO(buf) dir = BUF(4096);
	struct dirent *entry;
	DIR *d;

	add_directory(&dir, path);
	d = opendir(buf_text(&dir));
	while (d != NULL && (entry = readdir(d)) != NULL) {
		struct str name = str_of(entry->d_name);

		if (!str_starts(name, prefix) || !str_starts(str_skip(name, prefix.len), STR(".new-")))
			continue;
		AUTO_FD fd = openat(dirfd(d), entry->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

		if (fd >= 0 && lock_for_writing(fd))
			unlinkat(dirfd(d), entry->d_name, 0);
	}
	if (d != NULL)
		closedir(d);
}

/* A new, empty, locked file beside the table, and its name. */
static int make_beside(struct edit *e, struct buf *why)
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
		if (lock_for_writing(e->fd) && fstat(e->fd, &st) == 0 && st.st_nlink == 1)
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

/* Is the table that the edit starts from still in its place? */
static bool is_in_place(const struct edit *e)
{
	struct stat there;

	return stat(e->path, &there) == 0 && there.st_ino == e->old_stat.st_ino
	       && there.st_dev == e->old_stat.st_dev;
}

/*
 * Opens the table there is and locks it against other writers; one that was replaced while we
 * waited does not count.
 */
static int lock_existing(struct edit *e, struct buf *why)
{
	const int64_t until = mono_ms() + LOCK_PATIENCE_MS;

	for (;;) {
		AUTO_FD fd = open(e->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

		if (fd < 0 && errno == ENOENT)
			return 0;
		if (fd < 0 || fstat(fd, &e->old_stat) < 0) {
			int error = -errno;

			buf_addf(why, "open %s: %s", e->path, error_text(error));
			return error;
		}
		/*
		 * Against our own kind, and against those who write in place. Readers, who ask for
		 * the latter, only see the second one.
		 */
		if (lock_for_writing(fd) && flock(fd, LOCK_SH | LOCK_NB) == 0) {
			if (is_in_place(e)) {
				e->old = fd_take(&fd);
				e->has_old = true;
				return 0;
			}
		} else if (mono_ms() > until) {
			buf_addf(why, "%s is locked by another process", e->path);
			return -EBUSY;
		} else {
			poll(NULL, 0, 50);		/* this may be a pool thread */
		}
	}
}

static int copy_existing(struct edit *e, struct buf *why)
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

int edit_open(const struct database_driver *driver, const char *path, unsigned flags, size_t cache_bytes,
	      struct edit **ret_e, struct buf *why)
{
	struct edit *e = get_memory(sizeof(*e));
	size_t len = strlen(path);
	bool fresh;
	int r;

	e->driver = driver;
	e->fd = e->old = -1;
	e->with_nul = flags & EDIT_KEEP_NUL;
	e->path = get_memory(len + 1);
	memcpy(e->path, path, len);
	sweep(path);
	if ((flags & EDIT_FROM_EXISTING) && !driver->can_change) {
		buf_addf(why, "a table of type %s cannot be changed, only made anew", driver->type);
		r = -EOPNOTSUPP;
	} else if (flags & EDIT_FROM_EXISTING) {
		r = lock_existing(e, why);
	} else {
		r = (e->has_old = stat(path, &e->old_stat) == 0) && !S_ISREG(e->old_stat.st_mode)
		    ? -EINVAL : 0;
		if (r < 0)
			buf_addf(why, "%s: not a regular file", path);
	}
	if (r == 0)
		r = make_beside(e, why);
	if (r == 0 && e->old >= 0)
		r = copy_existing(e, why);
	fresh = e->old < 0 || e->old_stat.st_size == 0;
	if (r == 0)
		r = explain(e, driver->edit(e->beside, e->fd, fresh, cache_bytes, &e->db, room_for_words(e)),
			    why);
	if (r < 0) {
		edit_abandon(e);
		return r;
	}
	if (!fresh && driver->has_nul != NULL && driver->has_nul(e->db))
		e->with_nul = true;
	*ret_e = e;
	return 0;
}

int edit_put(struct edit *e, struct str key, struct str value, bool replace, struct buf *why)
{
	AUTO(buf) k = BUF(key.len + 1), v = BUF(value.len + 1);

	if (!e->with_nul)
		return explain(e, e->driver->put(e->db, key, value, replace, room_for_words(e)), why);
	buf_add(&k, key);
	buf_add_byte(&k, 0);
	buf_add(&v, value);
	buf_add_byte(&v, 0);
	return explain(e, e->driver->put(e->db, buf_str(&k), buf_str(&v), replace, room_for_words(e)), why);
}

int edit_delete(struct edit *e, struct str key, struct buf *why)
{
	AUTO(buf) k = BUF(key.len + 1);

	buf_add(&k, key);
	if (e->with_nul)
		buf_add_byte(&k, 0);
	return explain(e, e->driver->remove(e->db, buf_str(&k), room_for_words(e)), why);
}

const struct stat *edit_existing(const struct edit *e)
{
	return e->has_old ? &e->old_stat : NULL;
}

void edit_abandon(struct edit *e)
{
	if (e == NULL)
		return;
	if (e->db != NULL)
		e->driver->finish(e->db, false, room_for_words(e));
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

	add_directory(&dir, path);
	fd = open(buf_text(&dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* A directory that we may write but not read cannot be synced; the content is safe. */
	return fd < 0 || fsync(fd) == 0 ? 0 : -errno;
}

/* Content first, then the name: a name that survives a power cut leads to whole content. */
static int put_into_place(struct edit *e, mode_t mode, uid_t uid, gid_t gid, struct buf *why)
{
	int r = 0;

	if ((uid != (uid_t) -1 && fchown(e->fd, uid, (gid_t) -1) < 0)
	    || (gid != (gid_t) -1 && fchown(e->fd, (uid_t) -1, gid) < 0 && errno != EPERM)
	    || fchmod(e->fd, mode) < 0 || fsync(e->fd) < 0)
		r = -errno;
	/* Who makes a table anew locks nothing. It shall not be undone by a change of the old one. */
	if (r == 0 && e->old >= 0 && !is_in_place(e)) {
		buf_addf(why, "%s was made anew meanwhile, and is not changed", e->path);
		return -ESTALE;
	}
	if (r == 0 && rename(e->beside, e->path) < 0)
		r = -errno;
	if (r < 0) {
		buf_addf(why, "%s: %s", e->beside, error_text(r));
		return r;
	}
	free(e->beside);
	e->beside = NULL;
	r = sync_directory(e->path);
	if (r < 0)
		buf_addf(why, "sync the directory of %s: %s", e->path, error_text(r));
	return r;
}

int edit_commit(struct edit *e, mode_t mode, uid_t uid, gid_t gid, struct buf *why)
{
	int r = explain(e, e->driver->finish(e->db, true, room_for_words(e)), why);

	e->db = NULL;
	if (r >= 0)
		r = put_into_place(e, mode, uid, gid, why);
	edit_abandon(e);
	return r;
}

struct telling {
	driver_entry *say;
	void *arg;
};

static int say_without_nul(void *arg, struct str key, struct str value)
{
	const struct telling *t = arg;

	return t->say(t->arg, without_nul(key), without_nul(value));
}

int edit_each(const struct database_driver *driver, const char *path, driver_entry *say, void *arg,
	      struct buf *why)
{
	struct telling t = { say, arg };
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char words[500] = "";
	int r;

	if (fd < 0) {
		int error = -errno;

		buf_addf(why, "open database %s: %s", path, error_text(error));
		return error;
	}
	r = driver->each(path, fd, say_without_nul, &t, (struct driver_words){ words, sizeof(words) });
	buf_add_text(why, words);
	return r;
}
