/* SPDX-License-Identifier: ISC */
/* postmap -q and -s. */
#include <errno.h>
#include <fcntl.h>

#include "commands/postmap/postmap.h"
#include "lib/base/die.h"
#include "lib/table/memory.h"
#include "lib/table/source.h"
#include "lib/table/table.h"

enum { MOST_TEXT = 512 << 20 };

static struct table *open_table(const struct job *job, const struct target *target)
{
	AUTO(buf) why = BUF_WORDS;
	const bool by_proxymap = strcmp(target->type, "proxy") == 0;
	unsigned flags = (job->fold ? TABLE_FOLD_KEY : 0) | (job->files ? TABLE_FILE_VALUES : 0)
			 | TABLE_MUST_EXIST | (by_proxymap ? 0 : TABLE_NO_PROXY);
	struct table *t;

	if (table_open(str_of(target->spec), flags, &t, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	return t;
}

struct asking {
	const struct job *job;
	struct table **tables;
	size_t count;
	struct arena *arena;		/* of one lookup or entry */
	const char *spec;		/* of the table that is listed */
	bool found;
};

/* What -F made of a value is undone. */
static void print_value(const struct asking *q, const char *spec, struct str key, struct str value)
{
	AUTO(buf) content = BUF((size_t) 64 << 20), why = BUF_WORDS;

	if (q->job->files) {
		if (decode_files_value(value, &content, &why) < 0)
			die(EX_DATAERR, "table %s: key \"%.*s\": %s", spec, PSTR(str_head(key, 100)),
			    buf_text(&why));
		value = buf_str(&content);
	}
	fwrite(value.at, 1, value.len, stdout);
	putchar('\n');
}

/* The first table that knows the key. */
static void ask(struct asking *q, struct str key, bool say_key)
{
	struct str value;
	const bool utf8 = q->job->utf8 && !q->job->headers && !q->job->body;
	int r = 0;

	if (utf8 && !str_is_utf8(key)) {
		log_warning("non-UTF-8 key \"%.*s\"", PSTR(str_head(key, 100)));
		return;
	}
	for (size_t i = 0; i < q->count && r == 0; i++) {
		r = table_get(q->tables[i], q->arena, key, &value);
		if (r < 0)
			die(EX_UNAVAILABLE, "%s", table_why(q->tables[i]));
		if (r == 0)
			continue;
		if (value.len == 0)
			log_warning("table %s: key \"%.*s\": an empty result counts as an error where mail is handled: a table has nothing for what it does not know",
				    table_spec(q->tables[i]), PSTR(str_head(key, 100)));
		if (utf8 && !str_is_utf8(value))
			die(EX_DATAERR, "table %s: key \"%.*s\": non-UTF-8 value \"%.*s\"",
			    table_spec(q->tables[i]), PSTR(str_head(key, 100)), PSTR(str_head(value, 100)));
		q->found = true;
		if (say_key)
			printf("%.*s%s\t", PSTR(key), q->job->aliases ? ":" : "");
		print_value(q, table_spec(q->tables[i]), key, value);
	}
	arena_reset(q->arena);
}

static void ask_line_of_message(void *arg, struct str key)
{
	ask(arg, key, true);
}

bool query_tables(const struct job *job, const struct target *targets, size_t count)
{
	struct asking q = { .job = job, .count = count, .arena = arena_new("query", NULL, 64 << 20) };
	struct arena *keys = arena_new("keys", NULL, 64 << 20);
	struct str key = str_of(job->query);

	q.tables = get_memory(count * sizeof(struct table *));
	for (size_t i = 0; i < count; i++)
		q.tables[i] = open_table(job, &targets[i]);
	if (job->headers || job->body) {
		each_line_of_message(job, ask_line_of_message, &q);
	} else if (!str_is(key, STR("-"))) {
		ask(&q, key, false);
	} else {
		while (next_key(keys, &key)) {
			ask(&q, key, true);
			arena_reset(keys);
		}
	}
	for (size_t i = 0; i < count; i++)
		table_free(q.tables[i]);
	free(q.tables);
	arena_free(keys);
	arena_free(q.arena);
	return q.found;
}

static int print_entry(void *arg, struct str key, struct str value)
{
	const struct asking *q = arg;

	if (printf("%.*s%s\t", PSTR(key), q->job->aliases ? ":" : "") < 0)
		return -EIO;
	print_value(q, q->spec, key, value);
	return ferror(stdout) ? -EIO : 0;
}

/*
 * texthash: what a database made of the text would hold. What is wrong with its lines has been said
 * when it was opened.
 */
static void list_text(struct asking *q, const char *path)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	AUTO(buf) text = BUF(MOST_TEXT), ignored = BUF_WORDS;
	struct memory *listed = memory_new(MOST_TEXT);
	struct source lines;
	struct str line, key, value;
	int r = fd < 0 ? -errno : source_read_file(fd, MOST_TEXT / 2, &text);

	if (r < 0)
		die(EX_NOINPUT, "read %s: %s", path, error_text(r));
	source_start(&lines, path, buf_str(&text));
	while (source_next(&lines, &line)) {
		AUTO(buf) encoded = BUF(MOST_FILES_VALUE);

		if (source_split_entry(line, &key, &value, &ignored) < 0
		    || (q->job->files && files_value(value, &encoded, &ignored) < 0))
			continue;
		key = fold_key(q->job, q->arena, key);
		if (memory_put(listed, key, value, false, false)
		    && print_entry(q, key, q->job->files ? buf_str(&encoded) : value) < 0)
			break;		/* said at the end */
		arena_reset(q->arena);
	}
	source_end(&lines);
	memory_free(listed);
}

void list_table(const struct job *job, const struct target *target)
{
	AUTO(buf) why = BUF_WORDS;
	struct asking q = { .job = job, .spec = target->spec, .arena = arena_new("entry", NULL, MOST_TEXT) };

	if (strcmp(target->type, "texthash") == 0) {
		table_free(open_table(job, target));
		list_text(&q, target->path);
		arena_free(q.arena);
		return;
	}
	if (target->database == NULL)
		die(EX_USAGE, "table %s: tables of this type cannot be listed", target->spec);
	if (edit_each(driver_of(target), target->database, print_entry, &q, &why) < 0)
		die(EX_UNAVAILABLE, "%s", why.len == 0 ? "write to standard output failed" : buf_text(&why));
	arena_free(q.arena);
}
