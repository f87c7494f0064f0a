/* SPDX-License-Identifier: ISC */
/* Records and policies as domains publish them, well and badly made (RFC 8461 3.1, 3.2, 4.1). */
#include "tests/unit.h"

#include <errno.h>

#include "services/mtasts/policy.h"

static struct arena *arena;

static int parse(const char *text, struct policy *ret)
{
	AUTO(buf) why = BUF_WORDS;
	int r = policy_parse(str_of(text), arena, ret, &why);

	assert_true((r < 0) == (why.len > 0));
	return r;
}

static void the_policy_of_the_standard_is_understood(void **state)
{
	struct policy p;

	(void) state;
	assert_int_equal(parse("version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.Example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n",
			       &p), 0);
	assert_int_equal(p.mode, STS_ENFORCE);
	assert_int_equal(p.max_age, 604800);
	assert_str(p.mx, "mail.example.com\n*.example.net\nbackupmx.example.com\n");
}

static void line_ends_blanks_order_and_unknown_keys_do_not_matter(void **state)
{
	struct policy p;

	(void) state;
	assert_int_equal(parse("max_age:86400  \nfuture_key: x: y\nmx:  a.example\nmode:testing\n\nversion:STSv1",
			       &p), 0);
	assert_int_equal(p.mode, STS_TESTING);
	assert_int_equal(p.max_age, 86400);
	assert_str(p.mx, "a.example\n");
}

static void the_first_of_two_counts_but_every_mx_does(void **state)
{
	struct policy p;

	(void) state;
	assert_int_equal(parse("version: STSv1\nmode: enforce\nmode: none\nmx: a.example\nmx: b.example\nmax_age: 10\nmax_age: 20\n",
			       &p), 0);
	assert_int_equal(p.mode, STS_ENFORCE);
	assert_int_equal(p.max_age, 10);
	assert_str(p.mx, "a.example\nb.example\n");
}

static void a_policy_of_mode_none_needs_no_mx(void **state)
{
	struct policy p;

	(void) state;
	assert_int_equal(parse("version: STSv1\nmode: none\nmax_age: 0\n", &p), 0);
	assert_int_equal(p.mode, STS_NONE);
	assert_int_equal(parse("version: STSv1\nmode: testing\nmax_age: 1\n", &p), -EINVAL);
	assert_int_equal(parse("version: STSv1\nmode: enforce\nmax_age: 1\n", &p), -EINVAL);
}

static void nobody_binds_us_for_more_than_a_year(void **state)
{
	struct policy p;

	(void) state;
	assert_int_equal(parse("version: STSv1\nmode: none\nmax_age: 9999999999\n", &p), 0);
	assert_int_equal(p.max_age, POLICY_MOST_AGE);
}

static void malformed_policies_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "\n\n", "<html>not here</html>", "version: STSv1",
		"version: STSv2\nmode: none\nmax_age: 1", "mode: none\nmax_age: 1",
		"version: STSv1\nmode: Enforce\nmx: a.example\nmax_age: 1",
		"version: STSv1\nmode: \nmx: a.example\nmax_age: 1",
		"version: STSv1\nmode: none\nmax_age: -1", "version: STSv1\nmode: none\nmax_age: +1",
		"version: STSv1\nmode: none\nmax_age: 1d",
		"version: STSv1\nmode: none\nmax_age:", "version: STSv1\nmode: none\nmax_age: 12345678901",
		"version: STSv1\nmode: none",
		"version: STSv1\nmode: enforce\nmx: *\nmax_age: 1",
		"version: STSv1\nmode: enforce\nmx: *.\nmax_age: 1",
		"version: STSv1\nmode: enforce\nmx: a.*.example\nmax_age: 1",
		"version: STSv1\nmode: enforce\nmx: *.*.example\nmax_age: 1",
		"version: STSv1\nmode: enforce\nmx: .example\nmax_age: 1",
		"version: STSv1\nmode: enforce\nmx: a b\nmax_age: 1",
		"version: STSv1\nmode: enforce\nmx: \xc3\xa9.example\nmax_age: 1",
		"version: STSv1\nmode: none\nmax_age: 1\nno colon\n",
		"version: STSv1\nmode: none\nmax_age: 1\n: x\n",
		"version: STSv1\nmode: none\nmax_age: 1\nx: \xff\n",
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct policy p;

		if (parse(bad[i], &p) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void a_policy_is_its_bytes_and_not_what_ends_at_a_nul(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	struct policy p;

	(void) state;
	assert_int_equal(policy_parse(STR("version: STSv1\nmode: none\nmax_age: 1\0\n"), arena, &p, &why),
			 -EINVAL);
	assert_int_equal(policy_parse(STR("version: STSv1\nmode: enforce\nmx: a.example\0.evil\nmax_age: 1\n"),
				      arena, &p, &why), -EINVAL);
}

static void records_are_told_from_other_texts(void **state)
{
	static const struct { const char *text; int result; const char *id; } cases[] = {
		{ "v=STSv1; id=20160831085700Z;", 1, "20160831085700Z" },
		{ "v=STSv1;id=1", 1, "1" },
		{ "v=STSv1 ;\tid=a1 ; ext=some:value;", 1, "a1" },
		{ "v=STSv1; id=1; id=2", 1, "1" },
		{ "v=STSv1; future=x; id=12345678901234567890123456789012", 1,
		  "12345678901234567890123456789012" },
		{ "v=STSv2; id=1;", 0, "" }, { "v=STSv11; id=1;", 0, "" }, { "v=spf1 -all", 0, "" },
		{ "", 0, "" }, { "v=STSv1", 0, "" }, { " v=STSv1; id=1", 0, "" },
		{ "id=1; v=STSv1;", 0, "" }, { "V=STSv1; id=1;", 0, "" },
		{ "v=STSv1;", -EINVAL, "" }, { "v=STSv1; id=;", -EINVAL, "" },
		{ "v=STSv1; id=a-b;", -EINVAL, "" }, { "v=STSv1; id=1;; x=y", -EINVAL, "" },
		{ "v=STSv1; id=123456789012345678901234567890123;", -EINVAL, "" },
		{ "v=STSv1; id=1 2;", -EINVAL, "" }, { "v=STSv1; id=1; x", -EINVAL, "" },
		{ "v=STSv1; id = 1;", -EINVAL, "" }, { "v=STSv1; id=1; -x=1", -EINVAL, "" },
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str id = STR_NONE;
		int r = record_parse(str_of(cases[i].text), &id);

		if (r != cases[i].result)
			fail_msg("%s: %d", cases[i].text, r);
		if (r > 0)
			assert_str(id, cases[i].id);
	}
}

static void a_pattern_stands_for_one_label_and_ignores_case(void **state)
{
	const struct sts_policy p = { .mode = STS_ENFORCE, .mx = STR("mail.example.com\n*.example.net\n") };

	(void) state;
	assert_true(sts_names(&p, STR("mail.example.com")));
	assert_true(sts_names(&p, STR("MAIL.Example.com.")));
	assert_true(sts_names(&p, STR("a.example.net")));
	assert_false(sts_names(&p, STR("example.net")));
	assert_false(sts_names(&p, STR(".example.net")));
	assert_false(sts_names(&p, STR("a.b.example.net")));
	assert_false(sts_names(&p, STR("amail.example.com")));
	assert_false(sts_names(&p, STR("")));
}

static int setup(void **state)
{
	(void) state;
	arena = arena_new("test", NULL, 1 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	arena_free(arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_policy_of_the_standard_is_understood),
		cmocka_unit_test(line_ends_blanks_order_and_unknown_keys_do_not_matter),
		cmocka_unit_test(the_first_of_two_counts_but_every_mx_does),
		cmocka_unit_test(a_policy_of_mode_none_needs_no_mx),
		cmocka_unit_test(nobody_binds_us_for_more_than_a_year),
		cmocka_unit_test(malformed_policies_are_refused),
		cmocka_unit_test(a_policy_is_its_bytes_and_not_what_ends_at_a_nul),
		cmocka_unit_test(records_are_told_from_other_texts),
		cmocka_unit_test(a_pattern_stands_for_one_label_and_ignores_case),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
