/* SPDX-License-Identifier: ISC */
/* Lists of tables, and the forms of an address that are looked up in them. */
#include "tests/unit.h"

#include <errno.h>

#include "lib/table/scratch_test.h"

static struct tables *open_tables(const char *specs)
{
	AUTO(buf) why = BUF_WORDS;
	struct tables *ts;

	if (tables_open(str_of(specs), TABLE_FOLD_KEY, &ts, &why) < 0)
		fail_msg("%s: %s", specs, buf_text(&why));
	return ts;
}

static void test_the_first_table_that_knows_or_cannot_tell_decides(void **state)
{
	struct tables *ts = open_tables("inline:{ a=1 }, inline:{ a=2, b=3 } fail:x, inline:{ c=4 }");
	struct str value;

	(void) state;
	assert_int_equal(tables_get(ts, arena, STR("a"), &value), 1);
	assert_str(value, "1");
	assert_int_equal(tables_get(ts, arena, STR("b"), &value), 1);
	assert_str(value, "3");
	assert_string_equal(tables_answered_by(ts), "inline:{ a=2, b=3 }");
	assert_int_equal(tables_get(ts, arena, STR("c"), &value), -EIO);
	assert_true(strstr(tables_why(ts), "fail:x") != NULL);
	tables_free(ts);
	ts = open_tables(" ,\n");
	assert_true(tables_are_empty(ts));
	assert_int_equal(tables_get(ts, arena, STR("a"), &value), 0);
	tables_free(ts);
}

static void test_a_key_with_nothing_behind_it_is_no_answer(void **state)
{
	struct tables *ts = open_tables("inline:{ a= }, inline:{ a=1 }");
	struct str value;

	(void) state;
	assert_int_equal(tables_get(ts, arena, STR("a"), &value), -EBADMSG);
	assert_string_equal(tables_why(ts), "table inline:{ a= }: empty result for \"a\"");
	assert_int_equal(tables_get(ts, NULL, STR("a"), NULL), 1);	/* it is there */
	tables_free(ts);
}

static void expect_address(struct tables *ts, const char *address, bool local, const char *value,
			   const char *extension)
{
	struct address_lookup how = { .delimiter = STR("+-"), .local_domain = local };
	struct str got, ext;
	int r = tables_get_address(ts, arena, str_of(address), &how, &got, &ext);

	if (r != (value != NULL))
		fail_msg("%s: %d", address, r);
	if (value != NULL) {
		assert_str(got, value);
		assert_str(ext, extension);
	}
}

static void test_who_owned_the_file_that_was_read_is_the_owner(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	const char *spec = str_c(arena, arena_fmt(arena, "inline:{ a=1 } texthash:%s", path_of("x")));
	struct tables *ts;
	struct str value;

	(void) state;
	if (getuid() != 0)
		skip();
	write_file("x", "b 1\n");
	assert_int_equal(chown(path_of("x"), 1234, 0), 0);
	assert_int_equal(tables_open(str_of(spec), 0, &ts, &why), 0);
	write_file("victim", "c 1\n");
	assert_int_equal(chown(path_of("victim"), 5678, 0), 0);
	assert_int_equal(rename(path_of("victim"), path_of("x")), 0);
	assert_int_equal(tables_get(ts, arena, STR("b"), &value), 1);
	assert_int_equal(tables_owner(ts), 1234);
	assert_int_equal(tables_get(ts, arena, STR("a"), &value), 1);
	assert_int_equal(tables_owner(ts), 0);
	seconds_pass(2);
	assert_int_equal(tables_get(ts, arena, STR("c"), &value), 1);
	assert_int_equal(tables_owner(ts), 5678);
	assert_int_equal(chown(path_of("x"), 1234, 0), 0);
	seconds_pass(4);
	assert_int_equal(tables_get(ts, arena, STR("c"), &value), 1);
	assert_int_equal(tables_owner(ts), 1234);
	tables_free(ts);
}

static void test_the_forms_of_an_address_are_tried_in_order(void **state)
{
	struct str value, extension;
	struct tables *ts = open_tables("inline:{ u+x@d=full, u@d=user, w+x=localext, w=local, @d=domain, mailer-daemon@d=md, owner-l@d=ow, +u@d=plus }");

	(void) state;
	expect_address(ts, "u+x@d", false, "full", "");
	expect_address(ts, "U+y@D", false, "user", "+y");
	expect_address(ts, "u-y+z@d", false, "user", "-y+z");
	expect_address(ts, "w+x@e", true, "localext", "");
	expect_address(ts, "w+y@e", true, "local", "+y");
	expect_address(ts, "w+y@e", false, NULL, NULL);
	expect_address(ts, "w+y@d", false, "domain", "");
	expect_address(ts, "w+y", false, "local", "+y");
	expect_address(ts, "mailer-daemon@d", false, "md", "");
	expect_address(ts, "owner-l@d", false, "ow", "");
	expect_address(ts, "w-request@d", false, "domain", "");
	expect_address(ts, "+x@e", true, NULL, NULL);
	expect_address(ts, "+u+x@d", false, "domain", "");	/* nobody stands before the first separator */
	expect_address(ts, "u+x-request@d", false, "domain", "");
	assert_int_equal(tables_get_address(ts, arena, STR("u-request@d"),
					    &(struct address_lookup){ .delimiter = STR("-"),
								      .splits_list_names = true },
					    &value, &extension), 1);
	assert_str(value, "user");
	assert_str(extension, "-request");
	tables_free(ts);
}

static void test_a_local_part_that_needs_quotes_is_looked_up_with_them_first(void **state)
{
	struct tables *ts = open_tables("texthash:{ {\"john smith\"@d quoted}, {\"a \\\"b\\\\\"@d escaped}, {\"\"@d empty} }, "
					"inline:{ {john smith@d = old}, {x y@d = only}, .dot@d=plain, {\"j s\" = local} }");

	(void) state;
	expect_address(ts, "john smith@d", false, "quoted", "");
	expect_address(ts, "john smith+e@d", false, "quoted", "+e");
	expect_address(ts, "a \"b\\@d", false, "escaped", "");
	expect_address(ts, "x y@d", false, "only", "");
	expect_address(ts, ".dot@d", false, "plain", "");
	expect_address(ts, "j s@e", true, "local", "");
	expect_address(ts, "@d", false, NULL, NULL);
	tables_free(ts);
}

static void test_patterns_see_only_whole_addresses(void **state)
{
	struct tables *ts = open_tables("regexp:{ {/^u@d$/ yes} }");

	(void) state;
	expect_address(ts, "u@d", false, "yes", "");
	expect_address(ts, "u+x@d", true, NULL, NULL);
	tables_free(ts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_first_table_that_knows_or_cannot_tell_decides),
		TEST(test_a_key_with_nothing_behind_it_is_no_answer),
		TEST(test_who_owned_the_file_that_was_read_is_the_owner),
		TEST(test_the_forms_of_an_address_are_tried_in_order),
		TEST(test_a_local_part_that_needs_quotes_is_looked_up_with_them_first),
		TEST(test_patterns_see_only_whole_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
