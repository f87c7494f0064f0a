/* SPDX-License-Identifier: ISC */
/*
 * Tables of rules: regexp, pcre and cidr. The values expected are what postmap -q of Postfix 3.7
 * answers for the same sources.
 */
#include "tests/unit.h"

#include <errno.h>
#include <time.h>

#include "lib/table/scratch_test.h"

static const char rules_text[] =
	"/^(a+)b$/ one $1 ${1}x $(1)y $$\n"
	"!/foo/ nofoo $1\n"
	"/foo(.)?/i FOO[$1]\n"
	"if /z/\n"
	"/zed/ zed\n"
	"if !/q/\n"
	"/zoo/ zoo\n"
	"endif\n"
	"/zq/ zq\n"
	"endif\n"
	"/noend\n"
	"/x/k badflag\n"
	"/(x)/ $2\n"
	"/(zed)/ $0\n"
	"/yy/\n"
	"|pipe/x| delim\n"
	"/esc\\/aped/ esc\n"
	" /indented/ x\n"
	"if /unclosed/\n"
	"/unclosed1/ u1\n";

static void expect_of_rules(const char *type)
{
	struct table *t;

	buf_clear(&warnings);
	t = open_file_table(type, "rules");
	expect(t, "aab", "one aa aax aay $");
	expect(t, "AAB", "one AA AAx AAy $");
	expect(t, "food", "FOO[d]");
	expect(t, "foo", "FOO[]");
	expect(t, "FOO", NULL);
	expect(t, "zed", "zed");
	expect(t, "zoo", "zoo");
	expect(t, "zooq", NULL);
	expect(t, "zq", "zq");
	expect(t, "pipe/x", "delim");
	expect(t, "esc/aped", "esc /indented/ x");
	expect(t, "xfoo", "FOO[]");
	expect(t, "unclosed1", "u1");
	expect(t, "yy", "");
	expect_warning("line 2: $number found in negative match replacement text: skipping this rule");
	expect_warning("line 11: no closing regexp delimiter \"/\": skipping this rule");
	expect_warning("line 12: unknown regexp option \"k\": skipping this rule");
	expect_warning("line 13: out of range replacement index \"2\": skipping this rule");
	expect_warning("line 14: out of range replacement index \"0\": skipping this rule");
	expect_warning("line 15: no replacement text: using empty string");
	expect_warning("line 19: IF has no matching ENDIF");
	table_free(t);
}

static void test_regexp_and_pcre_rules_answer_as_those_of_postfix(void **state)
{
	(void) state;
	write_file("rules", rules_text);
	expect_of_rules("regexp");
	expect_of_rules("pcre");
}

/* `count` times c, then the tail. */
static const char *long_key(char c, size_t count, const char *tail)
{
	char *key = arena_get(arena, count + strlen(tail) + 1);

	memset(key, c, count);
	memcpy(key + count, tail, strlen(tail));
	return key;
}

static void test_regexp_answers_for_long_keys_as_for_short_ones(void **state)
{
	struct table *t;

	(void) state;
	write_file("rules", "/q|w$/ alternatives\n/^e.*r/ anchored\n!/z/ negated\n/z$/ end\n/f(re+)/ got $1\n/(\\()/ bracket\n/(b)\\1/ twice\n/k)+$/ own\n/[(k]l)/ own too\n");
	t = open_file_table("regexp", "rules");
	for (size_t n = 1; n < 8000; n = n * 8 - 1) {
		expect(t, long_key('z', n, "qz"), "alternatives");
		expect(t, long_key('z', n, "w"), "alternatives");
		expect(t, long_key('e', n, "r"), "anchored");
		expect(t, long_key('a', n, "er"), "negated");
		expect(t, long_key('z', n, ""), "end");
		expect(t, long_key('z', n, "free."), "got ree");
		expect(t, long_key('z', n, "(."), "bracket");
		if (n < 2000) {
			expect(t, long_key('z', n, "bb."), "twice");
			expect(t, long_key('z', n, "k))"), "own");
			expect(t, long_key('z', n, "(l)."), "bracket");
			expect(t, long_key('z', n, "kl)."), "own too");
		}
	}
	expect(t, long_key('z', 100000, "w"), "alternatives");
	expect(t, long_key('a', 100000, ""), "negated");
	expect_failure(t, long_key('z', 100000, "free."), -EOVERFLOW, "line 5: a key of 100005 bytes: ");
	expect_failure(t, long_key('z', 100000, "bb."), -EOVERFLOW, "line 7: a key of 100003 bytes: ");
	table_free(t);
}

static void test_no_key_keeps_a_pattern_busy_for_long(void **state)
{
	clock_t start = clock();

	(void) state;
	for (int i = 0; i < 2; i++) {
		const char *type = i == 0 ? "regexp" : "pcre";
		struct table *t;
		struct str got;

		write_file("rules", "/(x+x+)+y/ 1\n/(x|xx)+y$/ $1\n/^(x+)+$/ all\n/((x*)*)*y/ 4\n");
		t = open_file_table(type, "rules");
		for (size_t n = 10; n <= 100000; n *= 10) {
			table_get(t, arena, str_of(long_key('x', n, "z")), &got);
			table_get(t, arena, str_of(long_key('x', n, " xxz y")), &got);
		}
		table_free(t);
	}
	assert_true(clock() - start < 10 * CLOCKS_PER_SEC);
}

static void test_a_pattern_that_no_library_can_compile_in_time_is_left_out(void **state)
{
	struct table *t = open_flags("regexp:{ {/()()++++++++++++++++++++++++/ typed} {/[+*?+*?]+\\++?x/ fine} }", 0);

	(void) state;
	expect_warning("line 1: more than 4 of * + ? in a row: skipping this rule");
	expect(t, "ax", NULL);
	expect(t, "*++x", "fine");
	table_free(t);
}

static void test_substitution_is_refused_where_results_are_trusted(void **state)
{
	struct table *t;

	(void) state;
	write_file("rules", "/^(.*)x$/ $1\n/^y/ plain $$\n");
	t = open_flags(str_c(arena, arena_fmt(arena, "pcre:%s", path_of("rules"))),
		       TABLE_NO_REGEXP_SUBSTITUTION);
	expect(t, "ax", NULL);
	expect(t, "yes", "plain $");
	expect_warning("line 1: $number substitution is not allowed in this table");
	table_free(t);
}

static void test_results_that_give_rights_do_not_come_from_just_anybody(void **state)
{
	static const char *const refused[] = {
		"tcp:127.0.0.1:9", "socketmap:unix:/x:aliases", "memcache:/x.cf", "proxy:tcp:127.0.0.1:9",
		"unionmap:{ static:x, tcp:127.0.0.1:9 }", "proxy:pipemap:{ static:x, debug:memcache:/x.cf }",
	}, *const good[] = { "ldap:/x.cf", "proxy:mysql:/x.cf", "unionmap:{ static:x, pgsql:/x.cf }" };

	(void) state;
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		AUTO(buf) why = BUF_WORDS;
		struct table *t = NULL;

		assert_int_equal(table_open(str_of(refused[i]), TABLE_GIVES_RIGHTS, &t, &why), -EINVAL);
		assert_non_null(strstr(buf_text(&why), "give rights"));
		table_free(open_flags(refused[i], 0));
	}
	for (size_t i = 0; i < COUNT_OF(good); i++)
		table_free(open_flags(good[i], TABLE_GIVES_RIGHTS));
}

static void test_a_pattern_that_backtracks_without_end_cannot_tell(void **state)
{
	struct table *t;
	static char key[50001];
	int64_t start = process_us();		/* on a busy machine more time goes by */

	(void) state;
	write_file("rules", "/(a+)+$/ yes\n");
	t = open_file_table("pcre", "rules");
	memset(key, 'a', 50000);
	key[49999] = 'b';
	key[50000] = 0;
	expect_failure(t, key, -EOVERFLOW, "line 1: match limit exceeded");
	assert_true(process_us() - start < 1000000);
	expect(t, "aaa", "yes");
	table_free(t);
}

static void test_cidr_blocks_match_in_file_order(void **state)
{
	struct table *t;

	(void) state;
	write_file("c", "10.0.0.0/8 ten\n"
			"!192.168.0.0/16 not192\n"
			"192.168.1.1 host\n"
			"192.168.2.1/24 badmask\n"
			"[2001:db8::]/32 v6\n"
			"if 192.168.3.0/24\n"
			"192.168.3.7 seven\n"
			"endif\n"
			"192.168.0.0/16 rest\n"
			"bad x\n"
			"1.2.3.4\n");
	t = open_file_table("cidr", "c");
	expect(t, "10.1.1.1", "ten");
	expect(t, "192.168.1.1", "host");
	expect(t, "192.168.2.5", "rest");
	expect(t, "192.168.3.7", "seven");
	expect(t, "192.168.3.8", "rest");
	expect(t, "172.16.0.1", "not192");
	expect(t, "2001:db8::1", "v6");		/* no IPv4 block says anything about it, not even negated */
	expect(t, "2001:db9::1", NULL);
	expect(t, "junk", NULL);
	expect_warning("line 4: non-null host address bits in \"192.168.2.1/24\", perhaps you should use \"192.168.2.0/24\" instead");
	expect_warning("line 10: bad address pattern: \"bad\"");
	expect_warning("line 11: no lookup result");
	table_free(t);
	t = open_flags("cidr:{ { [2001:db8::]/33 half }, {2001:db8:8000::/33 other}, { 0.0.0.0/0 any } }", 0);
	expect(t, "2001:db8:7fff::1", "half");
	expect(t, "2001:db8:8000::1", "other");
	expect(t, "2001:db9::1", NULL);
	expect(t, "203.0.113.9", "any");
	table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_regexp_and_pcre_rules_answer_as_those_of_postfix),
		TEST(test_regexp_answers_for_long_keys_as_for_short_ones),
		TEST(test_a_pattern_that_no_library_can_compile_in_time_is_left_out),
		TEST(test_no_key_keeps_a_pattern_busy_for_long),
		TEST(test_substitution_is_refused_where_results_are_trusted),
		TEST(test_results_that_give_rights_do_not_come_from_just_anybody),
		TEST(test_a_pattern_that_backtracks_without_end_cannot_tell),
		TEST(test_cidr_blocks_match_in_file_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
