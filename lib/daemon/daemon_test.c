/* SPDX-License-Identifier: ISC */
/* The parts of the skeleton that can be tried alone; tests/system/test_master.py tries the whole. */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/daemon/instance.h"
#include "lib/daemon/private.h"
#include "tests/scratch.h"

/* ---- command lines ---- */

static struct daemon_options parsed(char *const *words)
{
	struct daemon_options o;
	int n = 0;

	while (words[n] != NULL)
		n++;
	options_parse(n, (char **) (uintptr_t) words, &o);
	return o;
}

static void test_a_command_line_of_master(void **unused)
{
	char *words[] = { (char *) "pipe", (char *) "-n", (char *) "maildrop", (char *) "-t",
			  (char *) "unix", (char *) "-s2", (char *) "-m7", (char *) "-w4",
			  (char *) "-u", (char *) "-r", (char *) "-o", (char *) "a=b", (char *) "-o",
			  (char *) "{ c = d }", (char *) "flags=DR",
			  (char *) "argv=/bin/x", (char *) "-d", (char *) "${recipient}", NULL };
	struct daemon_options o = parsed(words);

	(void) unused;
	assert_string_equal(o.service, "maildrop");
	assert_int_equal(o.type, SERVICE_UNIX);
	assert_int_equal(o.listeners, 2);
	assert_int_equal(o.session_limit, 7);
	assert_int_equal(o.workers, 4);
	assert_true(o.unprivileged && o.chroot && !o.foreground);
	assert_int_equal(o.override_count, 2);
	assert_string_equal(o.overrides[1], "{ c = d }");
	/* the program's own words are not options, whatever they look like */
	assert_string_equal(o.rest[0], "flags=DR");
	assert_string_equal(o.rest[2], "-d");
	free(o.overrides);
}

static void test_a_command_line_of_a_person(void **unused)
{
	char *words[] = { (char *) "smtpd", (char *) "-d", (char *) "-c", (char *) "/etc/x", (char *) "-v",
			  (char *) "127.0.0.1:2525", NULL };
	struct daemon_options o = parsed(words);

	(void) unused;
	assert_true(o.foreground);
	assert_string_equal(o.config_dir, "/etc/x");
	assert_int_equal(o.verbose, 1);
	assert_string_equal(o.rest[0], "127.0.0.1:2525");
	free(o.overrides);
}

/* The exit status of a child that parses these words. */
static int status_of(char *const *words)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		parsed(words);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void test_nonsense_is_refused(void **unused)
{
	char *alone[] = { (char *) "smtpd", NULL };
	char *no_listener[] = { (char *) "smtpd", (char *) "-n", (char *) "smtp", NULL };
	char *bad_type[] = { (char *) "smtpd", (char *) "-n", (char *) "smtp", (char *) "-t",
			     (char *) "carrier", (char *) "-s1", NULL };
	char *bad_count[] = { (char *) "smtpd", (char *) "-n", (char *) "smtp", (char *) "-s65", NULL };

	(void) unused;
	assert_int_equal(status_of(alone), EX_USAGE);
	assert_int_equal(status_of(no_listener), EX_USAGE);
	assert_int_equal(status_of(bad_type), EX_USAGE);
	assert_int_equal(status_of(bad_count), EX_USAGE);
}

/* ---- environment ---- */

static void test_only_named_variables_stay(void **unused)
{
	(void) unused;
	setenv("KEEP_ME", "kept", 1);
	setenv("LD_PRELOAD_", "evil", 1);
	setenv("IFS", "x", 1);
	setenv("LANG", "de_DE", 1);
	clean_environment("KEEP_ME, LANG=C ABSENT { GREETING = hi, all {of you} } EQUAL=a=b");
	assert_string_equal(getenv("KEEP_ME"), "kept");
	assert_string_equal(getenv("LANG"), "C");
	assert_string_equal(getenv("GREETING"), "hi, all {of you}");
	assert_string_equal(getenv("EQUAL"), "a=b");
	assert_null(getenv("LD_PRELOAD_"));
	assert_null(getenv("IFS"));
	assert_null(getenv("ABSENT"));
	assert_non_null(getenv("PATH"));
}

static void test_closed_standard_descriptors_are_not_given_to_files(void **unused)
{
	int status;
	pid_t pid = fork();

	(void) unused;
	if (pid == 0) {
		close(0);
		close(2);
		stand_on_three_descriptors();
		_exit(fcntl(0, F_GETFD) >= 0 && fcntl(2, F_GETFD) >= 0
		      && open("/dev/null", O_RDONLY) > 2 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- triggers ---- */

static int wakes;

static void wake(void)
{
	wakes++;
}

/*
 * What is left to read after the triggers were taken off; *ret_serve says whether there may be
 * something to serve.
 */
static const char *left_of(const char *bytes, size_t len, bool *ret_serve)
{
	static char left[100];
	int pair[2];
	ssize_t n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(send(pair[0], bytes, len, 0), len);
	shutdown(pair[0], SHUT_WR);
	wakes = 0;
	*ret_serve = take_triggers(pair[1], wake, in(1000));
	n = read(pair[1], left, sizeof(left) - 1);
	left[MAX(n, (ssize_t) 0)] = 0;
	close(pair[0]);
	close(pair[1]);
	return left;
}

#define FRAME "\0\0\0\x0c\0\0\0\0\6wakeup"

static void test_triggers_are_taken_off(void **unused)
{
	bool serve;

	(void) unused;
	assert_int_equal(sizeof(FRAME), 16);
	assert_string_equal(left_of("W", 1, &serve), "");
	assert_int_equal(wakes, 1);
	assert_false(serve);
	assert_string_equal(left_of("WWWW", 4, &serve), "");
	assert_int_equal(wakes, 1);
	assert_string_equal(left_of(FRAME, 16, &serve), "");
	assert_int_equal(wakes, 1);
	assert_false(serve);
	assert_string_equal(left_of(FRAME "\0" "x", 17, &serve), "x");
	assert_int_equal(wakes, 1);
	assert_true(serve);
	assert_string_equal(left_of("hello", 5, &serve), "hello");
	assert_int_equal(wakes, 0);
	assert_true(serve);
	left_of(FRAME, 10, &serve);	/* half of one */
	assert_int_equal(wakes, 0);
	left_of("", 0, &serve);
	assert_int_equal(wakes, 0);
	assert_false(serve);
}

/* ---- accounts ---- */

static void test_accounts_that_exist_and_that_do_not(void **unused)
{
	struct arena *a = arena_new("accounts", NULL, 1 << 20);
	struct account by_name, by_uid;
	gid_t gid;

	(void) unused;
	assert_int_equal(account_by_name(a, STR("daemon"), &by_name), 1);
	assert_int_equal(account_by_uid(a, by_name.uid, &by_uid), 1);
	assert_str(by_uid.name, "daemon");
	assert_true(by_uid.home.len > 0 && by_uid.home.at[0] == '/');
	assert_int_equal(account_by_name(a, STR("no-such-user-here"), &by_name), 0);
	assert_int_equal(account_by_name(a, STR(""), &by_name), 0);
	assert_int_equal(account_by_name(a, STR("root:x"), &by_name), 0);
	assert_int_equal(account_by_name(a, STR("../root"), &by_name), 0);
	assert_int_equal(account_by_name(a, STR("ro\0ot"), &by_name), 0);
	assert_int_equal(account_by_uid(a, 0x7ffffff0, &by_uid), 0);
	assert_int_equal(group_by_name(STR("daemon"), &gid), 1);
	assert_int_equal(group_by_name(STR("no-such-group-here"), &gid), 0);
	arena_free(a);
}

/* ---- locks and directories ---- */

static char top[SCRATCH_PATH];
static char queue[100], data[100], etc[100];

static struct common_conf common(void)
{
	struct common_conf c = { .queue_directory = queue, .data_directory = data,
				 .daemon_directory = "/usr/sbin", .command_directory = "/usr/sbin",
				 .mail_owner = "daemon", .setgid_group = "daemon" };

	return c;
}

static struct instance_ids own_ids(void)
{
	return (struct instance_ids){ .is_root = false, .owner_uid = geteuid(), .owner_gid = getegid(),
				      .setgid_gid = getegid() };
}

static char reported[8192];

static void note(void *arg, bool fatal, const char *text)
{
	(void) arg;
	snprintf(reported + strlen(reported), sizeof(reported) - strlen(reported), "%s%s\n",
		 fatal ? "FATAL " : "", text);
}

static int make_top(void **unused)
{
	(void) unused;
	scratch_directory(top);
	snprintf(queue, sizeof(queue), "%s/queue", top);
	snprintf(data, sizeof(data), "%s/data", top);
	snprintf(etc, sizeof(etc), "%s/etc", top);
	if (mkdir(queue, 0755) < 0 || mkdir(data, 0700) < 0 || mkdir(etc, 0755) < 0)
		return -1;
	for (int i = 0; i < 2; i++) {
		char path[200];
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", etc, i == 0 ? "main.cf" : "master.cf");
		f = fopen(path, "w");
		if (f == NULL || fclose(f) != 0 || chmod(path, 0644) < 0)
			return -1;
	}
	return 0;
}

static int remove_top(void **unused)
{
	(void) unused;
	scratch_remove(top);
	return 0;
}

static int mode_of(const char *name)
{
	char path[200];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", queue, name);
	return stat(path, &st) < 0 ? -1 : (int) (st.st_mode & 07777);
}

static void test_directories_are_made_and_pass_their_own_check(void **unused)
{
	struct common_conf c = common();
	struct instance_ids ids = own_ids();
	char path[200];

	(void) unused;
	umask(077);
	assert_int_equal(layout_create(&c, &ids, note, NULL), 0);
	assert_int_equal(mode_of("incoming"), 0700);
	assert_int_equal(mode_of("public"), 0710);
	assert_int_equal(mode_of("maildrop"), 0730);
	assert_int_equal(layout_create(&c, &ids, note, NULL), 0);	/* again changes nothing */
	reported[0] = 0;
	assert_int_equal(layout_check(&c, etc, &ids, true, note, NULL), 0);
	snprintf(path, sizeof(path), "%s/private", queue);
	chmod(path, 0755);
	reported[0] = 0;
	assert_int_equal(layout_check(&c, etc, &ids, true, note, NULL), 1);
	assert_non_null(strstr(reported, "private: mode is 755, should be 700"));
	chmod(path, 0700);
	snprintf(path, sizeof(path), "%s/hold/pipe", queue);
	assert_int_equal(mkfifo(path, 0600), 0);
	reported[0] = 0;
	assert_int_equal(layout_check(&c, etc, &ids, true, note, NULL), 0);
	assert_non_null(strstr(reported, "hold/pipe: not a regular file"));
	reported[0] = 0;
	layout_check(&c, etc, &ids, false, note, NULL);
	assert_null(strstr(reported, "hold/pipe"));
}

/* "kill $(cat pid/master.pid)" means one process. */
static void assert_names_nobody_else(pid_t pid)
{
	char path[600], text[100] = "", wanted[20];
	FILE *f;

	snprintf(path, sizeof(path), "%s/pid/master.pid", queue);
	snprintf(wanted, sizeof(wanted), "%d\n", (int) pid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	fclose(f);
	assert_string_equal(text, wanted);
}

static void test_the_lock_tells_who_runs_and_ends_with_it(void **unused)
{
	struct common_conf c = common();
	AUTO(buf) why = BUF_WORDS, reason = BUF_WORDS;
	struct instance_state state;
	int ready[2], release[2], status;
	pid_t holder, other;
	char byte;

	(void) unused;
	assert_int_equal(instance_running(&c, &state, &why), 0);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(release), 0);
	holder = fork();
	if (holder == 0) {
		if (instance_lock(&c, &other, &why) < 0)
			_exit(1);
		instance_note_reload(true, "a reason that is longer than the next one");
		instance_note_reload(false, "");
		instance_note_reload(true, "the reason");
		(void) !write(ready[1], "x", 1);
		close(release[1]);
		(void) !read(release[0], &byte, 1);
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(instance_running(&c, &state, &why), 1);
	assert_int_equal(state.pid, holder);
	assert_names_nobody_else(holder);
	assert_int_equal(state.reloads, 3);
	assert_true(state.last_failed);
	instance_reload_words(&c, &reason);
	assert_string_equal(buf_text(&reason), "the reason");
	assert_int_equal(instance_lock(&c, &other, &why), -EAGAIN);
	assert_int_equal(other, holder);
	close(release[1]);
	assert_int_equal(waitpid(holder, &status, 0), holder);
	assert_int_equal(status, 0);
	/* the file is still there and names a number */
	assert_int_equal(instance_running(&c, &state, &why), 0);
	close(ready[0]);
	close(release[0]);
}

/* Without room for the outcome nobody waits for it; what fails here is the size that a file may have. */
static void test_what_becomes_of_a_reload_is_unknown_when_it_cannot_be_written_down(void **unused)
{
	static const struct rlimit no_room = { 0, 0 };
	struct common_conf c = common();
	AUTO(buf) why = BUF_WORDS;
	struct instance_state state;
	pid_t master, other;
	int status;

	(void) unused;
	master = fork();
	if (master == 0) {
		signal(SIGXFSZ, SIG_IGN);
		if (instance_lock(&c, &other, &why) < 0)
			_exit(1);
		if (instance_running(&c, &state, &why) != 1 || state.reloads != 0)
			_exit(2);
		setrlimit(RLIMIT_FSIZE, &no_room);
		instance_note_reload(true, "the reason");
		_exit(instance_running(&c, &state, &why) == 1 && state.reloads == RELOADS_UNKNOWN ? 0 : 3);
	}
	assert_int_equal(waitpid(master, &status, 0), master);
	assert_int_equal(status, 0);
}

static void test_who_may_only_read_the_lock_file_keeps_nobody_from_starting(void **unused)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	struct common_conf c = common();
	AUTO(buf) why = BUF_WORDS;
	struct instance_state state;
	char path[600];
	AUTO_FD fd = -1;
	pid_t master, other;
	int status;

	(void) unused;
	snprintf(path, sizeof(path), "%s/pid/master.pid", queue);
	fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(instance_running(&c, &state, &why), 0);
	master = fork();
	if (master == 0) {
		close(fd);
		if (instance_lock(&c, &other, &why) < 0)
			_exit(1);
		_exit(instance_running(&c, &state, &why) == 1 && state.pid == getpid() ? 0 : 2);
	}
	assert_int_equal(waitpid(master, &status, 0), master);
	assert_int_equal(status, 0);
}

/* Of two that start at once: else nobody would find the one that runs. */
static void test_who_does_not_get_both_locks_leaves_the_number_of_the_other(void **unused)
{
	struct flock reading = { .l_type = F_RDLCK, .l_whence = SEEK_SET },
		     writing = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct common_conf c = common();
	AUTO(buf) why = BUF_WORDS;
	struct stat before, after;
	char path[600];
	AUTO_FD pid_file = -1;
	AUTO_FD lock_file = -1;
	pid_t late, other;
	int status;

	(void) unused;
	snprintf(path, sizeof(path), "%s/master.lock", c.data_directory);
	lock_file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	snprintf(path, sizeof(path), "%s/pid/master.pid", queue);
	pid_file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(fcntl(lock_file, F_OFD_SETLK, &writing), 0);
	assert_int_equal(fcntl(pid_file, F_OFD_SETLK, &reading), 0);
	late = fork();
	if (late == 0)
		_exit(instance_lock(&c, &other, &why) == -EBUSY ? 0 : 1);
	assert_int_equal(waitpid(late, &status, 0), late);
	assert_int_equal(status, 0);
	assert_int_equal(fstat(pid_file, &before), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_command_line_of_master),
		cmocka_unit_test(test_a_command_line_of_a_person),
		cmocka_unit_test(test_nonsense_is_refused),
		cmocka_unit_test(test_only_named_variables_stay),
		cmocka_unit_test(test_closed_standard_descriptors_are_not_given_to_files),
		cmocka_unit_test(test_triggers_are_taken_off),
		cmocka_unit_test(test_accounts_that_exist_and_that_do_not),
		cmocka_unit_test(test_directories_are_made_and_pass_their_own_check),
		cmocka_unit_test(test_the_lock_tells_who_runs_and_ends_with_it),
		cmocka_unit_test(test_what_becomes_of_a_reload_is_unknown_when_it_cannot_be_written_down),
		cmocka_unit_test(test_who_may_only_read_the_lock_file_keeps_nobody_from_starting),
		cmocka_unit_test(test_who_does_not_get_both_locks_leaves_the_number_of_the_other),
	};

	return cmocka_run_group_tests(tests, make_top, remove_top);
}
