/* SPDX-License-Identifier: ISC */
/*
 * Tables of text and database files: reading, making, and following them when they change. What
 * text means is what postmap of Postfix 3.7 makes of it.
 */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/co/loop_for_test.h"
#include "lib/table/change.h"
#include "lib/table/database.h"
#include "lib/table/edit.h"
#include "lib/table/scratch_test.h"

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
	struct table *t = open_flags("inline:{ \xc3\x9cn\xc3\xaf@x=1, \xd0\x96=2, \xc8\xba=3, \xf0\x9f\x98\x80=4, B\xff=5 }",
				     TABLE_FOLD_KEY);

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
		make_database(types[i % 2], "x.db", i / 2 ? EDIT_KEEP_NUL : 0,
			      PAIRS("a", "1", "b", "two words", "long", long_value, "e", ""));
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
	assert_int_equal(edit_open(driver_of("hash"), path_of("x.db"), EDIT_FROM_EXISTING, 1 << 20,
				   &e, &why), 0);
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

static void test_an_edit_does_not_undo_what_took_the_tables_place_meanwhile(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	struct edit *e;
	struct table *t;

	(void) state;
	make_database("hash", "x.db", 0, PAIRS("a", "1"));
	assert_int_equal(edit_open(driver_of("hash"), path_of("x.db"), EDIT_FROM_EXISTING, 1 << 20,
				   &e, &why), 0);
	assert_int_equal(edit_put(e, STR("b"), STR("2"), false, &why), 1);
	make_database("hash", "x.db", 0, PAIRS("a", "anew"));
	assert_int_equal(edit_commit(e, 0644, (uid_t) -1, (gid_t) -1, &why), -ESTALE);
	assert_non_null(strstr(buf_text(&why), "meanwhile"));
	t = open_file_table("hash", "x");
	expect(t, "a", "anew");
	expect(t, "b", NULL);
	table_free(t);
}

static struct table *changed;
static struct scope *stayers, *leavers;

static int change_one(const char *key)
{
	AUTO(buf) why = BUF_WORDS;

	return database_change(changed, str_of(key), &STR("value"), &why);
}

/* Hands the turn over to whoever waits, and has the leaver cancelled before he runs again. */
static void change_and_cancel(void *unused)
{
	(void) unused;
	assert_int_equal(change_one("first"), 1);
	scope_cancel(leavers);
}

static void change_and_leave(void *unused)
{
	(void) unused;
	assert_int_equal(change_one("leaver"), -ECANCELED);
}

static void change_and_stay(void *unused)
{
	(void) unused;
	assert_int_equal(change_one("last"), 1);
}

static void change_by_three(void *unused)
{
	(void) unused;
	stayers = scope_open("stayers");
	leavers = scope_open("leavers");
	scope_start(stayers, "first", change_and_cancel, NULL);
	scope_start(leavers, "leaver", change_and_leave, NULL);
	scope_start(stayers, "last", change_and_stay, NULL);
	scope_wait(stayers, NEVER);
	scope_close(leavers);
	scope_close(stayers);
	loop_stop();
}

static void test_who_goes_away_when_it_is_his_turn_leaves_the_changes_of_others_to_them(void **state)
{
	(void) state;
	changed = open_flags(str_c(arena, arena_fmt(arena, "hash:%s", path_of("x"))), TABLE_CHANGES);
	run(change_by_three);
	expect(changed, "first", "value");
	expect(changed, "last", "value");
	expect(changed, "leaver", NULL);
	table_free(changed);
}

static void test_a_table_in_the_working_directory_can_be_changed(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	AUTO_FD before = open(".", O_RDONLY | O_DIRECTORY);
	const struct database_driver *hash = driver_of("hash");
	struct edit *e;

	(void) state;
	assert_int_equal(chdir(directory), 0);
	assert_int_equal(edit_open(hash, "x.db", EDIT_FROM_EXISTING, 1 << 20, &e, &why), 0);
	assert_int_equal(edit_put(e, STR("a"), STR("1"), false, &why), 1);
	assert_int_equal(edit_commit(e, 0644, (uid_t) -1, (gid_t) -1, &why), 0);
	assert_int_equal(access("x.db", F_OK), 0);
	assert_int_equal(fchdir(before), 0);
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
	assert_int_equal(access(path_of(str_c(arena, arena_fmt(arena, "x.db.new-%d-0", (int) child))), F_OK),
			 0);
	seconds_pass(2);
	expect(t, "a", "old");
	expect(t, "b", NULL);
	make_database("hash", "x.db", 0, PAIRS("a", "new"));
	assert_int_equal(access(path_of(str_c(arena, arena_fmt(arena, "x.db.new-%d-0", (int) child))), F_OK),
			 -1);
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
	/*
	 * Within a chroot the path does not exist, but the directory's descriptor is there: a
	 * renamed directory has the same effect.
	 */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_text_sources_are_read_as_postmap_reads_them),
		TEST(test_keys_keep_their_case_without_folding),
		TEST(test_keys_in_utf8_are_folded_letter_by_letter),
		TEST(test_inline_entries_may_contain_spaces),
		TEST(test_static_knows_every_key_and_fail_none),
		TEST(test_what_no_lookup_could_mend_is_refused_at_open),
		TEST(test_databases_are_read_with_and_without_nul),
		TEST(test_a_hash_is_not_read_as_a_btree),
		TEST(test_an_edit_starts_from_what_is_there),
		TEST(test_an_edit_does_not_undo_what_took_the_tables_place_meanwhile),
		TEST(test_who_goes_away_when_it_is_his_turn_leaves_the_changes_of_others_to_them),
		TEST(test_a_table_in_the_working_directory_can_be_changed),
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
