/* SPDX-License-Identifier: ISC */
/* What a helper writes, and what master.cf says of it. Running one is for the system tests. */
#include "tests/unit.h"

#include <errno.h>

#include "services/tokens/helper.h"

static void test_tokens_are_understood_as_lines_and_as_json(void **unused)
{
	static const struct { const char *output, *token; int64_t seconds; } cases[] = {
		{ "ya29.a0Af-_~+/==\n", "ya29.a0Af-_~+/==", 0 },
		{ "  abc  \n3600\n", "abc", 3600 },
		{ "abc\r\n3599\r\n", "abc", 3599 },
		{ "{\"access_token\":\"abc\",\"expires_in\":3599,\"token_type\":\"Bearer\"}\n", "abc", 3599 },
		{ "{\n  \"token_type\" : \"Bearer\",\n  \"expires_in\" : \"60\" ,\n  \"access_token\" : \"a.b.c\"\n}",
		  "a.b.c", 60 },
		{ "{\"access_token\":\"abc\"}", "abc", 0 },
	};

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct token t;

		assert_int_equal(token_parse(str_of(cases[i].output), &t), 0);
		assert_str(t.text, cases[i].token);
		assert_int_equal(t.seconds, cases[i].seconds);
	}
}

static void test_what_is_no_token_is_refused(void **unused)
{
	static const char *const wrong[] = {
		"", "\n", "two words\n", "abc\nsoon\n", "abc\n0\n", "abc\n-5\n", "abc\n99999999999\n",
		"abc\n60\nmore\n", "a\001b", "t\303\266ken", "{}", "{\"access_token\"}",
		"{\"access_token\":}", "{\"access_token\":\"a b\"}", "{\"access_token\":\"a\\n\"}",
		"{\"access_token\":\"abc", "{\"access_token\":\"\"}",
		"{\"error\":\"invalid_grant\"}", "{\"access_token\":\"abc\",\"expires_in\":0}",
	};
	AUTO(buf) long_one = BUF(20000);
	struct token t;

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		if (token_parse(str_of(wrong[i]), &t) != -EBADMSG)
			fail_msg("taken: %s", wrong[i]);
	while (long_one.len <= MOST_TOKEN)
		buf_add_byte(&long_one, 'a');
	assert_int_equal(token_parse(buf_str(&long_one), &t), -EBADMSG);
}

static void test_the_row_of_master_cf_is_read(void **unused)
{
	struct str words[] = { STR("user=oauth:mail"), STR("argv=/bin/token"), STR("-u"),
			       STR("user=${user}") }, bad[] = { STR("flags=F"), STR("argv=/bin/token") },
		   nobody[] = { STR("argv=/bin/token") }, nothing[] = { STR("user=oauth") };
	AUTO(buf) why = BUF_WORDS;
	struct helper h;

	(void) unused;
	assert_int_equal(helper_parse(words, COUNT_OF(words), &h, &why), 0);
	assert_str(h.user, "oauth");
	assert_str(h.group, "mail");
	assert_int_equal(h.argc, 3);
	assert_str(h.argv[0], "/bin/token");
	assert_str(h.argv[2], "user=${user}");
	assert_int_equal(helper_parse(bad, COUNT_OF(bad), &h, &why), -EINVAL);
	assert_int_equal(helper_parse(nobody, COUNT_OF(nobody), &h, &why), -EINVAL);
	assert_int_equal(helper_parse(nothing, COUNT_OF(nothing), &h, &why), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens_are_understood_as_lines_and_as_json),
		cmocka_unit_test(test_what_is_no_token_is_refused),
		cmocka_unit_test(test_the_row_of_master_cf_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
