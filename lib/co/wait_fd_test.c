/* SPDX-License-Identifier: ISC */
/* Waiting for descriptors. */
#include "tests/unit.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/co/loop_for_test.h"

static int pair[2];

static void read_ten(void *arg)
{
	char c;

	(void) arg;
	for (int n = 0; n < 10;) {
		ssize_t got = read(pair[0], &c, 1);

		if (got == 1) {
			note(c);
			n++;
		} else {
			assert_int_equal(errno, EAGAIN);
			assert_int_equal(co_wait_fd(pair[0], POLLIN, in(5000)), POLLIN);
		}
	}
}

static void write_ten(void *arg)
{
	(void) arg;
	for (int i = 0; i < 10; i++) {
		char c = (char) ('0' + i);

		assert_int_equal(write(pair[1], &c, 1), 1);
		if (i % 3 == 0)
			co_sleep(in(1));
		else if (i % 3 == 1)
			co_pass();
	}
}

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

static void talk(void *unused)
{
	struct scope *s = scope_open("talk");

	(void) unused;
	make_pair();
	scope_start(s, "reader", read_ten, NULL);
	scope_start(s, "writer", write_ten, NULL);
	assert_int_equal(scope_wait(s, in(5000)), 0);
	scope_close(s);
	close_pair();
	loop_stop();
}

static void test_no_edge_is_lost_between_reader_and_writer(void **unused)
{
	(void) unused;
	run(talk);
	assert_string_equal(trace, "0123456789");
}

static void edge_before_wait(void *unused)
{
	char c;

	(void) unused;
	make_pair();
	assert_int_equal(co_wait_fd(pair[0], POLLIN, in(1)), -ETIMEDOUT);	/* registers */
	assert_int_equal(write(pair[1], "x", 1), 1);
	/* the edge comes while nobody waits */
	co_sleep(in(5));
	assert_int_equal(co_wait_fd(pair[0], POLLIN, in(1000)), POLLIN);
	assert_int_equal(read(pair[0], &c, 1), 1);
	assert_int_equal(co_wait_fd(pair[0], POLLIN, in(1)), -ETIMEDOUT);
	assert_int_equal(co_wait_fd(pair[0], POLLOUT, in(1)), POLLOUT);
	assert_int_equal(co_wait_fd(pair[0], POLLIN, mono_ms() - 1), -ETIMEDOUT);
	assert_int_equal(co_wait_fd(pair[0], POLLOUT, mono_ms() - 1), POLLOUT);
	shutdown(pair[1], SHUT_WR);
	assert_int_equal(co_wait_fd(pair[0], POLLIN, in(1000)), POLLIN);
	assert_int_equal(co_wait_fd(pair[0], POLLIN, in(1000)), POLLIN);	/* the end stays readable */
	close_pair();
	loop_stop();
}

static void test_an_edge_without_a_waiter_is_remembered_and_the_end_stays(void **unused)
{
	(void) unused;
	run(edge_before_wait);
}

static void reused_descriptor(void *unused)
{
	int first;

	(void) unused;
	make_pair();
	first = pair[0];
	assert_int_equal(co_wait_fd(pair[0], POLLIN, in(1)), -ETIMEDOUT);
	close_pair();
	make_pair();
	assert_int_equal(pair[0], first);
	assert_int_equal(co_wait_fd(pair[0], POLLIN, in(1)), -ETIMEDOUT);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(co_wait_fd(pair[0], POLLIN, in(1000)), POLLIN);
	close_pair();
	loop_stop();
}

static void test_a_descriptor_number_may_be_used_again_after_forget(void **unused)
{
	(void) unused;
	run(reused_descriptor);
}

static void wait_for_forgotten(void *arg)
{
	(void) arg;
	assert_int_equal(co_wait_fd(pair[0], POLLIN, NEVER), -EBADF);
	note('f');
}

static void forget_under_waiter(void *unused)
{
	struct scope *s = scope_open("forget");

	(void) unused;
	make_pair();
	scope_start(s, "waiter", wait_for_forgotten, NULL);
	co_sleep(in(2));
	close_pair();
	assert_int_equal(scope_wait(s, in(1000)), 0);
	scope_close(s);
	loop_stop();
}

static void test_forgetting_a_descriptor_wakes_its_waiter(void **unused)
{
	(void) unused;
	run(forget_under_waiter);
	assert_string_equal(trace, "f");
}

static void wait_then_leave(void *arg)
{
	(void) arg;
	assert_int_equal(co_wait_fd(pair[0], POLLIN, NEVER), -ECANCELED);
	note('l');
}

/* The waiter is ready but has not run when its descriptor is forgotten, closed and used again. */
static void forget_under_woken_waiter(void *unused)
{
	struct scope *s = scope_open("forget");

	(void) unused;
	make_pair();
	scope_start(s, "waiter", wait_then_leave, NULL);
	co_sleep(in(2));
	scope_cancel(s);
	close_pair();
	make_pair();
	assert_int_equal(co_wait_fd(pair[0], POLLIN, in(2)), -ETIMEDOUT);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(co_wait_fd(pair[0], POLLIN, in(1000)), POLLIN);
	close_pair();
	scope_close(s);
	loop_stop();
}

static void test_forgetting_a_descriptor_under_a_woken_waiter_is_harmless(void **unused)
{
	(void) unused;
	run(forget_under_woken_waiter);
	assert_string_equal(trace, "l");
}

static void wait_for_file(void *unused)
{
	FILE *file = tmpfile();

	(void) unused;
	assert_non_null(file);
	assert_int_equal(co_wait_fd(fileno(file), POLLIN, in(1000)), POLLIN);
	co_forget_fd(fileno(file));
	fclose(file);
	loop_stop();
}

static void test_a_regular_file_is_always_ready(void **unused)
{
	(void) unused;
	run(wait_for_file);
}

static void test_waits_outside_a_coroutine_block_plainly(void **unused)
{
	int64_t before = mono_ms();

	(void) unused;
	make_pair();
	assert_int_equal(co_wait_fd(pair[0], POLLIN, in(10)), -ETIMEDOUT);
	assert_int_equal(co_wait_fd(pair[0], POLLOUT, NEVER), POLLOUT);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(co_wait_fd(pair[0], POLLIN, NEVER), POLLIN);
	assert_int_equal(co_wait_fd(9999, POLLIN, NEVER), -EBADF);
	assert_int_equal(co_sleep(in(10)), 0);
	assert_true(mono_ms() - before >= 20);
	assert_null(co_self());
	close_pair();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_edge_is_lost_between_reader_and_writer),
		cmocka_unit_test(test_an_edge_without_a_waiter_is_remembered_and_the_end_stays),
		cmocka_unit_test(test_a_descriptor_number_may_be_used_again_after_forget),
		cmocka_unit_test(test_forgetting_a_descriptor_wakes_its_waiter),
		cmocka_unit_test(test_forgetting_a_descriptor_under_a_woken_waiter_is_harmless),
		cmocka_unit_test(test_a_regular_file_is_always_ready),
		cmocka_unit_test(test_waits_outside_a_coroutine_block_plainly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
