/* SPDX-License-Identifier: ISC */
/* The log against a datagram socket of the test's own, as syslogd or postlogd would hold it. */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/co/co.h"
#include "lib/log/log.h"

static char directory[] = "/tmp/log-test-XXXXXX", path[100];
static int receiver = -1;

static void receive_at(const char *at)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (receiver >= 0)
		close(receiver);
	unlink(at);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", at);
	receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(receiver, (struct sockaddr *) &address, sizeof(address)), 0);
}

static int set_up(void **unused)
{
	(void) unused;
	setenv("TZ", "UTC", 1);
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/log", directory);
	receive_at(path);
	clock_set_for_test(INT64_C(1795299490000000), -1);	/* Sat Nov 21 22:18:10 2026 */
	return 0;
}

static int tear_down(void **unused)
{
	(void) unused;
	close(receiver);
	unlink(path);
	rmdir(directory);
	return 0;
}

/* The next datagram, or "" when there is none. */
static const char *received(void)
{
	static char text[70000];
	ssize_t n = recv(receiver, text, sizeof(text) - 1, 0);

	text[MAX(n, 0)] = 0;
	return text;
}

static void expect(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void expect(const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	assert_string_equal(received(), text);
}

static void test_a_line_has_priority_date_tag_pid_and_severity(void **unused)
{
	const char *at = "Nov 21 22:18:10 postroad/smtpd";
	int pid = getpid();

	(void) unused;
	log_open("postroad/smtpd", LOG_TO_SYSLOG, path);
	log_info("connect from %s[%s]", "a.example", "192.0.2.1");
	expect("<22>%s[%d]: connect from a.example[192.0.2.1]", at, pid);
	log_warning("odd");
	expect("<20>%s[%d]: warning: odd", at, pid);
	log_error("bad");
	expect("<19>%s[%d]: error: bad", at, pid);
	log_mail(ROAD_INFO, STR("4XyZ"), "to=<%s>", "x@y");
	expect("<22>%s[%d]: 4XyZ: to=<x@y>", at, pid);
	log_mail(ROAD_WARNING, STR("4XyZ"), "hm");
	expect("<20>%s[%d]: warning: 4XyZ: hm", at, pid);
	log_debug("not shown");
	assert_string_equal(received(), "");
	log_verbose(1);
	log_debug("shown");
	expect("<23>%s[%d]: shown", at, pid);
	log_verbose(0);
}

static void test_the_facility_can_be_chosen(void **unused)
{
	(void) unused;
	assert_int_equal(log_facility("nosuch"), -EINVAL);
	assert_int_equal(log_facility("local3"), 0);
	log_open("t", LOG_TO_SYSLOG, path);
	log_info("x");
	expect("<158>Nov 21 22:18:10 t[%d]: x", (int) getpid());
	assert_int_equal(log_facility("mail"), 0);
}

static void test_what_comes_from_outside_cannot_forge_lines(void **unused)
{
	int pid = getpid();

	(void) unused;
	log_open("t", LOG_TO_SYSLOG, path);
	log_info("a\r\nb\tc\033[1m\x7f %s", "gr\xc3\xbc\xc3\x9f");
	expect("<22>Nov 21 22:18:10 t[%d]: a??b?c?[1m? gr\xc3\xbc\xc3\x9f", pid);
	log_info("bad \xff utf8");
	expect("<22>Nov 21 22:18:10 t[%d]: bad ? utf8", pid);
	log_mail(ROAD_INFO, STR("A\nB"), "x");
	expect("<22>Nov 21 22:18:10 t[%d]: A?B: x", pid);
}

static void test_a_long_line_is_cut(void **unused)
{
	static char big[20000];

	(void) unused;
	memset(big, 'x', sizeof(big) - 1);
	log_open("t", LOG_TO_SYSLOG, path);
	log_info("%s", big);
	assert_in_range(strlen(received()), 8192, 8192 + 100);
	log_info("%.3000s.", big);
	assert_in_range(strlen(received()), 3001, 3100);
}

static void log_in_loop(void *unused)
{
	(void) unused;
	log_info("one");
	log_info("two");
	log_warning("three");
	assert_string_equal(received(), "");	/* gathered */
	co_pass();
	loop_stop();
}

static void test_lines_of_a_turn_go_out_together_and_in_order(void **unused)
{
	const char *all;
	char host[100] = "";

	(void) unused;
	gethostname(host, sizeof(host) - 1);
	host[strcspn(host, ".")] = 0;
	log_open("postroad/qmgr", LOG_TO_POSTLOG, path);
	loop_run(log_in_loop, NULL);
	all = received();		/* postlog: one datagram of whole lines */
	assert_int_equal(strncmp(all, "Nov 21 22:18:10 ", 16), 0);
	assert_int_equal(strncmp(all + 16, host, strlen(host)), 0);
	assert_non_null(strstr(all, "]: one\nNov 21 22:18:10 "));
	assert_non_null(strstr(all, "]: two\nNov 21 22:18:10 "));
	assert_string_equal(strstr(all, "]: warning: three"), "]: warning: three\n");

	log_open("t", LOG_TO_SYSLOG, path);
	loop_run(log_in_loop, NULL);
	expect("<22>Nov 21 22:18:10 t[%d]: one", (int) getpid());
	expect("<22>Nov 21 22:18:10 t[%d]: two", (int) getpid());
	expect("<20>Nov 21 22:18:10 t[%d]: warning: three", (int) getpid());
}

static void test_a_receiver_that_was_restarted_is_found_again(void **unused)
{
	(void) unused;
	log_open("t", LOG_TO_SYSLOG, path);
	log_info("before");
	expect("<22>Nov 21 22:18:10 t[%d]: before", (int) getpid());
	receive_at(path);
	log_info("after");
	expect("<22>Nov 21 22:18:10 t[%d]: after", (int) getpid());
}

enum { FLOOD = 2000 };

static int flooded;

static void count_floods(const char *text)
{
	const char *number;

	while ((number = strstr(text, "flood ")) != NULL) {
		assert_int_equal(strtol(number + 6, NULL, 10), flooded);
		flooded++;
		text = number + 1;
	}
}

/* All that the socket holds, which is little beside a flood, and then nothing for a moment. */
static void drain(void *unused)
{
	const char *text;

	(void) unused;
	while (!co_is_cancelled()) {
		while ((text = received())[0] != 0)
			count_floods(text);
		co_sleep(in(1));
	}
}

static void flood(void *unused)
{
	struct scope *scope = scope_open("drain");

	(void) unused;
	flooded = 0;
	for (int i = 0; i < FLOOD; i++)
		log_info("flood %d", i);
	scope_start(scope, "drain", drain, NULL);
	for (int i = 0; i < 5000 && flooded < FLOOD; i++)
		co_sleep(in(2));
	scope_close(scope);
	loop_stop();
}

static void test_a_slow_receiver_gets_every_line_in_order(void **unused)
{
	(void) unused;
	clock_set_for_test(-1, -1);
	log_open("t", LOG_TO_SYSLOG, path);
	alarm(60);
	loop_run(flood, NULL);
	alarm(0);
	assert_int_equal(flooded, FLOOD);
	clock_set_for_test(INT64_C(1795299490000000), -1);
}

static void stuck(void *unused)
{
	static char big[1000];

	(void) unused;
	memset(big, 'x', sizeof(big) - 1);
	for (int i = 0; i < 1000; i++)
		log_info("%s", big);
	co_sleep(in(10));
	while (received()[0] != 0)
		co_sleep(in(1));
	log_info("at last");
	co_sleep(in(20));
	loop_stop();
}

static void test_lines_beyond_the_limit_are_dropped_and_counted(void **unused)
{
	bool counted = false;
	const char *text;

	(void) unused;
	clock_set_for_test(-1, -1);
	log_open("t", LOG_TO_SYSLOG, path);
	alarm(60);
	loop_run(stuck, NULL);
	alarm(0);
	while ((text = received())[0] != 0) {
		counted = counted || strstr(text, "log lines were dropped") != NULL;
		if (strstr(text, "at last") != NULL)
			break;
	}
	assert_true(counted);
	clock_set_for_test(INT64_C(1795299490000000), -1);
}

/* Until the kernel keeps no more for it: that is ten datagrams, or 512 where systemd has started the machine. */
static void fill_receiver(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	bool is_full = false;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	while (!is_full) {
		int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof(address)), 0);
		for (is_full = true; send(fd, "x", 1, 0) == 1; is_full = false)
			;		/* as much as one sender may have there */
		close(fd);
	}
}

static void test_outside_the_loop_a_stuck_receiver_costs_lines_but_little_time(void **unused)
{
	int64_t before;
	bool counted = false;
	const char *text;

	(void) unused;
	clock_set_for_test(-1, -1);
	before = mono_ms();
	log_open("t", LOG_TO_SYSLOG, path);
	fill_receiver();
	for (int i = 0; i < 400; i++)
		log_info("line %d", i);
	assert_true(mono_ms() - before < 5000);
	while (received()[0] != 0)
		;
	log_info("at last");
	while ((text = received())[0] != 0)
		counted = counted || strstr(text, "log lines were dropped") != NULL;
	assert_true(counted);
	clock_set_for_test(INT64_C(1795299490000000), -1);
}

static void test_a_rare_warning_says_how_many_were_left_out(void **unused)
{
	(void) unused;
	log_open("t", LOG_TO_SYSLOG, path);
	for (int i = 0; i < 8; i++) {
		if (i == 5)
			clock_set_for_test(INT64_C(1795299490000000), (mono_ms() + 61000) * 1000);
		log_warning_rarely(60, "again");
	}
	expect("<20>Nov 21 22:18:10 t[%d]: warning: again", (int) getpid());
	expect("<20>Nov 21 22:18:10 t[%d]: warning: the next warning was left out 4 times", (int) getpid());
	expect("<20>Nov 21 22:18:10 t[%d]: warning: again", (int) getpid());
	assert_string_equal(received(), "");
	clock_set_for_test(INT64_C(1795299490000000), -1);
}

/* ---- how a process ends, and stderr ---- */

static int overflow_depth(volatile int depth)
{
	volatile char frame[1024];

	frame[0] = (char) depth;
	return depth == 0 ? frame[0] : overflow_depth(depth - 1) + frame[0];
}

static void overflow(void *unused)
{
	(void) unused;
	overflow_depth(100000);
}

static void end_by(const char *how)
{
	int status, null;
	pid_t pid = fork();

	if (pid == 0) {
		co_after_fork();
		signal(SIGABRT, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		alarm(20);
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(null, STDERR_FILENO);
		if (strcmp(how, "die") == 0)
			die(EX_CONFIG, "no %s", "way");
		if (strcmp(how, "overflow") == 0)
			loop_run(overflow, NULL);
		BUG("odd %d", 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (strcmp(how, "die") == 0)
		assert_int_equal(WEXITSTATUS(status), EX_CONFIG);
	else
		assert_int_not_equal(status, 0);
}

static void test_last_words_reach_the_log(void **unused)
{
	const char *text;

	(void) unused;
	log_open("t", LOG_TO_SYSLOG, path);
	end_by("die");
	text = received();
	assert_int_equal(strncmp(text, "<18>", 4), 0);
	assert_string_equal(strstr(text, "]: ") + 3, "fatal: no way");
	end_by("bug");
	assert_non_null(strstr(received(), "panic: "));
	end_by("overflow");
	assert_non_null(strstr(received(), "panic: stack overflow in coroutine main"));
}

static void test_commands_say_their_name_on_stderr_and_a_missing_log_falls_back_to_it(void **unused)
{
	int ends[2], saved = dup(STDERR_FILENO);
	char text[300];
	ssize_t n;

	(void) unused;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	dup2(ends[1], STDERR_FILENO);
	log_open("postroad/sendmail", LOG_TO_STDERR, NULL);
	log_warning("hello");
	log_open("postroad/sendmail", LOG_TO_SYSLOG, path);
	log_also_stderr(true);
	log_info("both");
	log_also_stderr(false);
	log_open("postroad/sendmail", LOG_TO_POSTLOG, "/nonexistent/postlog");
	dup2(saved, STDERR_FILENO);
	close(saved);
	n = read(ends[0], text, sizeof(text));
	close(ends[0]);
	close(ends[1]);
	assert_true(n > 0);
	assert_str(str_make(text, (size_t) n), "sendmail: warning: hello\nsendmail: both\n"
		"sendmail: warning: no log at /nonexistent/postlog: No such file or directory\n");
	expect("<22>Nov 21 22:18:10 postroad/sendmail[%d]: both", (int) getpid());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line_has_priority_date_tag_pid_and_severity),
		cmocka_unit_test(test_the_facility_can_be_chosen),
		cmocka_unit_test(test_what_comes_from_outside_cannot_forge_lines),
		cmocka_unit_test(test_a_long_line_is_cut),
		cmocka_unit_test(test_lines_of_a_turn_go_out_together_and_in_order),
		cmocka_unit_test(test_a_receiver_that_was_restarted_is_found_again),
		cmocka_unit_test(test_a_slow_receiver_gets_every_line_in_order),
		cmocka_unit_test(test_lines_beyond_the_limit_are_dropped_and_counted),
		cmocka_unit_test(test_outside_the_loop_a_stuck_receiver_costs_lines_but_little_time),
		cmocka_unit_test(test_a_rare_warning_says_how_many_were_left_out),
		cmocka_unit_test(test_last_words_reach_the_log),
		cmocka_unit_test(test_commands_say_their_name_on_stderr_and_a_missing_log_falls_back_to_it),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
