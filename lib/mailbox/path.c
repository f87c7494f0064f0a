/* SPDX-License-Identifier: ISC */
/* See path.h. openat2(RESOLVE_NO_SYMLINKS) would refuse every link; here the question is whose it is. */
#include "lib/mailbox/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"

enum { MOST_LINKS = 20, MOST_TARGET = 2048 };

struct path_walk {
	int dir;			/* where the walk is */
	struct buf rest;		/* what is still to be walked */
	int links;
	bool make;
};

static int go_to_root(struct path_walk *w)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (w->dir >= 0)
		close(w->dir);
	w->dir = fd;
	return 0;
}

/* The first component of rest, which is then cut off. False: nothing left. */
static bool take_name(struct path_walk *w, char name[NAME_SIZE], int *ret_error)
{
	size_t skip = 0, n = 0;

	*ret_error = 0;
	while (skip < w->rest.len && w->rest.at[skip] == '/')
		skip++;
	buf_cut_front(&w->rest, skip);
	while (n < w->rest.len && w->rest.at[n] != '/')
		n++;
	if (n >= NAME_SIZE)
		*ret_error = -ENAMETOOLONG;
	if (n == 0 || n >= NAME_SIZE)
		return false;
	memcpy(name, w->rest.at, n);
	name[n] = 0;
	buf_cut_front(&w->rest, n);
	return true;
}

static bool is_last(const struct path_walk *w)
{
	for (size_t i = 0; i < w->rest.len; i++)
		if (w->rest.at[i] != '/')
			return false;
	return true;
}

/* The link is open as fd. Its target goes before the rest. */
static int follow(struct path_walk *w, int fd, const struct stat *st)
{
	AUTO(buf) target = BUF(2 * PATH_MAX);
	char text[MOST_TARGET];
	ssize_t n;

	if (st->st_uid != 0 && st->st_uid != geteuid())
		return -EPERM;
	if (++w->links > MOST_LINKS)
		return -ELOOP;
	n = readlinkat(fd, "", text, sizeof(text));
	if (n < 0)
		return -errno;
	if (n == 0 || (size_t) n == sizeof(text))
		return -ENAMETOOLONG;
	if (buf_add(&target, str_make(text, (size_t) n)) < 0 || buf_add_byte(&target, '/') < 0
	    || buf_add(&target, buf_str(&w->rest)) < 0)
		return -ENAMETOOLONG;
	buf_clear(&w->rest);
	if (buf_add(&w->rest, buf_str(&target)) < 0)
		return -ENAMETOOLONG;
	return text[0] == '/' ? go_to_root(w) : 0;
}

static int open_component(struct path_walk *w, const char *name)
{
	int fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && w->make && !is_last(w)) {
		if (mkdirat(w->dir, name, 0700) < 0 && errno != EEXIST)
			return -errno;
		fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

/* 1: there, w->dir is the parent of name; 0: go on; -errno. */
static int step(struct path_walk *w, const char *name)
{
	AUTO_FD fd = open_component(w, name);
	struct stat st;

	if (fd < 0)
		return fd == -ENOENT && is_last(w) ? 1 : fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return follow(w, fd, &st);
	if (is_last(w))
		return 1;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	close(w->dir);
	w->dir = fd_take(&fd);
	return 0;
}

int path_open_parent(const char *path, bool make, char name[NAME_SIZE])
{
	struct path_walk w = { .dir = -1, .rest = BUF(PATH_MAX), .make = make };
	int r = path[0] != '/' ? -EINVAL : buf_add_text(&w.rest, path), error;

	if (r >= 0)
		r = go_to_root(&w);
	while (r == 0) {
		if (take_name(&w, name, &error))
			r = step(&w, name);
		else
			r = error < 0 ? error : -EISDIR;
	}
	buf_free(&w.rest);
	if (r < 0 && w.dir >= 0)
		close(w.dir);
	if (r == -EMSGSIZE)
		r = -ENAMETOOLONG;
	return r < 0 ? r : w.dir;
}
