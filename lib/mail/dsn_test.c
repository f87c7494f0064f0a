/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"
#include "tests/arena.h"

#include <errno.h>

#include "lib/mail/dsn.h"

static void test_status_codes_are_split_off_and_nothing_is_read_behind_the_end(void **state)
{
	struct str code = STR("none"), text = STR("none");

	(void) state;
	assert_int_equal(dsn_split(STR("5.1.1 User unknown"), &code, &text), 0);
	assert_str(code, "5.1.1");
	assert_str(text, "User unknown");
	assert_int_equal(dsn_split(str_head(STR("5.7.2x"), 5), &code, &text), 0);
	assert_str(code, "5.7.2");
	assert_str(text, "");
	assert_int_equal(dsn_split(STR("2.123.456\tok"), &code, &text), 0);
	assert_str(code, "2.123.456");
	assert_int_equal(dsn_split(STR("5.1.1: no"), &code, &text), -EINVAL);
	assert_str(code, "2.123.456");
	assert_int_equal(dsn_split(STR("3.1.1 no"), &code, &text), -EINVAL);
	assert_int_equal(dsn_split(STR("5.1 no"), &code, &text), -EINVAL);
	assert_int_equal(dsn_split(STR("5.1234.1 no"), &code, &text), -EINVAL);
	assert_int_equal(dsn_split(STR(""), &code, &text), -EINVAL);
	assert_int_equal(dsn_split(STR("5.1."), &code, &text), -EINVAL);
	assert_true(dsn_is_valid(STR("4.0.0")));
	assert_false(dsn_is_valid(STR("4.0.0 ")));
	assert_false(dsn_is_valid(STR("")));
}

static void check_reply(int reply, const char *in, const char *code, const char *text)
{
	struct str c, t;

	dsn_of_reply(reply, str_of(in), STR("5.0.0"), arena, &c, &t);
	assert_str(c, code);
	assert_str(t, text);
}

static void test_the_class_of_a_code_follows_the_reply(void **state)
{
	(void) state;
	check_reply(550, "5.1.1 no such user", "5.1.1", "no such user");
	check_reply(450, "5.1.1 no such user", "4.1.1", "no such user");
	check_reply(250, "Ok", "2.0.0", "Ok");
	check_reply(421, "bye", "4.0.0", "bye");
	check_reply(354, "5.1.1 odd", "5.1.1", "odd");
}

static void check_xtext(const char *encoded, int result, const char *decoded)
{
	struct str text = STR_NONE;

	assert_int_equal(xtext_decode(str_of(encoded), arena, &text), result);
	assert_str(text, decoded);
}

static void test_xtext_is_decoded_strictly(void **state)
{
	(void) state;
	check_xtext("abc", 0, "abc");
	check_xtext("a+2Bb+3dc", 0, "a+b=c");
	check_xtext("a+20b", 0, "a b");
	check_xtext("", 0, "");
	check_xtext("a+", -EINVAL, "");
	check_xtext("a+2", -EINVAL, "");
	check_xtext("a+2x", -EINVAL, "");
	check_xtext("a=b", 0, "a=b");
	check_xtext("a+0Ab", -EINVAL, "");
	check_xtext("a+00b", -EINVAL, "");
	check_xtext("a+7F", -EINVAL, "");
	check_xtext("a\tb", -EINVAL, "");
	check_xtext("+FF", -EINVAL, "");
	check_xtext("+C3+BC", 0, "\303\274");
}

static void test_xtext_survives_a_round_trip(void **state)
{
	AUTO(buf) b = BUF(100);
	struct str text;

	(void) state;
	assert_int_equal(xtext_encode(&b, STR("a +=\303\274~")), 0);
	assert_str(buf_str(&b), "a+20+2B+3D+C3+BC~");
	assert_int_equal(xtext_decode(buf_str(&b), arena, &text), 0);
	assert_str(text, "a +=\303\274~");
}

static void test_utf8_addresses_are_told_in_ascii_and_encoded_once(void **state)
{
	AUTO(buf) b = BUF(100);
	AUTO(buf) again = BUF(100);

	(void) state;
	assert_int_equal(utf8_xtext_encode(&b, STR("gr\303\274n\360\237\223\247 a+b=c~\342\202\254")), 0);
	assert_str(buf_str(&b), "gr\\x{FC}n\\x{1F4E7}\\x{20}a\\x{2B}b\\x{3D}c~\\x{20AC}");
	assert_int_equal(utf8_xtext_encode(&again, buf_str(&b)), 0);
	assert_str(buf_str(&again), buf_text(&b));
	buf_clear(&b);
	assert_int_equal(utf8_xtext_encode(&b, STR("\377\360\237")), 0);
	assert_true(str_is_ascii(buf_str(&b)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_codes_are_split_off_and_nothing_is_read_behind_the_end),
		cmocka_unit_test(test_the_class_of_a_code_follows_the_reply),
		cmocka_unit_test(test_xtext_is_decoded_strictly),
		cmocka_unit_test(test_xtext_survives_a_round_trip),
		cmocka_unit_test(test_utf8_addresses_are_told_in_ascii_and_encoded_once),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
