/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/disk/disk.h"
#include "lib/mailbox/lock.h"
#include "lib/mailbox/mailbox.h"
#include "lib/mailbox/path.h"
#include "tests/scratch.h"

static char top[SCRATCH_PATH];
static char path[4][128];
static struct mailbox_result result;
static const struct mailbox_rules rules = {
	.locks = LOCK_FCNTL | LOCK_DOTLOCK, .lock_attempts = 2, .lock_delay_ms = 5, .stale_lock_ms = 500000,
	.strict_owner = true,
	.host = STR_INIT("mail.exa/mple:com"),
};

static const char *in_top(int slot, const char *name)
{
	snprintf(path[slot], sizeof(path[slot]), "%s/%s", top, name);
	return path[slot];
}

static int set_up(void **state)
{
	(void) state;
	scratch_directory(top);
	result.text = BUF_WORDS;
	return 0;
}

static int tear_down(void **state)
{
	(void) state;
	scratch_remove(top);
	buf_free(&result.text);
	return 0;
}

/* ---- letters ---- */

struct content { struct str text; size_t piece; int error; uint64_t error_at; };

static ssize_t read_content(void *arg, uint64_t at, void *to, size_t n)
{
	struct content *c = arg;
	struct str rest = str_skip(c->text, at);

	if (c->error != 0 && at >= c->error_at)
		return c->error;
	n = MIN(n, c->piece);
	n = MIN(n, rest.len);
	memcpy(to, rest.at, n);
	return (ssize_t) n;
}

static struct letter letter_of(struct content *c)
{
	return (struct letter) { .sender = STR("a b@s.example"), .original_to = STR("orig@r.example"),
				 .delivered_to = STR("to@r.example"),
				 .size = c->text.len, .read = read_content, .arg = c };
}

static int to_buf(void *arg, struct str bytes)
{
	return buf_add(arg, bytes);
}

static void check_copy(const char *text, unsigned flags, const char *expected)
{
	for (size_t piece = 1; piece < 20; piece++) {
		struct content c = { .text = str_of(text), .piece = piece };
		struct letter l = letter_of(&c);
		AUTO(buf) b = BUF(10000);

		assert_int_equal(letter_copy(&l, flags, to_buf, &b), 0);
		assert_str(buf_str(&b), expected);
	}
}

static void test_lines_that_look_like_a_message_start_are_quoted_wherever_pieces_end(void **state)
{
	(void) state;
	check_copy("From x\nFrom y\n\nFrom z\n>From\nFrom\nFro\n From a\nFrom ", LETTER_QUOTE_FROM,
		   ">From x\n>From y\n\n>From z\n>From\nFrom\nFro\n From a\n>From \n");
	check_copy("A: b\n\nFFrom x\nFrFrom y\nFrom\n", LETTER_QUOTE_FROM | LETTER_EMPTY_LINE,
		   "A: b\n\nFFrom x\nFrFrom y\nFrom\n\n");
	check_copy("From x", 0, "From x\n");
	check_copy("Fro", LETTER_QUOTE_FROM, "Fro\n");
	check_copy("", LETTER_QUOTE_FROM, "");
	check_copy("\n\n", LETTER_QUOTE_FROM, "\n\n");
}

static void test_envelope_lines_stand_in_front(void **state)
{
	struct content c = { .text = STR("A: b\n"), .piece = 100 };
	struct letter l = letter_of(&c);
	AUTO(buf) b = BUF(10000);

	(void) state;
	check_copy("A: b\n", LETTER_HEADERS,
		   "Return-Path: <\"a b\"@s.example>\nX-Original-To: orig@r.example\nDelivered-To: to@r.example\nA: b\n");
	assert_int_equal(letter_copy(&l, LETTER_FROM, to_buf, &b), 0);
	assert_true(str_starts(buf_str(&b), STR("From \"a-b\"@s.example  ")));
	assert_true(str_ends(buf_str(&b), STR("\nA: b\n")));
	l.sender = STR_NONE;
	buf_clear(&b);
	assert_int_equal(letter_copy(&l, LETTER_FROM | LETTER_RETURN_PATH, to_buf, &b), 0);
	assert_true(str_starts(buf_str(&b), STR("From MAILER-DAEMON  ")));
	assert_true(str_find_str(buf_str(&b), STR("\nReturn-Path: <>\n")) > 0);
}

static void test_a_loop_is_seen_in_the_headers_only(void **state)
{
	struct content c = { .text = STR("A: b\nDelivered-To: TO@r.example\nDELIVERED-TO:\n other@r.example\n\nDelivered-To: x@y\n"),
			     .piece = 7 };
	struct letter l = letter_of(&c);

	(void) state;
	assert_int_equal(letter_was_delivered_to(&l, STR("to@R.example")), 1);
	assert_int_equal(letter_was_delivered_to(&l, STR("other@r.example")), 1);
	assert_int_equal(letter_was_delivered_to(&l, STR("x@y")), 0);
	assert_int_equal(letter_was_delivered_to(&l, STR("b")), 0);
	c.error = -EIO;
	assert_int_equal(letter_was_delivered_to(&l, STR("b")), -EIO);
}

/* ---- mbox ---- */

static void check_file(const char *file, const char *expected)
{
	AUTO(buf) b = BUF(1 << 20);

	assert_int_equal(file_read_whole(AT_FDCWD, file, &b), 0);
	assert_str(buf_str(&b), expected);
}

static void write_file(const char *file, const char *text, mode_t mode)
{
	AUTO_FD fd = file_create(AT_FDCWD, file, mode);

	assert_true(fd >= 0 && fchmod(fd, mode) == 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
}

static struct content plain = { .text = STR_INIT("S: x\n\nFrom me\n"), .piece = 1000 };
enum { MBOX = LETTER_QUOTE_FROM | LETTER_EMPTY_LINE };

static void append(const char *file, const struct mailbox_rules *how)
{
	struct letter l = letter_of(&plain);

	mbox_append(&l, file, MBOX, how, NULL, &result);
}

static void expect(enum mailbox_status status, const char *dsn, const char *words)
{
	if (result.status != status || strcmp(result.dsn, dsn) != 0
	    || strstr(buf_text(&result.text), words) == NULL)
		fail_msg("%d %s %s, expected %d %s %s", result.status, result.dsn, buf_text(&result.text),
			 status, dsn, words);
}

static void test_messages_are_appended_to_a_file_and_locks_are_gone_afterwards(void **state)
{
	const char *file = in_top(0, "mbox");
	struct stat st;

	(void) state;
	append(file, &rules);
	expect(MAILBOX_SENT, "2.0.0", "delivered to mailbox");
	append(file, &rules);
	check_file(file, "S: x\n\n>From me\n\nS: x\n\n>From me\n\n");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(access(in_top(1, "mbox.lock"), F_OK), -1);
}

static void test_half_a_message_of_a_killed_writer_does_not_swallow_the_next(void **state)
{
	static const char *const before[] = { "From x\nhalf", "From x\nhalf\n", "From x\n\n", "x" };
	static const char *const between[] = { "\n\n", "\n", "", "\n\n" };
	const char *file = in_top(0, "mbox");
	char expected[100];

	(void) state;
	for (size_t i = 0; i < COUNT_OF(before); i++) {
		write_file(file, before[i], 0600);
		append(file, &rules);
		snprintf(expected, sizeof(expected), "%s%sS: x\n\n>From me\n\n", before[i], between[i]);
		check_file(file, expected);
		unlink(file);
	}
}

static void test_a_failed_append_leaves_the_file_as_it_was(void **state)
{
	const char *file = in_top(0, "mbox");
	struct rlimit limit, small = { 100000, RLIM_INFINITY };
	struct mailbox_rules limited = rules;
	struct content c = { .text = STR("half of it"), .piece = 4, .error = -EIO, .error_at = 8 };
	struct letter l = letter_of(&c);
	AUTO(buf) big = BUF(1 << 20);

	(void) state;
	write_file(file, "old\n\n", 0600);
	mbox_append(&l, file, MBOX, &rules, NULL, &result);
	expect(MAILBOX_DEFERRED, "4.2.0", "error writing message");
	check_file(file, "old\n\n");
	limited.size_limit = 10;
	append(file, &limited);
	expect(MAILBOX_BOUNCED, "5.2.2", "error writing message");
	check_file(file, "old\n\n");
	for (int i = 0; i < 200000; i++)
		buf_add_byte(&big, 'x');
	c = (struct content) { .text = buf_str(&big), .piece = 10000 };
	l.size = big.len;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small.rlim_max = limit.rlim_max;
	sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	mbox_append(&l, file, MBOX, &rules, NULL, &result);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	expect(MAILBOX_BOUNCED, "5.2.2", "error writing message");
	check_file(file, "old\n\n");
}

static void test_of_words_that_are_too_many_the_first_ones_are_said(void **state)
{
	static char words[8000];

	(void) state;
	memset(words, 'x', sizeof(words) - 1);
	mailbox_say(&result, MAILBOX_BOUNCED, "5.3.0", "it said %s", words);
	assert_int_equal(result.text.len, result.text.limit);
	expect(MAILBOX_BOUNCED, "5.3.0", "it said xxx");
}

static void test_what_is_no_mailbox_is_refused(void **state)
{
	const char *file = in_top(0, "mbox"), *other = in_top(1, "other");
	struct mailbox_rules for_lists = rules;

	(void) state;
	write_file(other, "secret\n", 0600);
	assert_int_equal(link(other, file), 0);
	append(file, &rules);
	expect(MAILBOX_BOUNCED, "5.2.0", "multiple hard links");
	unlink(file);
	check_file(other, "secret\n");
	assert_int_equal(mkfifo(file, 0600), 0);
	append(file, &rules);
	expect(MAILBOX_BOUNCED, "5.2.0", "not a regular file");
	unlink(file);
	assert_int_equal(mkdir(file, 0700), 0);
	append(file, &rules);
	expect(MAILBOX_BOUNCED, "5.2.0", "not a regular file");
	rmdir(file);
	write_file(file, "", 0700);
	for_lists.any_file = true;
	append(file, &for_lists);
	expect(MAILBOX_BOUNCED, "5.2.0", "executable");
	append(file, &rules);			/* somebody's mailbox, whatever its mode */
	expect(MAILBOX_SENT, "2.0.0", "delivered");
	for_lists.waits_until_fit = true;
	append(file, &for_lists);
	expect(MAILBOX_DEFERRED, "4.2.0", "executable");
	append("/dev/null", &rules);
	expect(MAILBOX_SENT, "2.0.0", "");
	append(in_top(2, "no/such/directory"), &rules);
	expect(MAILBOX_DEFERRED, "4.2.0", "No such file");
	append("relative", &rules);
	expect(MAILBOX_DEFERRED, "4.2.0", "relative");
}

static void test_own_links_are_followed_and_foreign_ones_are_not(void **state)
{
	const char *file = in_top(0, "mbox"), *other = in_top(1, "other");

	(void) state;
	write_file(other, "", 0600);
	assert_int_equal(symlink("other", file), 0);
	append(file, &rules);
	expect(MAILBOX_SENT, "2.0.0", "");
	check_file(other, "S: x\n\n>From me\n\n");
	unlink(file);
	assert_int_equal(symlink("mbox", file), 0);
	append(file, &rules);
	expect(MAILBOX_DEFERRED, "4.2.0", "Too many levels");
	if (geteuid() != 0)
		return;			/* who else would own the link */
	unlink(file);
	assert_int_equal(symlink("other", file), 0);
	assert_int_equal(lchown(file, 12345, 12345), 0);
	append(file, &rules);
	expect(MAILBOX_DEFERRED, "4.2.0", "belongs to somebody else");
	check_file(other, "S: x\n\n>From me\n\n");
}

/* Somebody else's lock, held by another process until told to go. */
static pid_t hold_lock(const char *file, int go[2])
{
	pid_t pid;
	char c;

	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		int fd = open(file, O_RDWR);
		struct mailbox_rules fcntl_only = rules;

		fcntl_only.locks = LOCK_FCNTL;
		if (fd < 0 || file_lock(fd, &fcntl_only) < 0)
			_exit(1);
		if (write(go[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(go[0], &c, 1), 1);
	return pid;
}

static void test_a_locked_file_is_deferred(void **state)
{
	const char *file = in_top(0, "mbox"), *lock = in_top(1, "mbox.lock");
	struct mailbox_rules stale = rules;
	struct timespec past[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	int go[2], status;
	pid_t pid;

	(void) state;
	write_file(file, "", 0600);
	write_file(lock, "", 0600);
	append(file, &rules);
	expect(MAILBOX_DEFERRED, "4.2.0", "lock file");
	check_file(file, "");
	assert_int_equal(access(lock, F_OK), 0);
	assert_int_equal(utimensat(AT_FDCWD, lock, past, 0), 0);
	stale.stale_lock_ms = -2000;
	append(file, &stale);
	expect(MAILBOX_SENT, "2.0.0", "");
	unlink(file);
	write_file(file, "", 0600);
	pid = hold_lock(file, go);
	append(file, &rules);
	expect(MAILBOX_DEFERRED, "4.2.0", "unable to lock");
	check_file(file, "");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	append(file, &rules);
	expect(MAILBOX_SENT, "2.0.0", "");
	close(go[0]);
	close(go[1]);
}

static void test_kinds_of_locks_are_read(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	unsigned locks;

	(void) state;
	assert_int_equal(mailbox_locks_parse(STR("fcntl, dotlock"), &locks, &why), 0);
	assert_int_equal(locks, LOCK_FCNTL | LOCK_DOTLOCK);
	assert_int_equal(mailbox_locks_parse(STR("flock"), &locks, &why), 0);
	assert_int_equal(locks, LOCK_FLOCK);
	assert_int_equal(mailbox_locks_parse(STR("padlock"), &locks, &why), -EINVAL);
	assert_non_null(strstr(buf_text(&why), "padlock"));
}

/* ---- Maildir ---- */

static int files_in(const char *directory, char name[256])
{
	struct directory *d;
	unsigned char type;
	const char *n;
	int count = 0;

	assert_int_equal(directory_open(AT_FDCWD, directory, &d), 0);
	while (directory_next(d, &n, &type)) {
		snprintf(name, 256, "%s", n);
		count++;
	}
	directory_close(d);
	return count;
}

static void test_a_maildir_is_made_and_gets_one_file_for_each_message(void **state)
{
	struct letter l = letter_of(&plain);
	char name[256], file[512];
	struct stat st;

	(void) state;
	for (int i = 0; i < 3; i++) {
		maildir_add(&l, in_top(0, "dom.example/user/"), &rules, NULL, &result);
		expect(MAILBOX_SENT, "2.0.0", "delivered to maildir");
	}
	assert_int_equal(files_in(in_top(1, "dom.example/user/new"), name), 3);
	assert_int_equal(files_in(in_top(2, "dom.example/user/cur"), (char[256]) { 0 }), 0);
	assert_int_equal(files_in(in_top(2, "dom.example/user/tmp"), (char[256]) { 0 }), 0);
	snprintf(file, sizeof(file), "%s/%s", path[1], name);
	check_file(file, "Return-Path: <\"a b\"@s.example>\nX-Original-To: orig@r.example\nDelivered-To: to@r.example\nS: x\n\nFrom me\n");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_non_null(strstr(name, ".mail.exa\\057mple\\072com"));
	assert_int_equal(stat(in_top(0, "dom.example"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void test_a_failed_message_leaves_nothing_in_a_maildir(void **state)
{
	struct content c = { .text = STR("half of it"), .piece = 4, .error = -EIO, .error_at = 8 };
	struct mailbox_rules limited = rules;
	struct letter l = letter_of(&c);
	char name[256];

	(void) state;
	maildir_add(&l, in_top(0, "Maildir/"), &rules, NULL, &result);
	expect(MAILBOX_DEFERRED, "4.2.0", "maildir delivery failed");
	assert_int_equal(files_in(in_top(1, "Maildir/new"), name), 0);
	assert_int_equal(files_in(in_top(1, "Maildir/tmp"), name), 0);
	limited.size_limit = 5;
	maildir_add(&l, in_top(0, "Maildir/"), &limited, NULL, &result);
	expect(MAILBOX_BOUNCED, "5.2.2", "");
	write_file(in_top(0, "file"), "", 0600);
	maildir_add(&l, in_top(0, "file/"), &rules, NULL, &result);
	expect(MAILBOX_DEFERRED, "4.2.0", "");
	assert_int_equal(mkdir(in_top(0, "bad"), 0700), 0);
	assert_int_equal(symlink("/tmp", in_top(1, "bad/new")), 0);
	maildir_add(&l, path[0], &rules, NULL, &result);
	assert_int_equal(result.status, MAILBOX_DEFERRED);
}

/* ---- several at once ---- */

static int sync_error;

/* In the place of the C library's. */
int fsync(int fd)
{
	if (sync_error != 0) {
		errno = sync_error;
		return -1;
	}
	return (int) syscall(SYS_fsync, fd);
}

enum { LETTERS = 4 };
static struct mailbox_result results[LETTERS];

/* Two letters to one mbox file, one to another, one to a Maildir. */
static struct mailbox_batch *write_batch(void)
{
	struct mailbox_batch *b = mailbox_batch_new();
	struct letter l = letter_of(&plain);

	for (size_t i = 0; i < LETTERS; i++)
		results[i].text = BUF_WORDS;
	assert_int_equal(mbox_append(&l, in_top(0, "one"), MBOX, &rules, b, &results[0]), 0);
	assert_int_equal(mbox_append(&l, in_top(1, "two"), MBOX, &rules, b, &results[1]), 0);
	assert_int_equal(mbox_append(&l, in_top(0, "one"), MBOX, &rules, b, &results[2]), 0);
	assert_int_equal(maildir_add(&l, in_top(2, "Maildir/"), &rules, b, &results[3]), 0);
	return b;
}

static void settle(struct mailbox_batch *b, enum mailbox_status expected)
{
	mailbox_settle(b);
	mailbox_batch_free(b);
	for (size_t i = 0; i < LETTERS; i++) {
		assert_int_equal(results[i].status, expected);
		buf_free(&results[i].text);
	}
}

static void test_letters_of_a_batch_are_there_and_locks_are_held_until_all_are_synced(void **state)
{
	struct mailbox_batch *b = write_batch();
	char name[256];

	(void) state;
	append(path[0], &rules);
	expect(MAILBOX_DEFERRED, "4.2.0", "lock file");
	settle(b, MAILBOX_SENT);
	check_file(path[0], "S: x\n\n>From me\n\nS: x\n\n>From me\n\n");
	check_file(path[1], "S: x\n\n>From me\n\n");
	assert_int_equal(files_in(in_top(3, "Maildir/new"), name), 1);
	append(path[0], &rules);
	expect(MAILBOX_SENT, "2.0.0", "");
	assert_int_equal(access(in_top(3, "two.lock"), F_OK), -1);
}

static void test_a_failed_sync_undoes_every_letter_of_the_file(void **state)
{
	struct mailbox_batch *b;
	char name[256];

	(void) state;
	write_file(in_top(0, "one"), "old\n\n", 0600);
	b = write_batch();
	sync_error = EIO;
	settle(b, MAILBOX_DEFERRED);
	sync_error = 0;
	check_file(path[0], "old\n\n");
	check_file(path[1], "");
	assert_int_equal(files_in(in_top(3, "Maildir/new"), name), 0);
	assert_int_equal(files_in(in_top(3, "Maildir/tmp"), name), 0);
}

static void test_a_letter_that_fails_leaves_the_others_of_its_file_alone(void **state)
{
	struct content c = { .text = STR("half of it"), .piece = 4, .error = -EIO, .error_at = 8 };
	struct mailbox_batch *b = mailbox_batch_new();
	struct letter good = letter_of(&plain), bad = letter_of(&c);
	struct mailbox_result first = { .text = BUF_WORDS };

	(void) state;
	assert_int_equal(mbox_append(&good, in_top(0, "one"), MBOX, &rules, b, &first), 0);
	assert_int_equal(mbox_append(&bad, in_top(0, "one"), MBOX, &rules, b, &result), 0);
	expect(MAILBOX_DEFERRED, "4.2.0", "error writing message");
	mailbox_settle(b);
	mailbox_batch_free(b);
	assert_int_equal(first.status, MAILBOX_SENT);
	check_file(path[0], "S: x\n\n>From me\n\n");
	buf_free(&first.text);
}

static void test_a_batch_waits_for_nobodys_lock(void **state)
{
	struct mailbox_batch *b = mailbox_batch_new();
	struct letter l = letter_of(&plain);
	int go[2], status;
	pid_t pid;

	(void) state;
	write_file(in_top(0, "one"), "", 0600);
	write_file(in_top(1, "one.lock"), "", 0600);
	assert_int_equal(mbox_append(&l, path[0], MBOX, &rules, b, &result), -EBUSY);
	unlink(path[1]);
	pid = hold_lock(path[0], go);
	assert_int_equal(mbox_append(&l, path[0], MBOX, &rules, b, &result), -EBUSY);
	assert_int_equal(access(path[1], F_OK), -1);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	mailbox_batch_free(b);
	check_file(path[0], "");
	close(go[0]);
	close(go[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines_that_look_like_a_message_start_are_quoted_wherever_pieces_end,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_envelope_lines_stand_in_front, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_loop_is_seen_in_the_headers_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_messages_are_appended_to_a_file_and_locks_are_gone_afterwards,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_half_a_message_of_a_killed_writer_does_not_swallow_the_next,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_failed_append_leaves_the_file_as_it_was,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_of_words_that_are_too_many_the_first_ones_are_said,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_no_mailbox_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_own_links_are_followed_and_foreign_ones_are_not,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_locked_file_is_deferred, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_kinds_of_locks_are_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_maildir_is_made_and_gets_one_file_for_each_message,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_failed_message_leaves_nothing_in_a_maildir,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_letters_of_a_batch_are_there_and_locks_are_held_until_all_are_synced,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_failed_sync_undoes_every_letter_of_the_file,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_letter_that_fails_leaves_the_others_of_its_file_alone,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_batch_waits_for_nobodys_lock, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
