/* SPDX-License-Identifier: ISC */
/* postmap -q and -s. */
#include <errno.h>

#include "commands/postmap/postmap.h"
#include "lib/base/die.h"
#include "lib/table/bdb_write.h"
#include "lib/table/table.h"

static struct table *open_table(const struct job *job, const struct target *target)
{
	AUTO(buf) why = BUF_WORDS;
	const bool by_proxymap = strcmp(target->type, "proxy") == 0;
	unsigned flags = (job->fold ? TABLE_FOLD_KEY : 0) | TABLE_MUST_EXIST | (by_proxymap ? 0 : TABLE_NO_PROXY);
	struct table *t;

	if (table_open(str_of(target->spec), flags, &t, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	return t;
}

/* The first table that knows the key. */
static bool ask(struct table **tables, size_t count, struct arena *a, struct str key, struct str *ret_value)
{
	for (size_t i = 0; i < count; i++) {
		int r = table_get(tables[i], a, key, ret_value);

		if (r < 0)
			die(EX_UNAVAILABLE, "%s", table_why(tables[i]));
		if (r > 0)
			return true;
	}
	return false;
}

bool query_tables(const struct job *job, const struct target *targets, size_t count)
{
	struct arena *a = arena_new("query", NULL, 64 << 20);
	struct table **tables = get_memory(count * sizeof(struct table *));
	struct str key = str_of(job->query), value;
	bool found = false;

	for (size_t i = 0; i < count; i++)
		tables[i] = open_table(job, &targets[i]);
	if (!str_is(key, STR("-"))) {
		found = ask(tables, count, a, key, &value);
		if (found)
			printf("%.*s\n", PSTR(value));
	} else {
		while (next_key(a, &key)) {
			if (ask(tables, count, a, key, &value)) {
				printf("%.*s%s\t%.*s\n", PSTR(key), job->aliases ? ":" : "", PSTR(value));
				found = true;
			}
			arena_reset(a);
		}
	}
	for (size_t i = 0; i < count; i++)
		table_free(tables[i]);
	free(tables);
	arena_free(a);
	return found;
}

static int print_entry(void *arg, struct str key, struct str value)
{
	const struct job *job = arg;

	return printf("%.*s%s\t%.*s\n", PSTR(key), job->aliases ? ":" : "", PSTR(value)) < 0 ? -EIO : 0;
}

void list_table(const struct job *job, const struct target *target)
{
	AUTO(buf) why = BUF_WORDS;

	if (target->database == NULL)
		die(EX_USAGE, "table %s: tables of this type cannot be listed", target->spec);
	if (bdb_each(target->type, target->database, print_entry, (void *) job, &why) < 0)
		die(EX_UNAVAILABLE, "%s", why.len == 0 ? "write to standard output failed" : buf_text(&why));
}
