/* SPDX-License-Identifier: ISC */
/* What keys become in questions, and values in results. */
#include "tests/unit.h"
#include "tests/arena.h"

#include <errno.h>

#include "lib/table/sql.h"

/* The template's text for a key (and a value, or NULL); NULL: suppressed. */
static const char *expanded(const char *text, const char *key, const char *value, quote_value *quote)
{
	const struct address_parts key_parts = address_parts(str_of(key)),
		value_parts = address_parts(str_of(value));
	AUTO(buf) why = BUF_WORDS, out = BUF(10000);
	struct template t;

	if (template_compile(arena, str_of(text), &t, &why) < 0)
		fail_msg("%s: %s", text, buf_text(&why));
	switch (template_expand(&t, &key_parts, value == NULL ? NULL : &value_parts, quote, &out)) {
	case 1:
		return str_c(arena, buf_str(&out));
	case 0:
		return NULL;
	default:
		fail_msg("%s does not fit", text);
		return NULL;
	}
}

static void test_a_question_is_made_of_the_key(void **state)
{
	static const struct { const char *text, *key, *wanted; } cases[] = {
		{ "%s", "joe@a.example", "joe@a.example" }, { "%u", "joe@a.example", "joe" },
		{ "%d", "joe@a.example", "a.example" }, { "%S/%U/%D", "j@d", "j@d/j/d" },
		{ "%1-%2", "joe@a.example", "example-a" }, { "%3", "joe@a.example", NULL },
		{ "%1", "example.com", NULL }, { "%u", "joe", "joe" }, { "%d", "joe", NULL },
		{ "%u", "@a.example", NULL }, { "%s", "@a.example", "@a.example" }, { "%d", "joe@", NULL },
		{ "100%%", "x", "100%" }, { "%%s", "x", "%s" },
		{ "", "x", "" }, { "%u@%d", "a@b@c", "a@b@c" }, { "%2", "u@a..b", NULL },
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *got = expanded(cases[i].text, cases[i].key, NULL, NULL);

		if ((got == NULL) != (cases[i].wanted == NULL)
		    || (got != NULL && strcmp(got, cases[i].wanted) != 0))
			fail_msg("%s of %s: %s", cases[i].text, cases[i].key, got == NULL ? "(none)" : got);
	}
}

static void test_a_result_is_made_of_the_value_and_capitals_of_the_key(void **state)
{
	(void) state;
	assert_string_equal(expanded("%s|%u|%d|%S|%U|%D|%1", "joe@key.example", "v@value.example", NULL),
			    "v@value.example|v|value.example|joe@key.example|joe|key.example|example");
	assert_null(expanded("%d", "joe@key.example", "no domain", NULL));
	assert_null(expanded("%s%D", "plain", "v", NULL));
	assert_null(expanded("%s", "k", "", NULL));
}

static void test_a_percent_sign_that_means_nothing_is_refused(void **state)
{
	static const char *const bad[] = { "%", "%x", "a%0", "%%%", "% s" };

	(void) state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		AUTO(buf) why = BUF_WORDS;
		struct template t;

		assert_int_equal(template_compile(arena, str_of(bad[i]), &t, &why), -EINVAL);
		assert_true(why.len > 0);
	}
}

static void test_ldap_values_are_quoted_byte_by_byte(void **state)
{
	(void) state;
	assert_string_equal(expanded("(mail=%s)", "a*b)(|(x=\\", NULL, quote_for_ldap),
			    "(mail=a\\2Ab\\29\\28\\7C\\28x\\3D\\5C)");
	assert_string_equal(expanded("cn=%s", "a,b+c \xc3\xbc", NULL, quote_for_ldap),
			    "cn=a\\2Cb\\2Bc\\20\\C3\\BC");
	assert_string_equal(expanded("%s", "joe.x_y-z@a.b", NULL, quote_for_ldap), "joe.x_y-z@a.b");
}

/* "statement | value | value" for the key joe@a.example; or the words of the refusal behind "!". */
static const char *compiled(const char *query, enum sql_dialect dialect)
{
	const struct address_parts key = address_parts(STR("joe@a.example"));
	AUTO(buf) why = BUF_WORDS, out = BUF(10000);
	struct sql sql;

	if (sql_compile(arena, str_of(query), dialect, &sql, &why) < 0)
		return str_c(arena, arena_fmt(arena, "!%s", buf_text(&why)));
	buf_add(&out, sql.statement);
	for (size_t i = 0; i < sql.values.len; i++) {
		buf_add_text(&out, " | ");
		if (template_expand(&sql.values.at[i], &key, NULL, NULL, &out) != 1)
			buf_add_text(&out, "(none)");
	}
	return str_c(arena, buf_str(&out));
}

static void test_strings_with_expansions_become_bound_values(void **state)
{
	(void) state;
	assert_string_equal(compiled("SELECT a FROM t WHERE k = '%s' AND d='%d'", SQL_PGSQL),
			    "SELECT a FROM t WHERE k = $1 AND d=$2 | joe@a.example | a.example");
	assert_string_equal(compiled("SELECT a FROM t WHERE k = '%s'", SQL_MYSQL),
			    "SELECT a FROM t WHERE k = ? | joe@a.example");
	assert_string_equal(compiled("k = '%u''s \\@%d'", SQL_PGSQL), "k = $1 | joe's \\@a.example");
	assert_string_equal(compiled("k = '%u\\'s \\\\%d'", SQL_MYSQL), "k = ? | joe's \\a.example");
	assert_string_equal(compiled("k = '%u\\_%%\\%d'", SQL_MYSQL), "k = ? | joe\\_%\\a.example");
	assert_string_equal(compiled("k LIKE '%%%u%%'", SQL_SQLITE), "k LIKE ? | %joe%");
	assert_string_equal(compiled("k = %s AND n % % 2", SQL_PGSQL), "!\"% \" means nothing in \"% \"");
	assert_string_equal(compiled("k = %s AND n %% 2 = 1", SQL_PGSQL),
			    "k = $1 AND n % 2 = 1 | joe@a.example");
	assert_string_equal(compiled("k = E'%u\\n' or ne'x%%'", SQL_PGSQL), "k = $1 or ne'x%' | joe\n");
	assert_string_equal(compiled("k = \"%s\" or `n%%` = \"it\"\"s\"", SQL_MYSQL),
			    "k = ? or `n%` = \"it\"\"s\" | joe@a.example");
	assert_string_equal(compiled("k = \"%s\"", SQL_SQLITE), "k = ? | joe@a.example");
}

static void test_what_has_no_expansion_stays_as_it_is(void **state)
{
	(void) state;
	assert_string_equal(compiled("SELECT 'it''s ?', \"a b\", $x$ ' $x$, 100%%, 'a%%' FROM t", SQL_PGSQL),
			    "SELECT 'it''s ?', \"a b\", $x$ ' $x$, 100%, 'a%' FROM t");
	assert_string_equal(compiled("SELECT '\\'', '\\\\' , '%s'", SQL_MYSQL),
			    "SELECT '\\'', '\\\\' , ? | joe@a.example");
	assert_string_equal(compiled("SELECT '\\', '%s'", SQL_PGSQL), "SELECT '\\', $1 | joe@a.example");
}

static void test_comments_hide_no_quotes(void **state)
{
	(void) state;
	assert_string_equal(compiled("SELECT 1 -- it's %s\n, '%s'", SQL_PGSQL),
			    "SELECT 1  , $1 | joe@a.example");
	assert_string_equal(compiled("SELECT /* ' %s */ '%s' # ' %s", SQL_MYSQL), "SELECT   ?   | joe@a.example");
	assert_string_equal(compiled("SELECT a-1, b/2, '%s'", SQL_PGSQL),
			    "SELECT a-1, b/2, $1 | joe@a.example");
}

static void test_expansions_where_no_value_can_stand_are_refused(void **state)
{
	static const struct { const char *query; enum sql_dialect dialect; } bad[] = {
		{ "SELECT \"%s\"", SQL_PGSQL }, { "SELECT `%s`", SQL_MYSQL }, { "SELECT $$%s$$", SQL_PGSQL },
		{ "SELECT $a$ %u $a$", SQL_PGSQL },
		{ "SELECT U&'%s'", SQL_PGSQL }, { "SELECT B'%s'", SQL_PGSQL },
		{ "SELECT E'\\101%s'", SQL_PGSQL }, { "SELECT 'a", SQL_PGSQL },
		{ "SELECT '%s\\'", SQL_MYSQL }, { "SELECT \"a", SQL_SQLITE }, { "SELECT $$ a", SQL_PGSQL },
		{ "SELECT '%x'", SQL_SQLITE }, { "SELECT 1 %", SQL_MYSQL },
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (compiled(bad[i].query, bad[i].dialect)[0] != '!')
			fail_msg("%s: %s", bad[i].query, compiled(bad[i].query, bad[i].dialect));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_question_is_made_of_the_key),
		TEST(test_a_result_is_made_of_the_value_and_capitals_of_the_key),
		TEST(test_a_percent_sign_that_means_nothing_is_refused),
		TEST(test_ldap_values_are_quoted_byte_by_byte),
		TEST(test_strings_with_expansions_become_bound_values),
		TEST(test_what_has_no_expansion_stays_as_it_is),
		TEST(test_comments_hide_no_quotes),
		TEST(test_expansions_where_no_value_can_stand_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
