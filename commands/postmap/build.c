/* SPDX-License-Identifier: ISC */
/* postmap's making and changing of tables. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/postmap/postmap.h"
#include "lib/base/die.h"
#include "lib/table/database.h"
#include "lib/table/source.h"
#include "lib/table/table.h"

enum { SOURCE_LIMIT = 1 << 30 };

/* A table being made, and what it is made from. */
struct making {
	const struct job *job;
	const struct target *target;
	struct edit *edit;
	struct table *proxied;		/* instead of edit: proxywrite makes the changes */
	struct source lines;
	struct arena *arena;
};

static bool is_in_owners_name;

void become_owner_of(const struct job *job, const char *path, const char *otherwise)
{
	struct stat st;

	if (geteuid() != 0 || job->stay_root || path == NULL)
		return;
	if (stat(path, &st) < 0 && (otherwise == NULL || stat(otherwise, &st) < 0))
		return;
	if (st.st_uid == 0)
		return;
	if (setgroups(1, &st.st_gid) < 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) < 0
	    || setresuid(st.st_uid, st.st_uid, st.st_uid) < 0)
		die(EX_OSERR, "become the owner of %s: %s", path, error_text(errno));
	is_in_owners_name = true;
}

static void warn_of_line(const struct making *m, const char *words)
{
	log_warning("%s, line %d: %s", m->lines.name, m->lines.line, words);
}

static void put(struct making *m, struct str key, struct str value)
{
	AUTO(buf) why = BUF_WORDS, encoded = BUF(SOURCE_LIMIT);
	int r = 0;

	if (m->job->files) {
		if (files_value(value, &encoded, &why) < 0) {
			buf_add_text(&why, ": skipping this entry");
			warn_of_line(m, buf_text(&why));
			return;
		}
		value = buf_str(&encoded);
	}
	if (m->proxied != NULL) {
		if (table_put(m->proxied, key, value) < 0)
			die(EX_IOERR, "%s", table_why(m->proxied));
		return;
	}
	r = edit_put(m->edit, fold_key(m->job, m->arena, key), value, m->job->replace, &why);
	if (r < 0) {
		edit_abandon(m->edit);
		die(EX_IOERR, "%s", buf_text(&why));
	}
	if (r == 0 && !m->job->ignore_duplicates)
		log_warning("%s, line %d: duplicate entry: \"%.*s\"", m->lines.name, m->lines.line, PSTR(key));
	arena_reset(m->arena);
}

static void put_alias(struct making *m, struct str line)
{
	AUTO(buf) key = BUF(line.len * 4), value = BUF(line.len * 4), why = BUF_WORDS;

	if (source_split_alias(line, &key, &value, &why) < 0)
		warn_of_line(m, buf_text(&why));
	else
		put(m, buf_str(&key), buf_str(&value));
}

static void put_entry(struct making *m, struct str line)
{
	AUTO(buf) why = BUF_WORDS;
	struct str key, value;

	if (source_split_entry(line, &key, &value, &why) < 0) {
		warn_of_line(m, buf_text(&why));
		return;
	}
	if (key.at[key.len - 1] == ':')
		warn_of_line(m, "record is in \"key: value\" format; is this an alias file?");
	put(m, key, value);
}

const struct database_driver *driver_of(const struct target *target)
{
	AUTO(buf) why = BUF_WORDS;
	const struct database_driver *driver;
	int r = database_find(str_of(target->type), &driver, &why);

	if (r < 0)
		die(r == -EINVAL ? EX_USAGE : EX_UNAVAILABLE, "%s: %s", target->spec, buf_text(&why));
	return driver;
}

static void open_edit(struct making *m, unsigned flags)
{
	AUTO(buf) why = BUF_WORDS;
	int r;

	if (strcmp(m->target->type, "proxy") == 0) {
		if (table_open(str_of(m->target->spec), TABLE_CHANGES | (m->job->fold ? TABLE_FOLD_KEY : 0),
			       &m->proxied, &why) < 0)
			die(EX_CONFIG, "%s", buf_text(&why));
		return;
	}
	if (m->job->with_nul)
		flags |= EDIT_KEEP_NUL;
	r = edit_open(driver_of(m->target), m->target->database, flags, m->job->cache_bytes, &m->edit, &why);
	if (r < 0)
		die(EX_CANTCREAT, "%s%s", buf_text(&why),
		    r == -EACCES && is_in_owners_name ? " for the owner of the source (mend: -o, or make root its owner)" : "");
}

/*
 * Might whoever owns the table there is read the source anyhow? Else he may have let its name lead
 * to what is none of his business.
 */
static bool may_read(const struct stat *owned, const struct stat *source)
{
	return owned->st_uid == geteuid() || owned->st_uid == source->st_uid
	       || (source->st_mode & S_IROTH) != 0;
}

/*
 * A table there already keeps its mode, owner and group; a new one has its source's mode, as far as
 * that is for reading, and its owner may write. source NULL: what was there has only been changed.
 */
static void commit(struct making *m, const struct stat *source)
{
	AUTO(buf) why = BUF_WORDS;
	const struct stat *existing = m->edit == NULL ? NULL : edit_existing(m->edit);
	mode_t mode = m->job->default_mode || source == NULL ? 0644 : (source->st_mode & 0644) | S_IWUSR;
	uid_t uid = (uid_t) -1;
	gid_t gid = (gid_t) -1;

	if (m->edit == NULL)
		return;
	if (existing != NULL && (source == NULL || may_read(existing, source))) {
		mode = existing->st_mode & 0777;
		gid = existing->st_gid;
		if (geteuid() == 0)
			uid = existing->st_uid;
	}
	if (edit_commit(m->edit, mode, uid, gid, &why) < 0)
		die(EX_IOERR, "%s", buf_text(&why));
}

static int open_source(const struct making *m, struct stat *ret_st)
{
	int fd = m->job->incremental ? STDIN_FILENO : open(m->target->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || fstat(fd, ret_st) < 0)
		die(EX_NOINPUT, "open %s: %s", m->target->path, error_text(errno));
	if (!m->job->incremental && !S_ISREG(ret_st->st_mode))
		die(EX_NOINPUT, "open %s: not a regular file", m->target->path);
	return fd;
}

static void read_source(int fd, struct buf *text)
{
	ssize_t n;

	for (;;) {
		char *at = buf_room(text, 65536);

		if (at == NULL)
			die(EX_DATAERR, "the source is too large");
		n = read(fd, at, 65536);
		if (n < 0)
			die(EX_IOERR, "read: %s", error_text(errno));
		if (n == 0)
			return;
		text->len += (size_t) n;
	}
}

void build_table(const struct job *job, const struct target *target)
{
	struct making m = { .job = job, .target = target, .arena = arena_new("entry", NULL, 64 << 20) };
	AUTO(buf) text = BUF(SOURCE_LIMIT);
	struct stat st;
	struct str line;
	int fd;

	if (!job->incremental && strcmp(target->type, "proxy") == 0)
		die(EX_USAGE, "%s: a table is changed (-i, -d) through proxywrite, not made", target->spec);
	become_owner_of(job, target->path, target->database);
	fd = open_source(&m, &st);
	read_source(fd, &text);
	open_edit(&m, job->incremental ? EDIT_FROM_EXISTING : 0);
	source_start(&m.lines, job->incremental ? "standard input" : target->path, buf_str(&text));
	while (source_next(&m.lines, &line)) {
		if (job->utf8 && !str_is_utf8(line))
			log_warning("%s, line %d: non-UTF-8 input \"%.*s\" -- ignoring this line",
				    m.lines.name, m.lines.line, PSTR(str_head(line, 60)));
		else if (job->aliases)
			put_alias(&m, line);
		else
			put_entry(&m, line);
	}
	source_end(&m.lines);
	commit(&m, job->incremental ? NULL : &st);
	if (fd != STDIN_FILENO)
		close(fd);
	table_free(m.proxied);
	arena_free(m.arena);
}

bool remove_keys(const struct job *job, const struct target *target)
{
	struct making m = { .job = job, .target = target, .arena = arena_new("key", NULL, 64 << 20) };
	AUTO(buf) why = BUF_WORDS;
	struct str key = str_of(job->remove);
	const bool from_input = str_is(key, STR("-"));
	bool found = false;
	int r;

	if (target->database != NULL && access(target->database, F_OK) < 0)
		die(EX_NOINPUT, "open database %s: %s", target->database, error_text(errno));
	become_owner_of(job, target->path, target->database);
	open_edit(&m, EDIT_FROM_EXISTING);
	while (!from_input || next_key(m.arena, &key)) {
		r = m.proxied != NULL ? table_delete(m.proxied, key) : edit_delete(m.edit,
				fold_key(job, m.arena, key), &why);
		if (r < 0) {
			edit_abandon(m.edit);
			die(EX_IOERR, "%s", m.proxied != NULL ? table_why(m.proxied) : buf_text(&why));
		}
		found = found || r > 0;
		if (!from_input)
			break;
		arena_reset(m.arena);
	}
	if (found)
		commit(&m, NULL);
	else
		edit_abandon(m.edit);
	table_free(m.proxied);
	arena_free(m.arena);
	return found;
}
