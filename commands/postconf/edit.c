/* SPDX-License-Identifier: ISC */
/*
 * Changing main.cf in place: postconf -e name=value, -X name, -# name. The new file is written beside the old one, synced and renamed
 * over it, under a lock, so that a reader sees one or the other, and two editors do not undo each other's work. Comments and
 * order stay as they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/postconf/postconf.h"
#include "lib/base/die.h"
#include "lib/base/map.h"

struct edit {
	struct arena *arena;
	enum edit_kind kind;
	struct map *wanted;		/* name -> struct change */
	struct buf out;
};

struct change {
	struct str name, value;
	int seen;
};

/* ---- what to change ---- */

static void check_argument(struct str text)
{
	if (str_find(text, '\n') >= 0)
		die(EX_USAGE, "-e, -X, or -# accepts no multi-line input");
	if (str_trim(text).len > 0 && str_trim(text).at[0] == '#')
		die(EX_USAGE, "-e, -X, or -# accepts no comment input");
}

static void want(struct edit *e, char **order, int count)
{
	for (int i = 0; i < count; i++) {
		struct str value = str_of(order[i]), name;
		struct change *c = ARENA_NEW(e->arena, struct change);
		bool has_value = str_cut(&value, '=', &name);

		check_argument(str_of(order[i]));
		name = str_trim(name);
		if (e->kind == EDIT_SET && !has_value)
			die(EX_USAGE, "missing '=' after attribute name: \"%s\"", order[i]);
		if (e->kind != EDIT_SET && has_value)
			die(EX_USAGE, "-X or -# requires names without value: \"%s\"", order[i]);
		if (name.len == 0 || str_find_any(name, " \t\r") >= 0)
			die(EX_USAGE, "missing '=' after attribute name: \"%s\"", order[i]);
		c->name = name;
		c->value = str_trim(value);
		map_put(e->wanted, name, c);
	}
}

/* ---- the file's lines ---- */

static bool counts_for_nothing(struct str line)
{
	struct str text = str_trim(line);

	return text.len == 0 || text.at[0] == '#';
}

static bool continues(struct str line)
{
	return line.len > 0 && is_space(line.at[0]);
}

/* What becomes of a physical line of an entry that is to change; the first one carries the name. */
static void put_changed(struct edit *e, const struct change *c, struct str line, bool first)
{
	if (e->kind == EDIT_COMMENT_OUT)
		buf_addf(&e->out, "#%.*s\n", PSTR(line));
	else if (e->kind == EDIT_SET && first)
		buf_addf(&e->out, "%.*s = %.*s\n", PSTR(c->name), PSTR(c->value));
}

static struct change *starts_entry(struct edit *e, struct str line)
{
	struct str value = line, name;

	return str_cut(&value, '=', &name) ? map_get(e->wanted, str_trim(name)) : NULL;
}

static void rewrite(struct edit *e, struct str text, const char *path)
{
	struct change *current = NULL;
	struct str line;

	while (text.len > 0) {
		bool first = false;

		str_cut(&text, '\n', &line);
		if (!counts_for_nothing(line) && !continues(line)) {
			current = starts_entry(e, line);
			first = true;
			if (current != NULL && current->seen++ == 1)
				warn("%s: multiple entries for \"%.*s\"", path, PSTR(current->name));
		}
		if (current == NULL || counts_for_nothing(line))
			buf_addf(&e->out, "%.*s\n", PSTR(line));
		else
			put_changed(e, current, line, first);
	}
}

static void append_missing(struct edit *e, char **order, int count)
{
	for (int i = 0; i < count; i++) {
		struct str rest = str_of(order[i]), name;
		struct change *c;

		str_cut(&rest, '=', &name);
		c = map_get(e->wanted, str_trim(name));
		if (c->seen++ == 0)
			buf_addf(&e->out, "%.*s = %.*s\n", PSTR(c->name), PSTR(c->value));
	}
}

/* ---- the file ---- */

static void write_all(int fd, struct str text, const char *path)
{
	while (text.len > 0) {
		ssize_t n = write(fd, text.at, text.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die(EX_CANTCREAT, "write %s: %s", path, error_text(errno));
		text = str_skip(text, (size_t) n);
	}
}

/* The directory's own lock, because main.cf itself is replaced. */
static int lock_directory(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		die(EX_NOINPUT, "open %s: %s", dir, error_text(errno));
	if (flock(fd, LOCK_EX) < 0)
		die(EX_OSERR, "lock %s: %s", dir, error_text(errno));
	return fd;
}

static void replace(const char *path, const char *temporary, const struct stat *old, struct str text, int directory)
{
	AUTO_FD fd = -1;

	unlink(temporary);	/* left by an editor that was killed: we hold the lock */
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		die(EX_CANTCREAT, "create %s: %s", temporary, error_text(errno));
	if (fchown(fd, old->st_uid, old->st_gid) < 0 && errno != EPERM)
		die(EX_CANTCREAT, "chown %s: %s", temporary, error_text(errno));
	if (fchmod(fd, old->st_mode & 07777) < 0)
		die(EX_CANTCREAT, "chmod %s: %s", temporary, error_text(errno));
	write_all(fd, text, temporary);
	if (fsync(fd) < 0 || rename(temporary, path) < 0 || fsync(directory) < 0)
		die(EX_CANTCREAT, "replace %s: %s", path, error_text(errno));
}

void edit_main_cf(const char *dir, enum edit_kind kind, char **arguments, int count)
{
	struct edit e = { .arena = arena_new("edit", NULL, 256 << 20), .kind = kind, .wanted = map_new(), .out = BUF(64 << 20) };
	const char *path = arena_fmt(e.arena, "%s/main.cf", dir).at;
	AUTO(buf) why = BUF_WORDS;
	AUTO_FD directory = -1;
	struct stat old;
	struct str text;

	want(&e, arguments, count);
	directory = lock_directory(dir);
	if (conf_read_file(e.arena, path, &text, &why) < 0)
		die(EX_NOINPUT, "%s", buf_text(&why));
	if (stat(path, &old) < 0)
		die(EX_NOINPUT, "stat %s: %s", path, error_text(errno));
	rewrite(&e, text, path);
	if (kind == EDIT_SET)
		append_missing(&e, arguments, count);
	replace(path, arena_fmt(e.arena, "%s.tmp", path).at, &old, buf_str(&e.out), directory);
	map_free(e.wanted, NULL);
	buf_free(&e.out);
	arena_free(e.arena);
}
