/* SPDX-License-Identifier: ISC */
/* Replacing a configuration file as a whole: lock, write beside it, sync, rename. See postconf.h. */
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

/* The directory's own lock, because the file itself is replaced. */
static int lock_directory(struct arena *a, const char *path)
{
	const struct str dir = str_head(str_of(path), (size_t) str_find_last(str_of(path), '/'));
	const char *name = dir.len == 0 ? "/" : str_c(a, dir);
	int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		die(POSTCONF_FAILURE, "open %s: %s", name, error_text(errno));
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			die(POSTCONF_FAILURE, "lock %s: %s", name, error_text(errno));
	return fd;
}

void edit_open(struct edit_file *f, const char *dir, const char *name)
{
	AUTO(buf) why = BUF_WORDS;

	*f = (struct edit_file){ .arena = arena_new("edit", NULL, 1 << 30), .out = BUF(POSTCONF_MOST_FILE) };
	f->path = real_path(f->arena, arena_fmt(f->arena, "%s/%s", dir, name).at);
	f->temporary = arena_fmt(f->arena, "%s.tmp", f->path).at;
	f->directory = lock_directory(f->arena, f->path);
	if (conf_read_file(f->arena, f->path, &f->text, &why) < 0)
		die(POSTCONF_FAILURE, "%s", buf_text(&why));
}

static void write_all(int fd, struct str text, const char *path)
{
	while (text.len > 0) {
		ssize_t n = write(fd, text.at, text.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			const int error = errno;

			unlink(path);
			die(POSTCONF_FAILURE, "write %s: %s", path, error_text(error));
		}
		text = str_skip(text, (size_t) n);
	}
}

static void replace(struct edit_file *f, const struct stat *old)
{
	AUTO_FD fd = -1;

	unlink(f->temporary);	/* left by an editor that was killed: we hold the lock */
	fd = open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		die(POSTCONF_FAILURE, "create %s: %s", f->temporary, error_text(errno));
	if (fchown(fd, old->st_uid, old->st_gid) < 0 && errno != EPERM)
		die(POSTCONF_FAILURE, "chown %s: %s", f->temporary, error_text(errno));
	if (fchmod(fd, old->st_mode & 07777) < 0)
		die(POSTCONF_FAILURE, "chmod %s: %s", f->temporary, error_text(errno));
	write_all(fd, buf_str(&f->out), f->temporary);
	if (fsync(fd) < 0 || rename(f->temporary, f->path) < 0 || fsync(f->directory) < 0)
		die(POSTCONF_FAILURE, "replace %s: %s", f->path, error_text(errno));
}

void edit_commit(struct edit_file *f)
{
	struct stat old;

	if (stat(f->path, &old) < 0)
		die(POSTCONF_FAILURE, "stat %s: %s", f->path, error_text(errno));
	if (!str_is(f->text, buf_str(&f->out)))
		replace(f, &old);
	close(f->directory);
	buf_free(&f->out);
	arena_free(f->arena);
}
