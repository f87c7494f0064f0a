/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <errno.h>

#include "lib/table/match.h"
#include "lib/table/scratch_test.h"

static struct match_list *open_list(const char *patterns, unsigned flags)
{
	AUTO(buf) why = BUF_WORDS;
	struct match_list *m;

	if (match_list_open("test_list", str_of(patterns), flags, &m, &why) < 0)
		fail_msg("%s: %s", patterns, buf_text(&why));
	return m;
}

static int domain_in(struct match_list *m, const char *domain)
{
	return match_domain(m, arena, str_of(domain));
}

static int client_in(struct match_list *m, const char *name, const char *address)
{
	struct address_ip ip;

	assert_int_equal(ip_parse(str_of(address), &ip), 0);
	return match_client(m, arena, str_of(name), &ip);
}

static void test_domains_match_with_or_without_their_parents(void **state)
{
	struct match_list *m = open_list("example.com, .example.net !not.example.org example.org", 0);

	(void) state;
	assert_int_equal(domain_in(m, "EXAMPLE.com"), 1);
	assert_int_equal(domain_in(m, "sub.example.com"), 0);
	assert_int_equal(domain_in(m, "sub.example.net"), 1);
	assert_int_equal(domain_in(m, "example.net"), 0);
	assert_int_equal(domain_in(m, "not.example.org"), 0);
	assert_int_equal(domain_in(m, "example.org"), 1);
	assert_int_equal(domain_in(m, "notexample.com"), 0);
	match_list_free(m);
	m = open_list("!host.example.com, example.com", MATCH_PARENT);
	assert_int_equal(domain_in(m, "sub.example.com"), 1);
	assert_int_equal(domain_in(m, "host.example.com"), 0);
	assert_int_equal(domain_in(m, "notexample.com"), 0);
	match_list_free(m);
}

static void test_tables_in_lists_are_asked_for_parents_too(void **state)
{
	struct match_list *m = open_list("inline:{ example.com=x, .example.net=x }", 0);

	(void) state;
	assert_int_equal(domain_in(m, "Example.Com"), 1);
	assert_int_equal(domain_in(m, "sub.example.com"), 0);
	assert_int_equal(domain_in(m, "a.b.example.net"), 1);
	match_list_free(m);
	m = open_list("inline:{ example.com=x }", MATCH_PARENT);
	assert_int_equal(domain_in(m, "a.b.example.com"), 1);
	match_list_free(m);
	m = open_list("good.example, fail:broken, more.example", 0);
	assert_int_equal(domain_in(m, "good.example"), 1);
	assert_int_equal(domain_in(m, "more.example"), -EIO);
	assert_true(strstr(match_why(m), "test_list: table fail:broken") != NULL);
	match_list_free(m);
}

static void test_clients_match_by_network_address_and_name(void **state)
{
	struct match_list *m = open_list("127.0.0.0/8 [::1]/128, !10.0.0.5 10.0.0.0/8, [2001:db8::]/32, friend.example, cidr:{ {192.0.2.0/24 x} }",
					 MATCH_PARENT);

	(void) state;
	assert_int_equal(client_in(m, "localhost", "127.0.0.1"), 1);
	assert_int_equal(client_in(m, "", "::1"), 1);
	assert_int_equal(client_in(m, "unknown", "10.0.0.5"), 0);
	assert_int_equal(client_in(m, "unknown", "10.0.0.6"), 1);
	assert_int_equal(client_in(m, "unknown", "2001:db8:1::1"), 1);
	assert_int_equal(client_in(m, "unknown", "2001:db9:1::1"), 0);
	assert_int_equal(client_in(m, "mx.friend.example", "203.0.113.1"), 1);
	assert_int_equal(client_in(m, "unknown", "192.0.2.77"), 1);
	assert_int_equal(client_in(m, "unknown", "192.0.3.77"), 0);
	match_list_free(m);
}

static void test_lists_read_files_and_notice_changes(void **state)
{
	struct match_list *m;

	(void) state;
	write_file("list", "# domains\nexample.com\n!not.example.net\n.example.net other.example\n");
	m = open_list(path_of("list"), 0);
	assert_int_equal(domain_in(m, "example.com"), 1);
	assert_int_equal(domain_in(m, "other.example"), 1);
	assert_int_equal(domain_in(m, "a.example.net"), 1);
	assert_int_equal(domain_in(m, "not.example.net"), 0);
	replace_file("list", "new.example\n");
	seconds_pass(2);
	assert_int_equal(domain_in(m, "new.example"), 1);
	assert_int_equal(domain_in(m, "example.com"), 0);
	unlink(path_of("list"));
	seconds_pass(2);
	assert_int_equal(domain_in(m, "new.example"), -ENOENT);
	assert_int_equal(domain_in(m, "new.example"), -EIO);	/* and still, within the second */
	replace_file("list", "again.example\n");
	seconds_pass(2);
	assert_int_equal(domain_in(m, "again.example"), 1);
	match_list_free(m);
}

static const char *outgrown;

static void keep_name(const char *what)
{
	outgrown = what;
}

static void test_a_file_that_may_not_be_read_again_leaves_the_old_patterns(void **state)
{
	struct match_list *m;

	(void) state;
	table_set_outgrown(keep_name);
	chmod(directory, 0711);
	write_file("list", "example.com\n");
	m = open_list(path_of("list"), 0);
	outgrown = NULL;
	replace_file("list", "example.net\n");
	chmod(path_of("list"), 0);
	seconds_pass(2);
	if (getuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	assert_int_equal(domain_in(m, "example.com"), 1);
	assert_int_equal(domain_in(m, "example.net"), 0);
	assert_string_equal(outgrown, path_of("list"));
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	chmod(path_of("list"), 0644);
	seconds_pass(2);
	assert_int_equal(domain_in(m, "example.net"), 1);
	match_list_free(m);
	table_set_outgrown(NULL);
}

static char warned[300];

static void note_warning(const char *text)
{
	snprintf(warned, sizeof(warned), "%s", text);
}

static void test_what_stands_in_a_comment_is_no_pattern(void **state)
{
	struct match_list *m;

	(void) state;
	table_set_warning(note_warning);
	warned[0] = 0;
	write_file("list", "#127.0.0.1\n  # 127.0.0.2\n\t192.0.2.1\n  , 192.0.2.2\n");
	m = open_list(path_of("list"), 0);
	assert_int_equal(client_in(m, "", "127.0.0.1"), 0);
	assert_int_equal(client_in(m, "", "127.0.0.2"), 0);
	assert_int_equal(client_in(m, "", "192.0.2.1"), 1);
	assert_int_equal(client_in(m, "", "192.0.2.2"), 1);
	assert_string_equal(warned, "");
	match_list_free(m);
	write_file("list", "192.0.2.1 # 10.0.0.0/8 {, 1.2.3.4/5\n192.0.2.2 #");
	m = open_list(path_of("list"), 0);
	assert_int_equal(client_in(m, "", "192.0.2.1"), 1);
	assert_int_equal(client_in(m, "", "192.0.2.2"), 1);
	assert_int_equal(client_in(m, "", "10.0.0.1"), 0);
	match_list_free(m);
	m = open_list("127.0.0.0/8, a#b.example #, 10.0.0.0/8 0.0.0.0/0", 0);
	assert_int_equal(client_in(m, "", "127.0.0.1"), 1);
	assert_int_equal(client_in(m, "", "10.0.0.1"), 0);
	assert_int_equal(domain_in(m, "a#b.example"), 1);
	assert_string_equal(warned, "comment at end of line is not supported: \"#, 10.0.0.0/8 0.0.0.0/0\"");
	match_list_free(m);
	table_set_warning(NULL);
}

static void test_a_network_with_host_bits_is_refused(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	struct match_list *m;

	(void) state;
	assert_int_equal(match_list_open("mynetworks", STR("10.0.0.1/8"), 0, &m, &why), -EINVAL);
	assert_string_equal(buf_text(&why),
			    "mynetworks: non-null host address bits in \"10.0.0.1/8\", perhaps you should use \"10.0.0.0/8\" instead");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_domains_match_with_or_without_their_parents),
		TEST(test_tables_in_lists_are_asked_for_parents_too),
		TEST(test_clients_match_by_network_address_and_name),
		TEST(test_lists_read_files_and_notice_changes),
		TEST(test_a_file_that_may_not_be_read_again_leaves_the_old_patterns),
		TEST(test_what_stands_in_a_comment_is_no_pattern),
		TEST(test_a_network_with_host_bits_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
