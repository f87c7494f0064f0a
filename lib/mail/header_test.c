/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"
#include "tests/arena.h"

#include <errno.h>

#include "lib/mail/header.h"

static void test_a_line_is_known_as_the_start_of_a_header(void **state)
{
	(void) state;
	assert_true(is_header_start(STR("Subject: x")));
	assert_true(is_header_start(STR("X-\x7e:")));
	assert_true(is_header_start(STR("Old \t: x")));
	assert_false(is_header_start(STR("")));
	assert_false(is_header_start(STR(": x")));
	assert_false(is_header_start(STR(" Subject: x")));
	assert_false(is_header_start(STR("two words: x")));
	assert_false(is_header_start(STR("Subject")));
	assert_false(is_header_start(STR("Gr\303\274n: x")));
	assert_false(is_header_start(STR("A\0B: x")));
	assert_false(is_header_start(STR("From a@b Sun Nov 22 01:02:03 2026")));
}

static void test_headers_are_split_with_their_folded_lines(void **state)
{
	struct str rest = STR("A: 1\nB : 2\n 3\n\t4\nC:\n\nbody: no header\n");
	struct header h;

	(void) state;
	assert_int_equal(header_next(&rest, &h), 1);
	assert_str(h.whole, "A: 1");
	assert_str(h.name, "A");
	assert_str(h.value, " 1");
	assert_int_equal(header_next(&rest, &h), 1);
	assert_str(h.whole, "B : 2\n 3\n\t4");
	assert_str(h.name, "B");
	assert_str(h.value, " 2\n 3\n\t4");
	assert_str(header_unfold(arena, h.value, 100), "2 3 4");
	assert_str(header_unfold(arena, h.value, 3), "2 3");
	assert_str(header_unfold(arena, h.value, 2), "2");
	assert_int_equal(header_next(&rest, &h), 1);
	assert_str(h.whole, "C:");
	assert_str(h.value, "");
	assert_int_equal(header_next(&rest, &h), 0);
	assert_str(rest, "body: no header\n");
}

static void test_text_without_last_line_end_and_non_headers(void **state)
{
	struct str rest = STR("A: 1\n 2");
	struct header h;

	(void) state;
	assert_int_equal(header_next(&rest, &h), 1);
	assert_str(h.whole, "A: 1\n 2");
	assert_int_equal(header_next(&rest, &h), 0);
	rest = STR("hello\n");
	assert_int_equal(header_next(&rest, &h), -EINVAL);
	assert_str(rest, "hello\n");
	rest = STR(" continuation first\n");
	assert_int_equal(header_next(&rest, &h), -EINVAL);
}

static void check_date(const char *zone, int64_t at, const char *expected)
{
	char text[64];

	setenv("TZ", zone, 1);
	tzset();
	date_print(at, text);
	assert_string_equal(text, expected);
}

static void test_dates_have_the_zone_of_the_machine(void **state)
{
	(void) state;
	check_date("UTC", 1795309323, "Sun, 22 Nov 2026 01:02:03 +0000 (UTC)");
	check_date("CET-1", 1795309323, "Sun, 22 Nov 2026 02:02:03 +0100 (CET)");
	check_date("NST3:30", 1795309323, "Sat, 21 Nov 2026 21:32:03 -0330 (NST)");
	check_date("<+0545>-5:45", 1795309323, "Sun, 22 Nov 2026 06:47:03 +0545 (+0545)");
	check_date("UTC", 0, "Thu, 01 Jan 1970 00:00:00 +0000 (UTC)");
	check_date("UTC", INT64_MAX, "Thu, 01 Jan 1970 00:00:00 +0000 (UTC)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line_is_known_as_the_start_of_a_header),
		cmocka_unit_test(test_headers_are_split_with_their_folded_lines),
		cmocka_unit_test(test_text_without_last_line_end_and_non_headers),
		cmocka_unit_test(test_dates_have_the_zone_of_the_machine),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
