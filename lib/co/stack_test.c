/* SPDX-License-Identifier: ISC */
/*
 * Many coroutines, the limits of their stacks, and forked children. Fresh processes come first: the
 * pool is per process.
 */
#include "tests/unit.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/co/loop_for_test.h"
#include "lib/co/sanitizers.h"

#ifdef CO_TSAN
enum { MANY = 5000 };		/* it cannot take more */
#else
enum { MANY = 10000 };
#endif

static int parked_many;

static void park(void *arg)
{
	(void) arg;
	parked_many++;
	assert_int_equal(co_sleep(in(1000000)), -ECANCELED);
	parked_many--;
}

static void ten_thousand(void *unused)
{
	struct scope *s = scope_open("many");

	(void) unused;
	for (int i = 0; i < MANY; i++)
		assert_int_equal(scope_start(s, "parked", park, NULL), 0);
	co_pass();
	co_pass();
	co_pass();
	co_pass();
	assert_int_equal(parked_many, MANY);
	co_sleep(in(1200));			/* long enough for their stacks to be trimmed */
	scope_close(s);
	assert_int_equal(parked_many, 0);
	loop_stop();
}

static void test_ten_thousand_coroutines_park_and_unwind(void **unused)
{
	(void) unused;
	run(ten_thousand);
}

static int recurse(volatile int depth)
{
	volatile char frame[1024];

	frame[0] = (char) depth;
	return depth == 0 ? frame[0] : recurse(depth - 1) + frame[0];
}

#ifndef CO_SANITIZED
static void touch_stack(void *unused)
{
	(void) unused;
	recurse(16);
	co_pass();
}

static long resident_pages(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
	fclose(f);
	return pages;
}

static void start_some(int n)
{
	struct scope *s = scope_open("some");

	for (int i = 0; i < n; i++)
		assert_int_equal(scope_start(s, "touch", touch_stack, NULL), 0);
	scope_wait(s, NEVER);
	scope_close(s);
}

static void after_a_crowd(void *unused)
{
	struct rusage before, after;
	long idle;

	(void) unused;
	start_some(1);
	idle = resident_pages();
	start_some(2000);			/* 8,000 pages */
	assert_true(resident_pages() < idle + 4000);
	getrusage(RUSAGE_SELF, &before);
	for (int i = 0; i < 200; i++)
		start_some(10);			/* another 8,000, if they were not warm */
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_minflt - before.ru_minflt < 2000);
	loop_stop();
}

static void test_after_a_crowd_most_stacks_are_given_back_and_the_next_ones_are_warm(void **unused)
{
	(void) unused;
	if (getenv("POSTROAD_STACK_CENSUS") == NULL)	/* it gives nothing back */
		run(after_a_crowd);
}
#endif

#ifndef CO_SANITIZED	/* a child of theirs reports leaks of the parent's */
/* ---- long waits deep in a stack ---- */

enum { SLEEPERS = 100 };

static size_t pretended_page;		/* 0: the machine's own */
static int woken_well;

long sysconf(int name)
{
	static long (*next)(int);

	if (name == _SC_PAGESIZE && pretended_page != 0)
		return (long) pretended_page;
	if (next == NULL)
		next = (long (*)(int)) (uintptr_t) dlsym(RTLD_NEXT, "sysconf");
	return next(name);
}

/* A kernel gives back whole pages of its own size: the end is rounded up. */
int madvise(void *at, size_t len, int advice)
{
	if (advice == MADV_DONTNEED && pretended_page != 0)
		len = (((uintptr_t) at + len + pretended_page - 1) & ~(pretended_page - 1)) - (uintptr_t) at;
	return (int) syscall(SYS_madvise, at, len, advice);
}

static bool sleep_at(int depth)
{
	volatile char frame[1024];
	bool well;

	for (size_t i = 0; i < sizeof(frame); i++)
		frame[i] = (char) (depth + (int) i);
	well = depth == 0 ? co_sleep(in(1200)) == 0 : sleep_at(depth - 1);
	for (size_t i = 0; i < sizeof(frame); i++)
		well = well && frame[i] == (char) (depth + (int) i);
	return well;
}

static void sleep_deep(void *arg)
{
	woken_well += sleep_at(*(int *) arg);
}

static void deep_sleepers(void *unused)
{
	struct scope *s = scope_open("deep");
	int depths[SLEEPERS];

	(void) unused;
	for (int i = 0; i < SLEEPERS; i++) {
		depths[i] = 3 + i % 50;
		assert_int_equal(scope_start(s, "deep", sleep_deep, &depths[i]), 0);
	}
	scope_wait(s, NEVER);
	scope_close(s);
	loop_stop();
}

static void sleep_child(void)
{
	alarm(60);
	loop_run(deep_sleepers, NULL);
	printf("%d", woken_well);
	fflush(stdout);
}

static void big_pages_child(void)
{
	pretended_page = 64 << 10;
	sleep_child();
}

static int in_child(void (*body)(void), int *ret_signal, char *said, size_t size);

static void assert_all_wake_well(void (*body)(void))
{
	static char said[4096];
	int signal_number;

	in_child(body, &signal_number, said, sizeof(said));
	assert_int_equal(signal_number, 0);
	assert_string_equal(said, "100");
}

static void test_who_waits_for_long_deep_in_a_stack_finds_all_as_it_was(void **unused)
{
	(void) unused;
	assert_all_wake_well(sleep_child);
}

static void test_the_same_where_pages_are_larger(void **unused)
{
	(void) unused;
	assert_all_wake_well(big_pages_child);
}
#endif

static void one_more(void *unused)
{
	struct scope *s = scope_open("limit");
	int started = 0;

	(void) unused;
	while (scope_start(s, "parked", park, NULL) == 0)
		started++;
	assert_true(started >= 60 && started <= 64 + 64);
	scope_close(s);
	assert_int_equal(scope_start(s = scope_open("again"), "parked", park, NULL), 0);
	scope_close(s);
	loop_stop();
}

/* In a child of its own, because the pool is per process. */
static int in_child(void (*body)(void), int *ret_signal, char *said, size_t size)
{
	int out[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		dup2(out[1], STDERR_FILENO);
		dup2(out[1], STDOUT_FILENO);
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		co_after_fork();
		body();
		_exit(0);
	}
	close(out[1]);
	said[0] = 0;
	for (size_t len = 0; len + 1 < size && (n = read(out[0], said + len, size - len - 1)) > 0;)
		said[len += (size_t) n] = 0;
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	*ret_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void limit_child(void)
{
	co_tune(0, 64, 0);
	alarm(20);
	loop_run(one_more, NULL);
}

static void overflow(void *unused)
{
	(void) unused;
	co_describe("mail.example[192.0.2.1]");
	recurse(100000);
	loop_stop();
}

static void overflow_child(void)
{
	alarm(20);
	loop_run(overflow, NULL);
}

static void test_a_stack_overflow_hits_the_guard_and_names_the_coroutine(void **unused)
{
	static char said[16384];
	int signal_number, status = in_child(overflow_child, &signal_number, said, sizeof(said));

	(void) unused;
	assert_non_null(strstr(said, "panic: stack overflow in coroutine main mail.example[192.0.2.1]"));
#ifdef CO_SANITIZED
	assert_true(status > 0 || signal_number != 0);	/* the sanitizer ends it in its own way */
#else
	assert_int_equal(status, -1);
	assert_int_equal(signal_number, SIGSEGV);
#endif
}

static void test_no_more_coroutines_than_allowed(void **unused)
{
	static char said[4096];
	int signal_number, status;

	(void) unused;
#ifndef CO_SANITIZED	/* the child inherits the parent's pool, and leak reports about it */
	status = in_child(limit_child, &signal_number, said, sizeof(said));
	assert_string_equal(said, "");
	assert_int_equal(status, 0);
#else
	(void) signal_number, (void) status, (void) said, (void) limit_child;
#endif
}

static void census_row(const char *name, size_t deepest, size_t size)
{
	printf("%s %zu %zu\n", name, deepest, size);
}

static void deep_body(void *unused)
{
	(void) unused;
	recurse(20);
	loop_stop();
}

static void census_child(void)
{
	alarm(20);
	loop_run(deep_body, NULL);
	co_census(census_row);
	fflush(stdout);
}

static void test_the_census_tells_how_deep_a_stack_was_used(void **unused)
{
	static char said[4096];
	int signal_number;
	unsigned long deepest, size;

	(void) unused;
	/* a fresh process: whether the census is on is decided once */
	in_child(census_child, &signal_number, said, sizeof(said));
	assert_int_equal(signal_number, 0);
	if (getenv("POSTROAD_STACK_CENSUS") == NULL) {
		assert_null(strstr(said, "main "));
		return;
	}
	assert_int_equal(sscanf(strstr(said, "main "), "main %lu %lu", &deepest, &size), 2);
	assert_true(deepest > 20 * 1024 && deepest < size);
}

static int pair[2];

static void make_pair(void)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
}

static void close_pair(void)
{
	for (int i = 0; i < 2; i++) {
		co_forget_fd(pair[i]);
		close(pair[i]);
	}
}

static int square(void *arg)
{
	int n = *(int *) arg;

	usleep(2000);
	return n * n;
}

static void forked_body(void *unused)
{
	int status;
	pid_t pid;

	(void) unused;
	make_pair();
	assert_int_equal(co_offload(square, &(int){ 3 }), 9);
	assert_int_equal(co_wait_fd(pair[0], POLLIN, in(1)), -ETIMEDOUT);
	pid = fork();
	if (pid == 0) {
		co_after_fork();
		alarm(10);
		if (co_self() != NULL || co_wait_fd(pair[0], POLLIN, in(5)) != -ETIMEDOUT)
			_exit(1);
		_exit(co_offload(square, &(int){ 3 }) == 9 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* and the parent's loop is unharmed */
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(co_wait_fd(pair[0], POLLIN, in(1000)), POLLIN);
	close_pair();
	loop_stop();
}

static void test_a_forked_child_goes_on_without_the_loop(void **unused)
{
	(void) unused;
	run(forked_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_more_coroutines_than_allowed),
#ifndef CO_SANITIZED
		cmocka_unit_test(test_who_waits_for_long_deep_in_a_stack_finds_all_as_it_was),
		cmocka_unit_test(test_the_same_where_pages_are_larger),
#endif
		cmocka_unit_test(test_the_census_tells_how_deep_a_stack_was_used),
		cmocka_unit_test(test_ten_thousand_coroutines_park_and_unwind),
#ifndef CO_SANITIZED
		cmocka_unit_test(test_after_a_crowd_most_stacks_are_given_back_and_the_next_ones_are_warm),
#endif
		cmocka_unit_test(test_a_stack_overflow_hits_the_guard_and_names_the_coroutine),
		cmocka_unit_test(test_a_forked_child_goes_on_without_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
