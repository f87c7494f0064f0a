/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <errno.h>

#include "lib/table/source.h"

/* "name=value", or what is wrong. */
static void check(const char *line, const char *expected)
{
	AUTO(buf) key = BUF(1000), value = BUF(1000), why = BUF_WORDS, got = BUF(2000);
	int r = source_split_alias(str_of(line), &key, &value, &why);

	if (r == 0)
		buf_addf(&got, "%s=%s", buf_text(&key), buf_text(&value));
	else
		buf_addf(&got, "%d %s", r, buf_text(&why));
	assert_string_equal(buf_text(&got), expected);
}

/* As Postfix 3.7 stores them. */
static void test_values_have_one_form_however_they_are_written(void **state)
{
	(void) state;
	check("Root:   bob,   alice (a  comment),\"x y\"@foo", "Root=bob, alice (a  comment), \"x y\"@foo");
	check("\"spa ce\" : |\"/usr/bin/x -a  b\"", "spa ce=|\"/usr/bin/x -a  b\"");
	check("a . b: x . y @ z", "a.b=x.y@z");
	check("k: Joe  D. Smith <x@y> bob", "k=Joe D.Smith <x@y>bob");
	check("k: friends: a ; b,c,", "k=friends:a;b, c, ");
	check("k: x\"y\"z(c)[1.2 . 3]w", "k=x \"y\" z (c) [1.2 . 3] w");
	check("k: a\\@b \\root a\\ b a\\\"b", "k=\"a@b\" root \"a b\" \"a\\\"b\"");
	check("k: \"a\tb\\\\\" \"un closed", "k=\"a b\\\\\" \"un closed\"");
	check("k: (a (nested\\) one)) x (open", "k=(a (nested\\) one)) x (open");
	check("k: '|', |cmd  arg", "k='|', |cmd arg");
	check("k: ||a!b%c <d", "k=||a!b%c <d");
	check("k\\@l: v", "k@l=v");
	check("\"k@l\": v", "k@l=v");
	check(":include:x: v", "-22 need name:value pair");
}

static void test_what_is_no_alias_is_said(void **state)
{
	(void) state;
	check("k", "-22 need name:value pair");
	check("k:", "-22 need name:value pair");
	check("k: \\", "-22 need name:value pair");
	check("\"\": v", "-22 need name:value pair");
	check("a, b: v", "-22 need name:value pair");
	check("a@b: v", "-22 name must be local");
	check("\"a\"@b: v", "-22 name must be local");
	check("a%b: v", "-22 name must be local");
	check("\"k: v", "-22 need name:value pair");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_have_one_form_however_they_are_written),
		cmocka_unit_test(test_what_is_no_alias_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
