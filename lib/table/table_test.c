/* SPDX-License-Identifier: ISC */
/* Values expected of pattern and text tables are what postmap -q of Postfix 3.7 answers for the same sources. */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/table/database.h"
#include "lib/table/edit.h"
#include "lib/table/scratch_test.h"

static struct table *open_flags(const char *spec, unsigned flags)
{
	AUTO(buf) why = BUF_WORDS;
	struct table *t;

	if (table_open(str_of(spec), flags, &t, &why) < 0)
		fail_msg("%s: %s", spec, buf_text(&why));
	return t;
}

static struct table *open_file_table(const char *type, const char *name)
{
	return open_flags(str_c(arena, arena_fmt(arena, "%s:%s", type, path_of(name))), TABLE_FOLD_KEY);
}

static void expect(struct table *t, const char *key, const char *value)
{
	struct str got = STR_NONE;
	int r = table_get(t, arena, str_of(key), &got);

	if (r != (value != NULL))
		fail_msg("%s, %s: %d (%s)", table_spec(t), key, r, r < 0 ? table_why(t) : "");
	if (value != NULL)
		assert_str(got, value);
	assert_int_equal(table_get(t, NULL, str_of(key), NULL), r);
}

static void expect_failure(struct table *t, const char *key, int error, const char *words)
{
	struct str got;

	assert_int_equal(table_get(t, arena, str_of(key), &got), error);
	if (strstr(table_why(t), words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, table_why(t));
}

static void expect_warning(const char *words)
{
	if (strstr(buf_text(&warnings), words) == NULL)
		fail_msg("\"%s\" is not in the warnings:\n%s", words, buf_text(&warnings));
}

static void expect_bad(const char *spec, const char *words)
{
	AUTO(buf) why = BUF_WORDS;
	struct table *t;

	assert_int_equal(table_open(str_of(spec), TABLE_MUST_EXIST, &t, &why), -EINVAL);
	if (strstr(buf_text(&why), words) == NULL)
		fail_msg("%s: \"%s\" is not in \"%s\"", spec, words, buf_text(&why));
}

/* ---- the types ---- */

static void test_text_sources_are_read_as_postmap_reads_them(void **state)
{
	struct table *t;

	(void) state;
	write_file("s", "\"a b\"@x.com   v1\n"
			"\"quo\\\"te\\\\d\" v2\n"
			"plain\"mid dle\"x v3\n"
			"trail   v4   \n"
			"k:  v5\n"
			"only\n"
			"# comment\n"
			"cont one\n"
			"# inner comment\n"
			"\n"
			"\ttwo\n"
			" three   \n"
			"UPPER Value MIXED\n"
			"dup 1\n"
			"dup 2\n"
			"\"unbal v\n"
			"back\\ slash v9");
	t = open_file_table("texthash", "s");
	expect(t, "\"A b\"@x.com", "v1");
	expect(t, "a b@x.com", NULL);
	expect(t, "\"quo\\\"te\\\\d\"", "v2");
	expect(t, "plain\"mid dle\"x", "v3");
	expect(t, "trail", "v4");
	expect(t, "k:", "v5");
	expect(t, "only", NULL);
	expect(t, "cont", "one\ttwo three");
	expect(t, "upper", "Value MIXED");
	expect(t, "dup", "1");
	expect(t, "back\\ slash", "v9");
	expect_warning("line 5: record is in \"key: value\" format; is this an alias file?");
	expect_warning("line 6: expected format: key whitespace value");
	expect_warning("line 15: duplicate entry: \"dup\"");
	expect_warning("line 16: unbalanced '\"'");
	table_free(t);
}

static void test_keys_keep_their_case_without_folding(void **state)
{
	struct table *t = open_flags("inline:{ Key=1, key=2 }", 0);

	(void) state;
	expect(t, "Key", "1");
	expect(t, "key", "2");
	expect(t, "KEY", NULL);
	table_free(t);
}

static void test_keys_in_utf8_are_folded_letter_by_letter(void **state)
{
	struct table *t = open_flags("inline:{ \xc3\x9cn\xc3\xaf@x=1, \xd0\x96=2, \xc8\xba=3, \xf0\x9f\x98\x80=4, B\xff=5 }", TABLE_FOLD_KEY);

	(void) state;
	expect(t, "\xc3\xbcN\xc3\x8f@X", "1");
	expect(t, "\xd0\xb6", "2");
	expect(t, "\xe2\xb1\xa5", "3");		/* longer than the capital */
	expect(t, "\xf0\x9f\x98\x80", "4");
	expect(t, "b\xff", "5");			/* not UTF-8 */
	table_free(t);
}

static void test_inline_entries_may_contain_spaces(void **state)
{
	struct table *t = open_flags("inline:{ a=1, { c = d e }, {f=g=h}, A=b }", TABLE_FOLD_KEY);

	(void) state;
	expect(t, "a", "b");
	expect(t, "C", "d e");
	expect(t, "f", "g=h");
	expect(t, "d e", NULL);
	table_free(t);
}

static void test_static_knows_every_key_and_fail_none(void **state)
{
	struct table *t = open_flags("static:all", TABLE_FOLD_KEY);

	(void) state;
	expect(t, "whatever", "all");
	table_free(t);
	t = open_flags("static:{ two words }", TABLE_FOLD_KEY);
	expect(t, "", "two words");
	table_free(t);
	t = open_flags("fail:reason", TABLE_FOLD_KEY);
	expect_failure(t, "x", -EIO, "table fail:reason: ");
	table_free(t);
}

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

static void test_substitution_is_refused_where_results_are_trusted(void **state)
{
	struct table *t;

	(void) state;
	write_file("rules", "/^(.*)x$/ $1\n/^y/ plain $$\n");
	t = open_flags(str_c(arena, arena_fmt(arena, "pcre:%s", path_of("rules"))), TABLE_NO_REGEXP_SUBSTITUTION);
	expect(t, "ax", NULL);
	expect(t, "yes", "plain $");
	expect_warning("line 1: $number substitution is not allowed in this table");
	table_free(t);
}

static void test_a_pattern_that_backtracks_without_end_cannot_tell(void **state)
{
	struct table *t;
	static char key[50001];
	int64_t start = mono_ms();

	(void) state;
	write_file("rules", "/(a+)+$/ yes\n");
	t = open_file_table("pcre", "rules");
	memset(key, 'a', 50000);
	key[49999] = 'b';
	key[50000] = 0;
	expect_failure(t, key, -EOVERFLOW, "line 1: match limit exceeded");
	assert_true(mono_ms() - start < 1000);
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

static void test_what_no_lookup_could_mend_is_refused_at_open(void **state)
{
	(void) state;
	expect_bad("aliases", "expecting \"type:name\" form");
	expect_bad("hash:", "expecting \"type:name\" form");
	expect_bad("nosuch:/x", "unsupported table type");
	expect_bad("inline:{ a }", "expected key=value");
	expect_bad("inline:a=b", "expected inline:{");
	expect_bad("cidr:{ 10.0.0.0/8 x }", "expected { rule }");
	expect_bad("proxy:x", "expecting \"type:name\" behind proxy:");
}

/* ---- Berkeley DB ---- */

static const struct database_driver *driver_of(const char *type)
{
	AUTO(buf) why = BUF_WORDS;
	const struct database_driver *driver;

	if (database_find(str_of(type), &driver, &why) < 0)
		fail_msg("%s", buf_text(&why));
	return driver;
}

static void make_database(const char *type, const char *name, unsigned flags, const char *const *pairs)
{
	AUTO(buf) why = BUF_WORDS;
	struct edit *e;

	if (edit_open(driver_of(type), path_of(name), flags, 1 << 20, &e, &why) < 0)
		fail_msg("%s", buf_text(&why));
	for (; pairs[0] != NULL; pairs += 2)
		assert_int_equal(edit_put(e, str_of(pairs[0]), str_of(pairs[1]), false, &why), 1);
	if (edit_commit(e, 0644, (uid_t) -1, (gid_t) -1, &why) < 0)
		fail_msg("%s", buf_text(&why));
}

#define PAIRS(...) (const char *const[]){ __VA_ARGS__, NULL }

static void test_databases_are_read_with_and_without_nul(void **state)
{
	static const char *const types[] = { "hash", "btree" };

	(void) state;
	for (int i = 0; i < 4; i++) {
		struct table *t;
		char long_value[3001];

		memset(long_value, 'v', 3000);
		long_value[3000] = 0;
		make_database(types[i % 2], "x.db", i / 2 ? EDIT_KEEP_NUL : 0, PAIRS("a", "1", "b", "two words", "long", long_value, "e", ""));
		t = open_file_table(types[i % 2], "x");
		expect(t, "A", "1");
		expect(t, "b", "two words");
		expect(t, "long", long_value);
		expect(t, "e", "");
		expect(t, "c", NULL);
		expect(t, "", NULL);
		table_free(t);
	}
}

static void test_a_hash_is_not_read_as_a_btree(void **state)
{
	struct table *t;

	(void) state;
	make_database("hash", "x.db", 0, PAIRS("a", "1"));
	t = open_file_table("btree", "x");
	expect_failure(t, "a", -EINVAL, "open database");
	expect_warning("is unavailable. open database");
	table_free(t);
}

static void test_an_edit_starts_from_what_is_there(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	struct edit *e;
	struct table *t;

	(void) state;
	make_database("hash", "x.db", EDIT_KEEP_NUL, PAIRS("a", "1", "b", "2"));
	assert_int_equal(edit_open(driver_of("hash"), path_of("x.db"), EDIT_FROM_EXISTING, 1 << 20, &e, &why), 0);
	assert_non_null(edit_existing(e));
	assert_int_equal(edit_put(e, STR("a"), STR("9"), false, &why), 0);
	assert_int_equal(edit_put(e, STR("c"), STR("3"), false, &why), 1);
	assert_int_equal(edit_put(e, STR("b"), STR("8"), true, &why), 1);
	assert_int_equal(edit_delete(e, STR("a"), &why), 1);
	assert_int_equal(edit_delete(e, STR("a"), &why), 0);
	t = open_file_table("hash", "x");
	expect(t, "a", "1");		/* the edit is a copy: what it is made from is still good */
	expect(t, "c", NULL);
	assert_int_equal(edit_commit(e, 0640, (uid_t) -1, (gid_t) -1, &why), 0);
	seconds_pass(2);
	expect(t, "a", NULL);
	expect(t, "b", "8");
	expect(t, "c", "3");
	table_free(t);
}

static void test_what_a_killed_writer_left_is_swept_and_harms_nobody(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	struct table *t;
	int status;
	pid_t child;

	(void) state;
	make_database("hash", "x.db", 0, PAIRS("a", "old"));
	t = open_file_table("hash", "x");
	child = fork();
	if (child == 0) {
		struct edit *e;

		edit_open(driver_of("hash"), path_of("x.db"), 0, 1 << 20, &e, &why);
		edit_put(e, STR("b"), STR("half"), false, &why);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(access(path_of(str_c(arena, arena_fmt(arena, "x.db.new-%d-0", (int) child))), F_OK), 0);
	seconds_pass(2);
	expect(t, "a", "old");
	expect(t, "b", NULL);
	make_database("hash", "x.db", 0, PAIRS("a", "new"));
	assert_int_equal(access(path_of(str_c(arena, arena_fmt(arena, "x.db.new-%d-0", (int) child))), F_OK), -1);
	seconds_pass(2);
	expect(t, "a", "new");
	table_free(t);
}

/* ---- replaced while in use ---- */

static void test_a_replaced_file_is_noticed_within_a_second_or_two(void **state)
{
	struct table *t;

	(void) state;
	write_file("s", "a 1\n");
	t = open_file_table("texthash", "s");
	expect(t, "a", "1");
	replace_file("s", "a 2\nb 3\n");
	seconds_pass(2);
	expect(t, "a", "2");
	expect(t, "b", "3");
	table_free(t);
}

static void test_a_file_rewritten_in_place_counts_when_it_has_settled(void **state)
{
	struct table *t;
	FILE *f;

	(void) state;
	write_file("s", "a 1\nb 2\n");
	t = open_file_table("texthash", "s");
	clock_set_for_test(wall_us(), mono_us() + 2000000);	/* time to look; the file was just written */
	f = fopen(path_of("s"), "w");
	fputs("a 9\n", f);
	fflush(f);
	expect(t, "a", "1");
	expect(t, "b", "2");			/* an editor half-way through: not "not there" */
	fputs("b 8\n", f);
	fclose(f);
	seconds_pass(2);
	expect(t, "a", "9");
	expect(t, "b", "8");
	table_free(t);
}

static void test_a_missing_file_is_a_failure_until_it_is_there(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	struct table *t;
	char spec[128];

	(void) state;
	snprintf(spec, sizeof(spec), "hash:%s", path_of("x"));
	assert_int_equal(table_open(str_of(spec), TABLE_MUST_EXIST, &t, &why), -ENOENT);
	t = open_flags(spec, 0);
	expect_warning("is unavailable");
	expect_failure(t, "a", -ENOENT, "x.db: No such file or directory");
	make_database("hash", "x.db", 0, PAIRS("a", "1"));
	seconds_pass(2);
	expect(t, "a", "1");
	unlink(path_of("x.db"));
	seconds_pass(2);
	expect_failure(t, "a", -ENOENT, "x.db: No such file or directory");
	make_database("hash", "x.db", 0, PAIRS("a", "2"));
	seconds_pass(2);
	expect(t, "a", "2");
	table_free(t);
}

static void test_a_database_truncated_in_place_is_never_not_there(void **state)
{
	struct table *t;
	int fd;

	(void) state;
	make_database("btree", "x.db", 0, PAIRS("a", "1", "b", "2"));
	t = open_file_table("btree", "x");
	expect(t, "a", "1");
	fd = open(path_of("x.db"), O_RDWR);
	assert_int_equal(flock(fd, LOCK_EX), 0);	/* as Postfix's postmap does */
	assert_int_equal(ftruncate(fd, 0), 0);
	expect_failure(t, "c", -EAGAIN, "is being written");
	expect_failure(t, "c", -EAGAIN, "is being written");
	flock(fd, LOCK_UN);
	expect_failure(t, "c", -EINVAL, "open database");
	close(fd);
	table_free(t);
}

static void test_a_lock_that_a_stranger_holds_does_not_stop_readers_for_long(void **state)
{
	struct table *t;
	int fd;

	(void) state;
	make_database("hash", "x.db", 0, PAIRS("a", "1"));
	fd = open(path_of("x.db"), O_RDONLY);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	t = open_file_table("hash", "x");
	expect_failure(t, "a", -EAGAIN, "is being written");
	seconds_pass(61);
	expect(t, "a", "1");
	close(fd);
	table_free(t);
}

static void test_lookups_while_a_database_is_replaced_always_find(void **state)
{
	struct table *t;
	int status;
	pid_t child;

	(void) state;
	make_database("hash", "x.db", 0, PAIRS("always", "1"));
	t = open_file_table("hash", "x");
	child = fork();
	if (child == 0) {
		for (int i = 0; i < 60; i++) {
			make_database("hash", "x.db", 0, PAIRS("always", "1", "other", "2"));
			usleep(1000);
		}
		_exit(0);
	}
	while (waitpid(child, &status, WNOHANG) == 0) {
		seconds_pass(2);		/* reopens at every turn */
		expect(t, "always", "1");
		expect(t, "never", NULL);
	}
	assert_int_equal(status, 0);
	table_free(t);
}

static const char *outgrown;

static void keep_spec(const char *spec)
{
	outgrown = spec;
}

static void test_a_file_that_may_not_be_opened_again_leaves_the_old_content(void **state)
{
	static const char *const types[] = { "hash", "texthash" };

	(void) state;
	table_set_outgrown(keep_spec);
	chmod(directory, 0711);
	for (int i = 0; i < 2; i++) {
		struct table *t;

		make_database("hash", "x.db", 0, PAIRS("a", "1"));
		write_file("x", "a 1\n");
		t = open_file_table(types[i], "x");
		outgrown = NULL;
		make_database("hash", "x.db", 0, PAIRS("a", "2"));
		replace_file("x", "a 2\n");
		chmod(path_of("x.db"), 0);
		chmod(path_of("x"), 0);
		seconds_pass(2);
		if (geteuid() == 0)
			assert_int_equal(seteuid(65534), 0);
		expect(t, "a", "1");
		expect(t, "b", NULL);
		if (getuid() == 0)
			assert_int_equal(seteuid(0), 0);
		assert_string_equal(outgrown, table_spec(t));
		chmod(path_of("x.db"), 0644);
		chmod(path_of("x"), 0644);
		seconds_pass(2);
		expect(t, "a", "2");
		table_free(t);
	}
	table_set_outgrown(NULL);
	chmod(directory, 0700);
}

static void test_in_a_directory_that_may_not_be_searched_nothing_has_changed_for_an_hour(void **state)
{
	struct table *t;

	(void) state;
	if (getuid() != 0)
		skip();
	table_set_outgrown(keep_spec);
	write_file("x", "a 1\n");
	t = open_file_table("texthash", "x");
	outgrown = NULL;
	replace_file("x", "a 2\n");
	assert_int_equal(seteuid(65534), 0);
	seconds_pass(3000);
	expect(t, "a", "1");
	assert_null(outgrown);
	seconds_pass(700);
	expect(t, "a", "1");
	assert_string_equal(outgrown, table_spec(t));
	assert_int_equal(seteuid(0), 0);
	table_free(t);
	table_set_outgrown(NULL);
}

static void test_a_missing_directory_is_a_failure_too(void **state)
{
	struct table *t = open_flags("hash:/nonexistent/directory/x", 0);

	(void) state;
	expect_warning("hash:/nonexistent/directory/x is unavailable");
	expect_failure(t, "a", -ENOENT, "No such file or directory");
	table_free(t);
}

static void see_directory(void *arg, const char *path)
{
	if (strcmp(path, directory) == 0)
		++*(int *) arg;
}

static void test_directories_of_open_tables_are_listed_for_the_jail(void **state)
{
	struct table *t;
	int seen = 0;

	(void) state;
	write_file("s", "a 1\n");
	t = open_file_table("texthash", "s");
	table_each_directory(see_directory, &seen);
	assert_int_equal(seen, 1);
	table_free(t);
	table_each_directory(see_directory, &seen);
	assert_int_equal(seen, 1);
}

static void test_a_table_is_reopened_although_its_path_is_out_of_reach(void **state)
{
	struct table *t;
	char moved[80];

	(void) state;
	/* Within a chroot the path does not exist, but the directory's descriptor is there: a renamed directory has the same effect. */
	make_database("hash", "x.db", 0, PAIRS("a", "1"));
	t = open_file_table("hash", "x");
	make_database("hash", "y.db", 0, PAIRS("a", "2"));
	assert_int_equal(rename(path_of("y.db"), path_of("x.db")), 0);
	snprintf(moved, sizeof(moved), "%s.moved", directory);
	assert_int_equal(rename(directory, moved), 0);
	seconds_pass(2);
	expect(t, "a", "2");
	assert_int_equal(rename(moved, directory), 0);
	table_free(t);
}

/* ---- lists ---- */

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

static void expect_address(struct tables *ts, const char *address, bool local, const char *value, const char *extension)
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

static void test_the_forms_of_an_address_are_tried_in_order(void **state)
{
	struct str value, extension;
	struct tables *ts = open_tables("inline:{ u+x@d=full, u@d=user, w+x=localext, w=local, @d=domain, mailer-daemon@d=md, owner-l@d=ow }");

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
	assert_int_equal(tables_get_address(ts, arena, STR("u-request@d"), &(struct address_lookup){ .delimiter = STR("-"), .splits_list_names = true },
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
		TEST(test_text_sources_are_read_as_postmap_reads_them),
		TEST(test_keys_keep_their_case_without_folding),
		TEST(test_keys_in_utf8_are_folded_letter_by_letter),
		TEST(test_inline_entries_may_contain_spaces),
		TEST(test_static_knows_every_key_and_fail_none),
		TEST(test_regexp_and_pcre_rules_answer_as_those_of_postfix),
		TEST(test_regexp_answers_for_long_keys_as_for_short_ones), TEST(test_no_key_keeps_a_pattern_busy_for_long),
		TEST(test_substitution_is_refused_where_results_are_trusted),
		TEST(test_a_pattern_that_backtracks_without_end_cannot_tell),
		TEST(test_cidr_blocks_match_in_file_order),
		TEST(test_what_no_lookup_could_mend_is_refused_at_open),
		TEST(test_databases_are_read_with_and_without_nul),
		TEST(test_a_hash_is_not_read_as_a_btree),
		TEST(test_an_edit_starts_from_what_is_there),
		TEST(test_what_a_killed_writer_left_is_swept_and_harms_nobody),
		TEST(test_a_replaced_file_is_noticed_within_a_second_or_two),
		TEST(test_a_file_rewritten_in_place_counts_when_it_has_settled),
		TEST(test_a_missing_file_is_a_failure_until_it_is_there),
		TEST(test_a_database_truncated_in_place_is_never_not_there),
		TEST(test_a_lock_that_a_stranger_holds_does_not_stop_readers_for_long),
		TEST(test_lookups_while_a_database_is_replaced_always_find),
		TEST(test_a_file_that_may_not_be_opened_again_leaves_the_old_content),
		TEST(test_in_a_directory_that_may_not_be_searched_nothing_has_changed_for_an_hour),
		TEST(test_a_missing_directory_is_a_failure_too),
		TEST(test_directories_of_open_tables_are_listed_for_the_jail),
		TEST(test_a_table_is_reopened_although_its_path_is_out_of_reach),
		TEST(test_the_first_table_that_knows_or_cannot_tell_decides),
		TEST(test_the_forms_of_an_address_are_tried_in_order),
		TEST(test_a_local_part_that_needs_quotes_is_looked_up_with_them_first),
		TEST(test_patterns_see_only_whole_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
