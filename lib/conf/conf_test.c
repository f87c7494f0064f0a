/* SPDX-License-Identifier: ISC */
/* main.cf as it is read, expanded and made into values. */
#include "tests/unit.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/conf/conf.h"
#include "lib/conf/families.h"
#include "lib/conf/params/common.h"
#include "tests/scratch.h"

static char dir[SCRATCH_PATH];
static struct arena *arena;

static struct conf *load(const char *text)
{
	AUTO(buf) why = BUF_WORDS;
	struct conf *c;

	scratch_file(dir, "main.cf", text);
	if (conf_load(dir, &c, &why) < 0)
		fail_msg("%s", buf_text(&why));
	return c;
}

static void load_fails(const char *text, const char *words)
{
	AUTO(buf) why = BUF_WORDS;
	struct conf *c;

	scratch_file(dir, "main.cf", text);
	assert_int_equal(conf_load(dir, &c, &why), -EINVAL);
	if (strstr(buf_text(&why), words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, buf_text(&why));
}

static void assert_value(struct conf *c, const char *name, const char *expected)
{
	struct str value;

	if (!conf_get(c, arena, str_of(name), &value))
		fail_msg("%s is not set", name);
	assert_str(value, expected);
}

static int set_up(void **state)
{
	(void) state;
	scratch_directory(dir);
	arena = arena_new("test", NULL, 64 << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void) state;
	scratch_remove(dir);
	arena_free(arena);
	return 0;
}

/* ---- lines ---- */

static void test_continuation_lines_join_across_comments_and_empty_lines(void **state)
{
	struct conf *c = load("# start\n"
			      "mydestination = a,\n"
			      "# comment\n"
			      "\n"
			      "   b,\n"
			      "\tc   \n"
			      "   # indented comment\n"
			      "  d\n"
			      "relayhost =\n"
			      "   foo\n"
			      "empty=\n"
			      "no_line_end = x = y");

	(void) state;
	assert_value(c, "mydestination", "a, b, c d");
	assert_value(c, "relayhost", "foo");
	assert_value(c, "empty", "");
	assert_value(c, "no_line_end", "x = y");
	conf_free(c);
}

static void test_line_numbers_are_those_of_the_first_physical_line(void **state)
{
	struct conf *c = load("\n# x\na = 1\n  2\n\nb = 3\n");
	const char *file;
	int line;

	(void) state;
	assert_true(conf_where(c, STR("a"), &file, &line));
	assert_int_equal(line, 3);
	assert_true(conf_where(c, STR("b"), &file, &line));
	assert_int_equal(line, 6);
	assert_non_null(strstr(file, "/main.cf"));
	assert_false(conf_where(c, STR("myhostname"), &file, &line));
	conf_free(c);
}

static void test_lines_without_assignment_are_errors_with_file_and_line(void **state)
{
	(void) state;
	load_fails("a = b\nfoo\n", "main.cf, line 2: missing '=' after attribute name: \"foo\"");
	load_fails("= x\n", "line 1: missing attribute name: \"= x\"");
	load_fails("a b = c\n", "line 1: missing '=' after attribute name: \"a b = c\"");
	load_fails("{ a = b }\n", "line 1: missing '='");
}

static void test_file_with_a_nul_byte_is_refused(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	struct conf *c;
	char path[128];
	FILE *f;

	(void) state;
	snprintf(path, sizeof(path), "%s/main.cf", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fwrite("# x\na = b\0c\n", 1, 12, f);
	fclose(f);
	assert_int_equal(conf_load(dir, &c, &why), -EINVAL);
	assert_non_null(strstr(buf_text(&why), "main.cf, line 2: contains a NUL byte"));
}

static void test_missing_file_says_which(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	struct conf *c;

	(void) state;
	assert_int_equal(conf_load("/nonexistent", &c, &why), -ENOENT);
	assert_non_null(strstr(buf_text(&why), "/nonexistent/main.cf"));
}

static void test_settings_are_walked_in_order_of_first_appearance(void **state)
{
	struct conf *c = load("b = 1\na = 2\nb = 3\n");
	struct str name, value;
	size_t at = 0;

	(void) state;
	assert_true(conf_next_set(c, &at, &name, &value));
	assert_str(name, "b");
	assert_str(value, "3");
	assert_true(conf_next_set(c, &at, &name, &value));
	assert_str(name, "a");
	assert_false(conf_next_set(c, &at, &name, &value));
	conf_free(c);
}

static void test_names_are_found_in_every_branch_of_a_value(void **state)
{
	struct str text = STR("a $b, ${c?{$d}:{x}} $(e) $$f ${{$g} == {1} ? {h} : {${i}}} $ $");
	static const char *const names[] = { "b", "c", "d", "e", "g", "i" };
	struct str name;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		assert_true(conf_next_name(&text, &name));
		assert_str(name, names[i]);
	}
	assert_false(conf_next_name(&text, &name));
}

static void test_overrides_stand_above_main_cf(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	struct conf *c = load("a = 1\nb = $a\n");

	(void) state;
	assert_int_equal(conf_override(c, STR("a=2"), &why), 0);
	assert_value(c, "b", "2");
	assert_int_equal(conf_override(c, STR("{ a = 3 4 }"), &why), 0);
	assert_value(c, "b", "3 4");
	assert_int_equal(conf_override(c, STR("a"), &why), -EINVAL);
	conf_free(c);
}

/* ---- expansion; the table is what Postfix 3.7's postconf -x answers ---- */

static const struct { const char *text, *expected; } expansions[] = {
	{ "a$full.b", "aval.b" },
	{ "${full}", "val" },
	{ "$(full)", "val" },
	{ "${ full }", "val" },
	{ "$full-x", "val-x" },
	{ "$$full", "$full" },
	{ "[$undef]", "[]" },
	{ "${full?yes no}", "yes no" },
	{ "x${full? a}y", "x ay" },
	{ "x${full? a }y", "x a y" },
	{ "x${empty: a }y", "x a y" },
	{ "x${full ?{ a } : b }y", "xay" },
	{ "x${empty ?{ a } : b }y", "x b y" },
	{ "${empty?yes}", "" },
	{ "${emptyref?yes}", "yes" },
	{ "${empty:no}", "no" },
	{ "${full:no}", "" },
	{ "${undef:no}", "no" },
	{ "${full?}", "" },
	{ "${full?{a}:{b}}", "a" },
	{ "${full ? {a} : {b}}", "a" },
	{ "${empty ? {a} : {b}}", "b" },
	{ "${empty?{a}:b}", "b" },
	{ "${full?a:b}", "a:b" },
	{ "${full?{a}}", "a" },
	{ "${empty:{a}}", "a" },
	{ "${full?{$full}:{$empty}}", "val" },
	{ "${full?{ a }:{b}}", "a" },
	{ "$(full?{a}:{b})", "a" },
	{ "${empty?{a}:{${full?{b}:{c}}}}", "b" },
	{ "${full?${empty?a}${n5}}", "5" },
	{ "${{a}=={a}?{t}:{f}}", "t" },
	{ "${{a} == {b} ? {t} : {f}}", "f" },
	{ "${{a} == {a} ? t : f}", " t : f" },
	{ "${{a} == {a}}", "true" },
	{ "x${{a} == {b}}y", "xy" },
	{ "${{a} != {b}?{t}}", "t" },
	{ "${{10} < {9}?{t}:{f}}", "f" },
	{ "${{10} < {9x}?{t}:{f}}", "t" },
	{ "${{-1} < {9}?{t}:{f}}", "t" },
	{ "${{1} == {01}?{t}:{f}}", "t" },
	{ "${{} == {}?{t}:{f}}", "t" },
	{ "${{a} <= {a}?{t}:{f}}", "t" },
	{ "${{3.10} <level {3.9}?{t}:{f}}", "f" },
	{ "${{3.10} >=level {3.9}?{t}:{f}}", "t" },
	{ "${{3.10} ==level {3.10}?{t}:{f}}", "t" },
	{ "${{3.10.1} ==level {3.10}?{t}:{f}}", "f" },
	{ "${{$n5} == {5}?{t}:{f}}", "t" },
	{ "${{ a } == {a}?{t}:{f}}", "f" },
	{ "${domain_to_ascii{$Upper}}", "example.org" },
	{ "${domain_to_ascii{B\xc3\xbc" "cher.Example}}", "b\xc3\xbc" "cher.example" },
};

static void test_expansion_means_what_it_means_to_postfix(void **state)
{
	struct conf *c = load("full = val\nempty =\nemptyref = $empty\nn5 = 5\nUpper = Example.ORG\n");

	(void) state;
	for (size_t i = 0; i < COUNT_OF(expansions); i++) {
		AUTO(buf) why = BUF_WORDS;
		struct str text;

		if (conf_expand(c, arena, str_of(expansions[i].text), &text, &why) < 0)
			fail_msg("%s: %s", expansions[i].text, buf_text(&why));
		if (!str_is(text, str_of(expansions[i].expected)))
			fail_msg("%s: got \"%.*s\", expected \"%s\"", expansions[i].text, PSTR(text),
				 expansions[i].expected);
	}
	conf_free(c);
}

static const char *const malformed[] = {
	"a$", "a$ b", "${}", "${full", "$(full}", "${full.x}", "${full-x}", "${full?{a} x}",
	"${full?{a}:{b} x}", "${full?{a}{b}}",
	"${{a} ?{t}:{f}}", "${{foo} <level {3}?{t}:{f}}", "${{1.2.3.4} <level {3}?{t}:{f}}",
	"${{10} <long {9}?{t}:{f}}",
	"${{a} == {a} ? {t} : {f} x}", "${{full}==$full?{t}:{f}}",
	"${{99999999999999999999} < {5} ? {t} : {f}}", "$self", "$(full?{a)b})",
};

static void test_malformed_expansion_is_an_error_with_words(void **state)
{
	struct conf *c = load("full = val\nself = x $self\n");

	(void) state;
	for (size_t i = 0; i < COUNT_OF(malformed); i++) {
		AUTO(buf) why = BUF_WORDS;
		struct str text;

		if (conf_expand(c, arena, str_of(malformed[i]), &text, &why) >= 0)
			fail_msg("%s: accepted as \"%.*s\"", malformed[i], PSTR(text));
		assert_true(why.len > 0);
	}
	conf_free(c);
}

static void test_exponential_expansion_is_stopped(void **state)
{
	AUTO(buf) text = BUF(100000);
	AUTO(buf) why = BUF_WORDS;
	struct str result;
	struct conf *c;

	(void) state;
	for (int i = 0; i < 30; i++)
		buf_addf(&text, "x%d = $x%d$x%d\n", i, i + 1, i + 1);
	c = load(buf_text(&text));
	assert_int_equal(conf_expand(c, arena, STR("$x0"), &result, &why), -ELOOP);
	conf_free(c);
}

static void test_defaults_of_other_groups_are_known_to_expansion(void **state)
{
	struct conf *c = load("myhostname = mail.example.org\nmydomain =\n");

	(void) state;
	assert_value(c, "myorigin", "mail.example.org");
	assert_value(c, "syslog_name", "postfix");
	assert_value(c, "mynetworks_style", "host");
	conf_free(c);
}

/* ---- computed defaults ---- */

static void test_mydomain_is_derived_from_myhostname(void **state)
{
	struct conf *c = load("myhostname = mail.example.org\n");

	(void) state;
	assert_value(c, "mydomain", "example.org");
	conf_free(c);
	c = load("myhostname = single\n");
	assert_value(c, "mydomain", "localdomain");
	conf_free(c);
}

static void test_myhostname_written_with_mydomain_ends_with_the_machines_domain(void **state)
{
	struct conf *c = load("myhostname = mail.$mydomain\n");
	struct str name, domain;

	(void) state;
	assert_true(conf_get(c, arena, STR("myhostname"), &name));
	assert_true(str_starts(name, STR("mail.")));
	assert_true(name.len > 5);
	assert_true(conf_get(c, arena, STR("mydomain"), &domain));
	assert_str(domain, arena_fmt(arena, "%.*s", PSTR(str_skip(name, 5))).at);
	conf_free(c);
}

static void test_mynetworks_follows_style_and_interfaces(void **state)
{
	struct conf *c = load("inet_interfaces = 127.0.0.1\nmynetworks_style = host\n");

	(void) state;
	assert_value(c, "mynetworks", "127.0.0.1/32");
	conf_free(c);
	c = load("inet_interfaces = 127.0.0.1, 127.0.0.9, [::1]\nmynetworks_style = class\n");
	assert_value(c, "mynetworks", "127.0.0.0/8 [::1]/128");
	conf_free(c);
	c = load("inet_interfaces = 127.0.0.1, ::1\nmynetworks_style = host\ninet_protocols = ipv4\n");
	assert_value(c, "mynetworks", "127.0.0.1/32");
	conf_free(c);
	c = load("inet_interfaces = loopback-only\nmynetworks_style = subnet\ninet_protocols = ipv4\n");
	assert_value(c, "mynetworks", "127.0.0.0/8");
	conf_free(c);
}

/* ---- values ---- */

struct sample_conf {
	bool flag;
	int64_t count, bytes, delay, hours;
	const char *text, *raw;
};
static const struct param sample_rows[] = {
	{ "sample_flag", PARAM_BOOL, "no", 0, 0, offsetof(struct sample_conf, flag), "x", "" },
	{ "sample_count", PARAM_INT, "${stress?{1}:{20}}", 1, 100, offsetof(struct sample_conf, count), "x",
	  "" },
	{ "sample_bytes", PARAM_SIZE, "10240000", 0, INT64_MAX, offsetof(struct sample_conf, bytes), "x", "" },
	{ "sample_delay", PARAM_TIME, "${stress?{10}:{300}}s", 1, 86400, offsetof(struct sample_conf, delay),
	  "x", "" },
	{ "sample_hours", PARAM_TIME, "1h", 0, 864000, offsetof(struct sample_conf, hours), "x", "" },
	{ "sample_text", PARAM_STR, "$sample_raw!", 1, 10, offsetof(struct sample_conf, text), "x", "" },
	{ "sample_raw", PARAM_RAW, "$x", 0, 0, offsetof(struct sample_conf, raw), "x", "" },
};
static const struct param_group sample_group = { "sample", sample_rows, COUNT_OF(sample_rows),
						 sizeof(struct sample_conf) };

static void test_fill_gives_typed_values(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	struct conf *c = load("stress = 1\nsample_flag = YES\nsample_delay = 5m\nsample_hours = 2\nsample_text = $word\nword = hello\n");
	struct sample_conf s;

	(void) state;
	if (conf_fill(c, &sample_group, &s, &why) < 0)
		fail_msg("%s", buf_text(&why));
	assert_true(s.flag);
	assert_int_equal(s.count, 1);
	assert_int_equal(s.bytes, 10240000);
	assert_int_equal(s.delay, 300000);
	assert_int_equal(s.hours, 2 * 3600 * 1000);
	assert_string_equal(s.text, "hello");
	assert_string_equal(s.raw, "$x");
	conf_free(c);
}

static void fill_fails(const char *text, const char *words)
{
	AUTO(buf) why = BUF_WORDS;
	struct conf *c = load(text);
	struct sample_conf s;

	assert_int_equal(conf_fill(c, &sample_group, &s, &why), -EINVAL);
	if (strstr(buf_text(&why), words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, buf_text(&why));
	conf_free(c);
}

static void test_wrong_value_names_file_line_and_what_is_expected(void **state)
{
	(void) state;
	fill_fails("sample_text = x\n\nsample_flag = maybe\n",
		   "main.cf, line 3: sample_flag = maybe: yes or no expected");
	fill_fails("sample_text = x\nsample_count = 0\n",
		   "line 2: sample_count = 0: a number from 1 to 100 expected");
	fill_fails("sample_text = x\nsample_count = 5x\n", "sample_count = 5x");
	fill_fails("sample_text = x\nsample_bytes = 12M\n", "sample_bytes = 12M");
	fill_fails("sample_text = x\nsample_delay = 5y\n", "sample_delay = 5y: a time");
	fill_fails("sample_text = x\nsample_delay = 0\n", "sample_delay = 0: a time");
	fill_fails("sample_text = x\nsample_delay = 1h30m\n", "sample_delay");
	fill_fails("sample_text = x\nsample_delay =\n", "sample_delay");
	fill_fails("sample_text =\n", "line 1: sample_text = : must not be empty");
	fill_fails("sample_text = 12345678901\n", "more than 10 characters");
	fill_fails("sample_text = ${x\n", "line 1: sample_text = ${x: truncated macro reference");
}

static void test_common_group_fills_from_an_empty_file(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	struct conf *c = load("");
	struct common_conf common;

	(void) state;
	if (conf_fill(c, &common_group, &common, &why) < 0)
		fail_msg("%s", buf_text(&why));
	assert_string_equal(common.config_directory, dir);
	assert_true(strchr(common.myhostname, '.') != NULL);
	assert_int_equal(common.ipc_timeout, 3600 * 1000);
	assert_int_equal(common.message_size_limit, 10240000);
	conf_free(c);
}

static void test_times_have_units(void **state)
{
	int64_t ms;

	(void) state;
	assert_int_equal(conf_parse_time(STR("5"), 'm', &ms), 0);
	assert_int_equal(ms, 300000);
	assert_int_equal(conf_parse_time(STR("2w"), 's', &ms), 0);
	assert_int_equal(ms, 14LL * 86400 * 1000);
	assert_int_equal(conf_parse_time(STR("1d"), 's', &ms), 0);
	assert_int_equal(conf_parse_time(STR("0s"), 's', &ms), 0);
	assert_int_equal(ms, 0);
	assert_true(conf_parse_time(STR("s"), 's', &ms) < 0);
	assert_true(conf_parse_time(STR(""), 's', &ms) < 0);
	assert_true(conf_parse_time(STR("-5s"), 's', &ms) < 0);
	assert_true(conf_parse_time(STR("5 s x"), 's', &ms) < 0);
	assert_true(conf_parse_time(STR("99999999999999999w"), 's', &ms) < 0);
}

static void note(void *arg, const char *text)
{
	buf_addf(arg, "%s\n", text);
}

static void test_members_of_families_are_checked_like_parameters(void **state)
{
	static const char text[] =
		"x_destination_recipient_limit = 5\ny_destination_recipient_limit = few\nx_transport_rate_delay = 1y\n"
				   "x_delivery_slot_discount = 101\nx_destination_rate_delay = 2m\n";
	AUTO(buf) said = BUF(4096);
	AUTO(buf) why = BUF_WORDS;
	struct conf *c;

	(void) state;
	assert_int_equal(conf_from_text("/etc", str_of(text), &c, &why), 0);
	assert_int_equal(conf_check_families(c, note, &said), 3);
	assert_non_null(strstr(buf_text(&said),
			       "/etc/main.cf, line 2: y_destination_recipient_limit = few: a number from"));
	assert_non_null(strstr(buf_text(&said), "line 3: x_transport_rate_delay = 1y: "));
	assert_non_null(strstr(buf_text(&said), "line 4: x_delivery_slot_discount = 101: "));
	conf_free(c);
}

static void test_family_value_comes_from_main_cf_then_family_then_caller(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	struct conf *c = load("slow_destination_concurrency_limit = 2\ndefault_destination_concurrency_limit = 20\n");
	int64_t n;

	(void) state;
	assert_int_equal(conf_get_int(c, STR("slow_destination_concurrency_limit"), STR("7"), 0, 100,
				      &n, &why), 0);
	assert_int_equal(n, 2);
	assert_int_equal(conf_get_int(c, STR("fast_destination_concurrency_limit"), STR("7"), 0, 100,
				      &n, &why), 0);
	assert_int_equal(n, 20);
	assert_int_equal(conf_get_int(c, STR("nothing_of_the_kind"), STR("7"), 0, 100, &n, &why), 0);
	assert_int_equal(n, 7);
	assert_int_equal(conf_get_int(c, STR("slow_destination_concurrency_limit"), STR("7"), 5, 100, &n,
				      &why), -EINVAL);
	assert_non_null(strstr(buf_text(&why), "line 1: slow_destination_concurrency_limit = 2"));
	conf_free(c);
}

/* ---- the review ---- */

static void collect(void *arg, const char *text)
{
	buf_addf(arg, "%s\n", text);
}

static void test_names_that_only_defaults_use_are_not_undefined(void **state)
{
	AUTO(buf) said = BUF(10000);
	struct conf *c;

	(void) state;
	scratch_file(dir, "master.cf", "");
	c = load("proxy_read_maps = $virtual_alias_maps\n"
		 "virtual_alias_domains = $virtual_maps\n"
		 "postscreen_blacklist_action = drop\n");
	conf_review(c, collect, &said);
	assert_null(strstr(buf_text(&said), "virtual_maps"));
	assert_non_null(strstr(buf_text(&said),
			       "line 3: postscreen_blacklist_action is a Postfix parameter that is not supported yet"));
	conf_free(c);
}

static void test_review_tells_unused_planned_undefined_and_duplicate(void **state)
{
	AUTO(buf) said = BUF(100000);
	struct conf *c;

	(void) state;
	scratch_file(dir, "master.cf",
		     "slow unix - - n - - smtp -o typo_in_master=1 -o myhostname=x.$helper2\n"
				"maildrop unix - n n - - pipe flags=x argv=/bin/x -o no_value\n");
	c = load("myhostnme = typo\n"
		 "mydomain = $helper\n"
		 "helper = a\n"
		 "helper2 = b\n"
		 "unused_helper = c\n"
		 "slow_destination_concurrency_limit = 2\n"
		 "fast_destination_concurrency_limit = 2\n"
		 "smtpd_restriction_classes = my_class\n"
		 "my_class = x\n"
		 "virtual_alias_maps = ldap:people, hash:/etc/x\n"
		 "people_server_host = localhost\n"
		 "maildrop_time_limit = 5\n"
		 "myorigin = x\n"
		 "myorigin = $nowhere\n"
		 "relayhost = ${x\n"
		 "fork_delay = 1s\n");
	conf_review(c, collect, &said);
	assert_non_null(strstr(buf_text(&said),
			       "main.cf, line 1: unused parameter: myhostnme=typo (did you mean myhostname?)\n"));
	assert_non_null(strstr(buf_text(&said), "main.cf, line 5: unused parameter: unused_helper=c\n"));
	assert_non_null(strstr(buf_text(&said),
			       "main.cf, line 7: unused parameter: fast_destination_concurrency_limit=2 (did you mean "));
	assert_non_null(strstr(buf_text(&said), "master.cf, line 1: unused parameter: typo_in_master=1\n"));
	assert_non_null(strstr(buf_text(&said), "main.cf, line 14: overriding earlier entry: myorigin=x\n"));
	assert_non_null(strstr(buf_text(&said), "main.cf, line 14: undefined parameter: nowhere\n"));
	assert_non_null(strstr(buf_text(&said),
			       "line 16: fork_delay is a Postfix parameter that is not supported yet"));
	assert_null(strstr(buf_text(&said), ": helper="));
	assert_null(strstr(buf_text(&said), ": helper2="));
	assert_null(strstr(buf_text(&said), "slow_"));
	assert_null(strstr(buf_text(&said), "parameter: my_class"));
	assert_null(strstr(buf_text(&said), "people_"));
	assert_null(strstr(buf_text(&said), "maildrop_time_limit"));
	assert_null(strstr(buf_text(&said), "no_value"));
	conf_free(c);
}

static void test_every_wrong_value_is_told_with_its_place(void **state)
{
	AUTO(buf) said = BUF(100000);
	struct conf *c;

	(void) state;
	scratch_file(dir, "master.cf", "slow unix - - n - - smtp -o ipc_timeout=$nothing -o max_idle=1s\n");
	c = load("ipc_timeout = 5y\n\nmax_idle = $ipc_timeout\nhash_queue_depth = 77\nmyorigin = ${x\n");
	assert_int_equal(conf_check_values(c, collect, &said), 5);
	assert_non_null(strstr(buf_text(&said), "main.cf, line 1: ipc_timeout = 5y: a time from"));
	assert_non_null(strstr(buf_text(&said), "main.cf, line 3: max_idle = $ipc_timeout: a time from"));
	assert_non_null(strstr(buf_text(&said), "main.cf, line 4: hash_queue_depth = 77: a number from"));
	assert_non_null(strstr(buf_text(&said),
			       "main.cf, line 5: myorigin = ${x: truncated macro reference"));
	assert_non_null(strstr(buf_text(&said),
			       "master.cf, line 1: parameter ipc_timeout = $nothing: a time from"));
	conf_free(c);
	scratch_file(dir, "master.cf", "slow unix - - n - - smtp -o ipc_timeout=1h\n");
	c = load("");
	assert_int_equal(conf_check_values(c, collect, &said), 0);
	conf_free(c);
}

static void test_what_a_default_names_tells_its_place(void **state)
{
	AUTO(buf) said = BUF(100000);
	const char *file;
	struct conf *c;
	int line = 0;

	(void) state;
	c = load("\nvirtual_alias_maps = hash:x\ncompatibility_level = abc\n");
	assert_true(conf_where_words(c, STR("virtual_alias_domains: no such table"), &file, &line));
	assert_int_equal(line, 2);
	assert_false(conf_where_words(c, STR("message_size_limit: too much"), &file, &line));
	assert_int_equal(conf_override(c, STR("relay_domains=$virtual_alias_maps"), &said), 0);
	assert_false(conf_where_words(c, STR("relay_domains: of master.cf"), &file, &line));
	assert_true(conf_check_values(c, collect, &said) > 0);
	assert_non_null(strstr(buf_text(&said), "main.cf, line 3: mynetworks_style = "));
	conf_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_continuation_lines_join_across_comments_and_empty_lines),
		cmocka_unit_test(test_line_numbers_are_those_of_the_first_physical_line),
		cmocka_unit_test(test_lines_without_assignment_are_errors_with_file_and_line),
		cmocka_unit_test(test_file_with_a_nul_byte_is_refused),
		cmocka_unit_test(test_missing_file_says_which),
		cmocka_unit_test(test_settings_are_walked_in_order_of_first_appearance),
		cmocka_unit_test(test_overrides_stand_above_main_cf),
		cmocka_unit_test(test_expansion_means_what_it_means_to_postfix),
		cmocka_unit_test(test_malformed_expansion_is_an_error_with_words),
		cmocka_unit_test(test_exponential_expansion_is_stopped),
		cmocka_unit_test(test_defaults_of_other_groups_are_known_to_expansion),
		cmocka_unit_test(test_mydomain_is_derived_from_myhostname),
		cmocka_unit_test(test_myhostname_written_with_mydomain_ends_with_the_machines_domain),
		cmocka_unit_test(test_mynetworks_follows_style_and_interfaces),
		cmocka_unit_test(test_fill_gives_typed_values),
		cmocka_unit_test(test_wrong_value_names_file_line_and_what_is_expected),
		cmocka_unit_test(test_common_group_fills_from_an_empty_file),
		cmocka_unit_test(test_times_have_units),
		cmocka_unit_test(test_members_of_families_are_checked_like_parameters),
		cmocka_unit_test(test_family_value_comes_from_main_cf_then_family_then_caller),
		cmocka_unit_test(test_names_are_found_in_every_branch_of_a_value),
		cmocka_unit_test(test_every_wrong_value_is_told_with_its_place),
		cmocka_unit_test(test_what_a_default_names_tells_its_place),
		cmocka_unit_test(test_names_that_only_defaults_use_are_not_undefined),
		cmocka_unit_test(test_review_tells_unused_planned_undefined_and_duplicate),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
