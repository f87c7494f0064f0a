/* SPDX-License-Identifier: ISC */
#include "lib/table/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/table/table.h"

enum { HIDDEN_MS = 3600 * 1000 };

static struct list all = LIST_INIT(all);

/* The directory part of path as text of its own; *ret_name is where the last component begins. */
static char *directory_of(const char *path, size_t *ret_name)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 0 : (size_t) (slash - path);
	char *dir = get_memory(len + 2);

	*ret_name = slash == NULL ? 0 : len + 1;
	if (slash == NULL)
		dir[0] = '.';
	else if (len == 0)
		dir[0] = '/';
	else
		memcpy(dir, path, len);
	return dir;
}

int watch_new(struct str path, struct watch **ret_w, struct buf *why)
{
	struct watch *w;
	AUTO_PTR char *dir = NULL;
	size_t name;
	int fd;

	if (path.len == 0 || path.len > 4000 || memchr(path.at, 0, path.len) != NULL) {
		buf_add_text(why, "not a file name");
		return -EINVAL;
	}
	w = get_memory(sizeof(*w));
	w->path = get_memory(path.len + 1);
	memcpy(w->path, path.at, path.len);
	dir = directory_of(w->path, &name);
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		int error = -errno;

		buf_addf(why, "open %s: %s", w->path, error_text(error));
		free(w->path);
		free(w);
		return error;
	}
	w->name = w->path + name;
	w->dir = fd;
	list_append(&all, &w->link);
	*ret_w = w;
	return 0;
}

void watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	list_remove(&w->link);
	close(w->dir);
	free(w->path);
	free(w);
}

int watch_open(const struct watch *w, struct stat *ret_st, struct buf *why)
{
	int fd = openat(w->dir, w->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int error;

	if (fd >= 0 && fstat(fd, ret_st) == 0 && S_ISREG(ret_st->st_mode))
		return fd;
	error = fd < 0 ? -errno : S_ISDIR(ret_st->st_mode) ? -EISDIR : -EINVAL;
	if (fd >= 0)
		close(fd);
	buf_addf(why, "open %s: %s", w->path, error == -EINVAL ? "not a regular file" : error_text(error));
	return error;
}

void watch_saw(struct watch *w, const struct stat *st)
{
	w->seen = true;
	w->as_seen = *st;
	w->next_look_ms = mono_ms() + 1000;
	w->seen_ms = mono_ms();
}

bool stat_is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_uid == b->st_uid
	       && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec
	       && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool watch_changed(struct watch *w, bool settle)
{
	int64_t now = mono_ms(), written_ago_us;
	struct stat st;

	if (now < w->next_look_ms)
		return false;
	w->next_look_ms = now + 1000;
	if (!w->seen)
		return true;
	if (fstatat(w->dir, w->name, &st, 0) < 0)
		return errno != EACCES || now >= w->seen_ms + HIDDEN_MS;
	if (stat_is_same(&st, &w->as_seen))
		return false;
	if (!settle || st.st_ino != w->as_seen.st_ino || st.st_dev != w->as_seen.st_dev)
		return true;
	/*
	 * Times in the future count as settled: a clock that jumped must not keep the old content
	 * for ever.
	 */
	written_ago_us = wall_us() - ((int64_t) st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000);
	return written_ago_us >= 1000000 || written_ago_us < -1000000;
}

void table_each_directory(void (*say)(void *arg, const char *directory), void *arg)
{
	LIST_EACH(w, &all, struct watch, link) {
		AUTO_PTR char *real = realpath(w->path, NULL);
		AUTO_PTR char *dir = NULL;
		AUTO_PTR char *real_dir = NULL;
		size_t name;

		dir = directory_of(w->path, &name);
		say(arg, dir);
		if (real == NULL)
			continue;
		real_dir = directory_of(real, &name);	/* where a symbolic link leads */
		if (strcmp(dir, real_dir) != 0)
			say(arg, real_dir);
	}
}
