/* SPDX-License-Identifier: ISC */
/*
 * Any text as the file of a pgsql, mysql, sqlite, ldap or redis table. The first byte chooses the
 * type. Whatever stands there, nothing of a key becomes part of a statement, and what ldap gets of
 * it is quoted.
 */
#include "lib/base/die.h"
#include "lib/table/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const common[] = { "domain", "result_format", "expansion_limit", "timeout",
				      "connections", NULL };

/* A key that is nothing but special. */
static const struct str hostile = { "\001'\"\\)(*\002@\003.\004", 12 };

static void ask(const struct server_kind *kind, const struct settings *s, bool is_unlike_key)
{
	const struct address_parts key = address_parts(hostile);
	AUTO(buf) why = BUF_WORDS;
	struct question_form form = { 0 };

	if (kind->form(s, &form, &why) < 0) {
		BUG_UNLESS(why.len > 0);
		return;
	}
	BUG_UNLESS(form.count <= 50);
	for (size_t i = 0; i < form.count; i++) {
		AUTO(buf) text = BUF(1 << 16);

		if (template_expand(&form.arguments[i], &key, NULL, form.quote, &text) > 0
		    && form.quote == quote_for_ldap && is_unlike_key)
			BUG_UNLESS(str_find(buf_str(&text), 2) < 0);
	}
}

static void take_apart(const struct settings *s)
{
	AUTO(buf) why = BUF_WORDS, joined = BUF(1 << 16);
	const struct address_parts key = address_parts(hostile);
	struct results results = { 0 };
	size_t count = 0;
	int64_t n;

	settings_seconds(s, "timeout", 10, 1, 75, &n, &why);
	settings_number(s, "connections", 10, 1, 200, &n, &why);
	if (settings_get(s, "domain", NULL) == NULL && results_open(&results, s, "result_format", &why) == 0)
		results_add(&results, &key, STR("value@of.example"), &count, &joined, &why);
	results_free(&results);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct server_kind *const kinds[] = { &pgsql_kind, &mysql_kind, &sqlite_kind,
							   &ldap_kind, &redis_kind };
	struct settings *s;
	struct source lines;

	if (size == 0)
		return 0;
	source_start(&lines, "fuzz", str_make((const char *) data + 1, size - 1));
	s = settings_read(&lines, common);
	source_end(&lines);
	ask(kinds[data[0] % COUNT_OF(kinds)], s, memchr(data + 1, 2, size - 1) == NULL);
	take_apart(s);
	settings_free(s);
	return 0;
}
