/* SPDX-License-Identifier: ISC */
/*
 * Replacing a configuration file as a whole: lock a file beside it, write that, sync, rename. See
 * postconf.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/postconf/postconf.h"
#include "lib/base/die.h"

const char *bad_argument(struct str text)
{
	if (str_find(text, '\n') >= 0)
		return "-e, -X, or -# accepts no multi-line input";
	if (str_trim(text).len > 0 && str_trim(text).at[0] == '#')
		return "-e, -X, or -# accepts no comment input";
	return NULL;
}

/* The file behind a symbolic link, so that the link stays one. */
static const char *real_path(struct arena *a, const char *path)
{
	char *real = realpath(path, NULL);
	const char *kept;

	if (real == NULL)
		die(POSTCONF_FAILURE, "open %s: %s", path, error_text(errno));
	kept = str_c(a, str_of(real));
	free(real);
	return kept;
}

static const char *unfinished;		/* a temporary file that is ours and has not taken its place */

static void remove_unfinished(void)
{
	if (unfinished != NULL)
		unlink(unfinished);
}

/*
 * The lock is on the file that will take the place: a file that everybody may read, or its
 * directory, everybody may lock as well. One that another editor moved into place or removed while
 * we waited does not count; one that a killed editor left does.
 */
static int lock_temporary(const char *path)
{
	struct stat held, there;

	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			die(POSTCONF_FAILURE, "create %s: %s", path, error_text(errno));
		while (flock(fd, LOCK_EX) < 0)
			if (errno != EINTR)
				die(POSTCONF_FAILURE, "lock %s: %s", path, error_text(errno));
		if (fstat(fd, &held) == 0 && lstat(path, &there) == 0 && held.st_ino == there.st_ino
		    && held.st_dev == there.st_dev) {
			unfinished = path;
			atexit(remove_unfinished);
			return fd;
		}
		close(fd);
	}
}

void edit_open(struct edit_file *f, const char *dir, const char *name)
{
	AUTO(buf) why = BUF_WORDS;

	*f = (struct edit_file){ .arena = arena_new("edit", NULL, 1 << 30), .out = BUF(POSTCONF_MOST_FILE) };
	f->path = real_path(f->arena, arena_fmt(f->arena, "%s/%s", dir, name).at);
	f->temporary = arena_fmt(f->arena, "%s.tmp", f->path).at;
	f->fd = lock_temporary(f->temporary);
	if (conf_read_file(f->arena, f->path, &f->text, &why) < 0)
		die(POSTCONF_FAILURE, "%s", buf_text(&why));
}

static void write_all(int fd, struct str text, const char *path)
{
	while (text.len > 0) {
		ssize_t n = write(fd, text.at, text.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die(POSTCONF_FAILURE, "write %s: %s", path, error_text(errno));
		text = str_skip(text, (size_t) n);
	}
}

/* The name that survives a power cut leads to whole content. */
static int sync_directory(const struct edit_file *f)
{
	const struct str dir = str_head(str_of(f->path), (size_t) str_find_last(str_of(f->path), '/') + 1);
	AUTO_FD fd = open(str_c(f->arena, dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -1 : fsync(fd);
}

static void replace(struct edit_file *f, const struct stat *old)
{
	if (ftruncate(f->fd, 0) < 0 || (fchown(f->fd, old->st_uid, old->st_gid) < 0 && errno != EPERM))
		die(POSTCONF_FAILURE, "chown %s: %s", f->temporary, error_text(errno));
	write_all(f->fd, buf_str(&f->out), f->temporary);
	if (fchmod(f->fd, old->st_mode & 07777) < 0)
		die(POSTCONF_FAILURE, "chmod %s: %s", f->temporary, error_text(errno));
	if (fsync(f->fd) < 0 || rename(f->temporary, f->path) < 0)
		die(POSTCONF_FAILURE, "replace %s: %s", f->path, error_text(errno));
	unfinished = NULL;
	if (sync_directory(f) < 0)
		die(POSTCONF_FAILURE, "replace %s: %s", f->path, error_text(errno));
}

void edit_commit(struct edit_file *f)
{
	struct stat old;

	if (stat(f->path, &old) < 0)
		die(POSTCONF_FAILURE, "stat %s: %s", f->path, error_text(errno));
	if (!str_is(f->text, buf_str(&f->out)))
		replace(f, &old);
	remove_unfinished();
	unfinished = NULL;
	close(f->fd);
	buf_free(&f->out);
	arena_free(f->arena);
}
