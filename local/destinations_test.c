/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"
#include "tests/arena.h"

#include <errno.h>

#include "lib/base/buf.h"
#include "local/destinations.h"

/* Each destination as its kind's letter and its text, joined by " ; ". */
static void check(const char *text, const char *expected)
{
	AUTO(buf) b = BUF(10000);
	struct destinations list;
	struct str bad;
	int r = destinations_parse(str_of(text), 100, arena, &list, &bad);

	if (r < 0)
		buf_addf(&b, "BAD %.*s", PSTR(bad));
	for (size_t i = 0; r >= 0 && i < list.count; i++)
		buf_addf(&b, "%s%c:%.*s", i == 0 ? "" : " ; ", "auCFHI"[list.at[i].kind],
			 PSTR(list.at[i].what));
	if (!str_is(buf_str(&b), str_of(expected)))
		fail_msg("%s: got \"%s\", expected \"%s\"", text, b.at, expected);
}

static void test_all_kinds_of_destinations_are_read(void **state)
{
	(void) state;
	check("joe", "a:joe");
	check("joe, ann@x.example,bob", "a:joe ; a:ann@x.example ; a:bob");
	check("Full Name <ann@x.example>", "a:ann@x.example");
	check("\\joe, \"\\\\ann\"", "u:joe ; u:ann");
	check("/var/mail/x, /var/dir/", "F:/var/mail/x ; F:/var/dir/");
	check("/var/mail/joe@x.example/, ~/joe@x.example", "F:/var/mail/joe@x.example/ ; H:/joe@x.example");
	check("joe ann@x.example\t\"a b\"@x.example, bob", "a:joe ; a:ann@x.example ; a:a b@x.example ; a:bob");
	check("\\joe ann@x.example", "u:joe ; a:ann@x.example");
	check("\\joe \\ann , bob", "u:joe ; u:ann ; a:bob");
	check("\"/a b, c\"", "F:/a b, c");
	check(":include:/etc/list, \":include:/a b\"", "I:/etc/list ; I:/a b");
	check("\"|/bin/cmd -a 'x, y'\", joe", "C:/bin/cmd -a 'x, y' ; a:joe");
	check("\"|a \\\"b\\\" \\\\ c\"", "C:a \"b\" \\ c");
	check("|/bin/cmd -a \"b, \\\"c\"\njoe, |\"/bin/x y\"", "C:/bin/cmd -a b, \"c ; a:joe ; C:/bin/x y");
	check("~/mail, \"~/a b\", ~joe", "H:/mail ; H:/a b ; a:~joe");
	check("\"quoted user\"@x.example", "a:quoted user@x.example");
	check("\"quoted user\"", "a:quoted user");
	check("joe (comment, with comma), ann", "a:joe ; a:ann");
	check("list: a, b;, c", "a:a ; a:b ; a:c");
}

static void test_comments_and_empty_lines_are_passed_over(void **state)
{
	(void) state;
	check("# joe\njoe # not\n", "a:joe ; a:# ; a:not");
	check("# a, b\n\n , ,\n  joe\n#x\nann", "a:joe ; a:ann");
	check("", "");
	check("\n\n#", "");
	check(",,,", "");
}

static void test_what_cannot_be_read_is_an_error_with_its_text(void **state)
{
	(void) state;
	check("joe, two <", "BAD two <");
	check("|", "BAD |");
	check("\"|\"", "BAD \"|\"");
	check(":include:", "BAD :include:");
	check("\\", "BAD \\");
	check("<>", "BAD <>");
	check("\"open", "BAD \"open");
}

static void test_blanks_separate_in_lines_of_any_length(void **state)
{
	struct destinations list;
	struct str bad;
	static char text[8000];

	(void) state;
	memset(text, 'x', sizeof(text));
	for (size_t i = 100; i < 8000; i += 100)
		text[i] = ' ';
	assert_int_equal(destinations_parse(str_make(text, 8000), 100, arena, &list, &bad), 0);
	assert_int_equal(list.count, 80);
}

static void test_the_number_is_bounded(void **state)
{
	AUTO(buf) b = BUF(10000);
	struct destinations list;
	struct str bad;

	(void) state;
	for (int i = 0; i < 101; i++)
		buf_add(&b, STR("x,"));
	assert_int_equal(destinations_parse(buf_str(&b), 101, arena, &list, &bad), 0);
	assert_int_equal(destinations_parse(buf_str(&b), 100, arena, &list, &bad), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_kinds_of_destinations_are_read),
		cmocka_unit_test(test_comments_and_empty_lines_are_passed_over),
		cmocka_unit_test(test_what_cannot_be_read_is_an_error_with_its_text),
		cmocka_unit_test(test_blanks_separate_in_lines_of_any_length),
		cmocka_unit_test(test_the_number_is_bounded),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
