/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <errno.h>

#include "lib/smtp/command.h"

static void verb_and_arguments_are_split_at_blanks(void **state)
{
	struct command c;

	(void) state;
	assert_int_equal(command_parse(STR(" \tmail  FROM:<a@b>\tSIZE=1  "), true, &c), 0);
	assert_str(c.verb, "mail");
	assert_str(c.args, "FROM:<a@b>\tSIZE=1");
	assert_int_equal(command_parse(STR("QUIT"), true, &c), 0);
	assert_str(c.verb, "QUIT");
	assert_int_equal(c.args.len, 0);
}

static void a_line_without_a_word_is_refused(void **state)
{
	struct command c;

	(void) state;
	assert_int_equal(command_parse(STR(""), true, &c), -EINVAL);
	assert_int_equal(command_parse(STR(" \t "), true, &c), -EINVAL);
}

static void nul_bytes_and_broken_utf8_are_refused(void **state)
{
	struct command c;

	(void) state;
	assert_int_equal(command_parse(STR("NOOP a\0b"), true, &c), -EINVAL);
	assert_int_equal(command_parse(STR("NOOP \xff"), true, &c), -EILSEQ);
	assert_int_equal(command_parse(STR("NOOP \xff"), false, &c), 0);
	assert_int_equal(command_parse(STR("NOOP \xc3\xa4"), true, &c), 0);
}

static void keywords_end_with_their_colon(void **state)
{
	struct str args = STR("from: \t<a@b> BODY=7BIT");

	(void) state;
	assert_true(command_keyword(&args, STR("FROM:")));
	assert_str(args, "<a@b> BODY=7BIT");
	args = STR("FROM :<a@b>");
	assert_false(command_keyword(&args, STR("FROM:")));
	assert_str(args, "FROM :<a@b>");
	args = STR("FRO");
	assert_false(command_keyword(&args, STR("FROM:")));
}

static void bdat_takes_a_size_and_last(void **state)
{
	uint64_t size = 7;
	bool last = true;

	(void) state;
	assert_int_equal(command_bdat(STR("1000"), &size, &last), 0);
	assert_int_equal(size, 1000);
	assert_false(last);
	assert_int_equal(command_bdat(STR("0 last"), &size, &last), 0);
	assert_int_equal(size, 0);
	assert_true(last);
	assert_int_equal(command_bdat(STR("9223372036854775807"), &size, &last), 0);
	assert_int_equal(command_bdat(STR("9223372036854775808"), &size, &last), -ERANGE);
	assert_int_equal(command_bdat(STR("99999999999999999999999999"), &size, &last), -ERANGE);
	assert_int_equal(command_bdat(STR(""), &size, &last), -EINVAL);
	assert_int_equal(command_bdat(STR("-1"), &size, &last), -EINVAL);
	assert_int_equal(command_bdat(STR("+1"), &size, &last), -EINVAL);
	assert_int_equal(command_bdat(STR("0x10"), &size, &last), -EINVAL);
	assert_int_equal(command_bdat(STR("LAST"), &size, &last), -EINVAL);
	assert_int_equal(command_bdat(STR("1 FIRST"), &size, &last), -EINVAL);
	assert_int_equal(command_bdat(STR("1 LAST 2"), &size, &last), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verb_and_arguments_are_split_at_blanks),
		cmocka_unit_test(a_line_without_a_word_is_refused),
		cmocka_unit_test(nul_bytes_and_broken_utf8_are_refused),
		cmocka_unit_test(keywords_end_with_their_colon),
		cmocka_unit_test(bdat_takes_a_size_and_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
