/* SPDX-License-Identifier: ISC */
/* Coroutines, scopes, time, bells and gates, turns, signals, the offload pool. */
#include "tests/unit.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/co/loop_for_test.h"

/* ---- order and scopes ---- */

static void letter_and_pass(void *arg)
{
	for (int i = 0; i < 3; i++) {
		note(*(const char *) arg);
		co_pass();
	}
}

static void start_two(void *unused)
{
	struct scope *s = scope_open("two");

	(void) unused;
	assert_int_equal(scope_start(s, "a", letter_and_pass, (void *) (uintptr_t) "a"), 0);
	assert_int_equal(scope_start(s, "b", letter_and_pass, (void *) (uintptr_t) "b"), 0);
	note('.');
	assert_int_equal(scope_count(s), 2);
	assert_int_equal(scope_wait(s, NEVER), 0);
	note('!');
	scope_close(s);
	loop_stop();
}

static void test_coroutines_take_turns_and_a_scope_waits_for_all(void **unused)
{
	(void) unused;
	run(start_two);
	assert_string_equal(trace, ".ababab!");
}

static void sleep_until_cancelled(void *arg)
{
	(void) arg;
	assert_int_equal(co_sleep(NEVER), -ECANCELED);
	assert_true(co_is_cancelled());
	assert_int_equal(co_sleep(in(1)), -ECANCELED);
	assert_int_equal(co_wait_fd(0, POLLIN, NEVER), -ECANCELED);
	note('c');
}

static void close_scope(void *unused)
{
	struct scope *s = scope_open("closing");

	(void) unused;
	for (int i = 0; i < 3; i++)
		scope_start(s, "sleeper", sleep_until_cancelled, NULL);
	assert_int_equal(scope_wait(s, in(5)), -ETIMEDOUT);
	note('t');
	scope_close(s);
	note('!');
	scope_close(NULL);
	loop_stop();
}

static void test_closing_a_scope_cancels_and_waits(void **unused)
{
	(void) unused;
	run(close_scope);
	assert_string_equal(trace, "tccc!");
}

static void start_another(void *scope)
{
	assert_int_equal(co_sleep(NEVER), -ECANCELED);
	assert_int_equal(scope_start(scope, "late", sleep_until_cancelled, NULL), 0);
	note('l');
}

static void close_scope_that_grows(void *unused)
{
	struct scope *s = scope_open("growing");

	(void) unused;
	scope_start(s, "first", start_another, s);
	co_pass();
	scope_close(s);
	note('!');
	loop_stop();
}

static void test_who_is_started_while_its_scope_is_closed_is_cancelled_too(void **unused)
{
	(void) unused;
	run(close_scope_that_grows);
	assert_string_equal(trace, "lc!");
}

static void parent_of_sleeper(void *arg)
{
	struct scope *s = scope_open("child");

	(void) arg;
	scope_start(s, "sleeper", sleep_until_cancelled, NULL);
	assert_int_equal(co_sleep(NEVER), -ECANCELED);
	scope_close(s);			/* works although we are cancelled ourselves */
	note('p');
}

static void close_tree(void *unused)
{
	struct scope *s = scope_open("tree");

	(void) unused;
	scope_start(s, "parent", parent_of_sleeper, NULL);
	co_pass();
	co_pass();
	scope_close(s);
	loop_stop();
}

static void test_a_cancelled_coroutine_can_still_close_its_own_scope(void **unused)
{
	(void) unused;
	run(close_tree);
	assert_string_equal(trace, "cp");
}

static void never_started(void *unused)
{
	struct scope *s = scope_open("cancelled before the first run");

	(void) unused;
	scope_start(s, "sleeper", sleep_until_cancelled, NULL);
	scope_close(s);
	loop_stop();
}

static void test_one_cancelled_before_its_first_run_still_runs_and_unwinds(void **unused)
{
	(void) unused;
	run(never_started);
	assert_string_equal(trace, "c");
}

/* ---- time ---- */

static void sleep_for(void *arg)
{
	int ms = *(int *) arg;

	assert_int_equal(co_sleep(in(ms)), 0);
	note((char) ('0' + ms / 10));
}

static void sleepers(void *unused)
{
	static int times[] = { 50, 10, 30, 20, 40 };
	struct scope *s = scope_open("sleepers");
	int64_t before = mono_ms();

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(times); i++)
		scope_start(s, "sleeper", sleep_for, &times[i]);
	scope_wait(s, NEVER);
	scope_close(s);
	assert_true(mono_ms() - before >= 50);
	loop_stop();
}

/*
 * On a clock that stands still while they fall asleep: a busy machine may take its time between
 * two of them.
 */
static void test_sleepers_wake_in_the_order_of_their_times(void **unused)
{
	(void) unused;
	loop_use_virtual_time(1000000000000000);
	run(sleepers);
	loop_use_virtual_time(-1);
	assert_string_equal(trace, "12345");
}

static void test_sleepers_sleep_as_long_as_they_said(void **unused)
{
	(void) unused;
	run(sleepers);
	assert_int_equal(strlen(trace), 5);
}

static struct timer many[1000];
static int64_t last_due;
static int fired;

static void timer_fired(struct timer *t)
{
	assert_true(t->due >= last_due);
	last_due = t->due;
	fired++;
}

static void many_timers(void *unused)
{
	uint32_t seed = 12345;
	when_t now = mono_ms();

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(many); i++) {
		many[i].run = timer_fired;
		timer_set(&many[i], now + 1000000);
	}
	for (size_t i = 0; i < COUNT_OF(many); i++) {
		seed = seed * 1103515245 + 12345;
		timer_set(&many[i], now + (seed >> 16) % 3600000);	/* moves it */
	}
	for (size_t i = 0; i < COUNT_OF(many); i += 2)
		timer_set(&many[i], NEVER);
	co_sleep(now + 3600000);
	co_pass();
	loop_stop();
}

static void test_timers_fire_in_order_and_virtual_time_jumps(void **unused)
{
	int64_t wall;

	(void) unused;
	last_due = fired = 0;
	loop_use_virtual_time(1000000000000000);
	wall = wall_us();
	run(many_timers);
	assert_true(wall_us() - wall >= 3600000000);
	loop_use_virtual_time(-1);
	assert_int_equal(fired, 500);
}

static void test_in_keeps_never_and_does_not_overflow(void **unused)
{
	(void) unused;
	assert_true(in(NEVER) == NEVER);
	assert_true(in(NEVER - 1) == NEVER);
	assert_true(in(5) >= mono_ms());
	assert_true(sooner(3, NEVER) == 3);
}

/* ---- bells and gates ---- */

static struct bell bell;
static struct gate gate;

static void wait_bell(void *arg)
{
	assert_int_equal(bell_wait(&bell, NEVER), 0);
	note(*(const char *) arg);
}

static void ring(void *unused)
{
	struct scope *s = scope_open("ring");

	(void) unused;
	bell_init(&bell);
	bell_ring(&bell);			/* nobody waits: not remembered */
	assert_int_equal(bell_wait(&bell, in(1)), -ETIMEDOUT);
	scope_start(s, "1", wait_bell, (void *) (uintptr_t) "1");
	scope_start(s, "2", wait_bell, (void *) (uintptr_t) "2");
	co_pass();
	bell_ring(&bell);
	assert_int_equal(scope_wait(s, in(1000)), 0);
	scope_close(s);
	loop_stop();
}

static void test_a_bell_wakes_all_who_wait(void **unused)
{
	(void) unused;
	run(ring);
	assert_string_equal(trace, "12");
}

static int inside, most_inside;

static void go_in(void *arg)
{
	assert_int_equal(gate_enter(&gate, NEVER), 0);
	inside++;
	most_inside = MAX(most_inside, inside);
	note(*(const char *) arg);
	co_sleep(in(1));
	inside--;
	gate_leave(&gate);
}

static void use_gate(void *unused)
{
	static const char names[] = "abcdef";
	struct scope *s = scope_open("gate"), *late = scope_open("late");

	(void) unused;
	gate_init(&gate, 2);
	for (size_t i = 0; names[i] != 0; i++)
		scope_start(s, "in", go_in, (void *) (uintptr_t) &names[i]);
	co_pass();
	assert_int_equal(gate_enter(&gate, mono_ms()), -ETIMEDOUT);
	assert_int_equal(scope_wait(s, in(2000)), 0);
	assert_int_equal(gate.room, 2);
	/* a place handed over to somebody who is cancelled in the same turn is not lost */
	assert_int_equal(gate_enter(&gate, NEVER), 0);
	assert_int_equal(gate_enter(&gate, NEVER), 0);
	scope_start(late, "late", go_in, (void *) (uintptr_t) "z");
	co_pass();
	gate_leave(&gate);
	scope_cancel(late);
	scope_close(late);
	gate_leave(&gate);
	assert_int_equal(gate.room, 2);
	scope_close(s);
	loop_stop();
}

static void test_a_gate_is_fair_and_loses_no_place(void **unused)
{
	(void) unused;
	inside = most_inside = 0;
	run(use_gate);
	assert_string_equal(trace, "abcdefz");
	assert_int_equal(most_inside, 2);
}

/* ---- turns, signals ---- */

static struct turn turn_end;
static int turn_ends;

static void turn_ended(struct turn *t)
{
	assert_null(co_self());
	turn_ends++;
	if (turn_ends < 3)
		at_turn_end(t);
}

static void count_turn_ends(void *unused)
{
	static struct turn cancelled = { .run = turn_ended };

	(void) unused;
	turn_end.run = turn_ended;
	at_turn_end(&turn_end);
	at_turn_end(&turn_end);
	at_turn_end(&cancelled);
	turn_cancel(&cancelled);
	assert_int_equal(turn_ends, 0);
	co_pass();
	assert_int_equal(turn_ends, 1);
	co_sleep(in(5));
	assert_int_equal(turn_ends, 3);
	loop_stop();
}

static void test_turn_ends_run_once_per_turn_before_the_loop_sleeps(void **unused)
{
	(void) unused;
	turn_ends = 0;
	loop_use_virtual_time(1000000000000000);	/* which goes on when there is nothing else to do */
	run(count_turn_ends);
	loop_use_virtual_time(-1);
}

static void got_signal(int signal_number)
{
	assert_int_equal(signal_number, SIGUSR1);
	note('s');
}

static void send_signals(void *unused)
{
	(void) unused;
	on_signal(SIGUSR1, got_signal);
	kill(getpid(), SIGUSR1);
	co_sleep(in(20));
	assert_string_equal(trace, "s");
	on_signal(SIGUSR1, NULL);
	loop_stop();
}

static void test_a_signal_is_an_event_on_the_loop(void **unused)
{
	(void) unused;
	run(send_signals);
}

/* ---- offload ---- */

static int square(void *arg)
{
	int n = *(int *) arg;

	usleep(2000);
	return n * n;
}

static void offload_one(void *arg)
{
	int n = *(int *) arg;

	assert_int_equal(co_offload(square, arg), n * n);
	note('o');
}

static int ticks;			/* as many as a busy machine takes time */

static void tick_while_offloading(void *arg)
{
	(void) arg;
	while (co_sleep(in(1)) == 0)
		ticks++;
}

static void offload_many(void *unused)
{
	static int numbers[40];
	struct scope *s = scope_open("offload"), *ticker = scope_open("ticker");

	(void) unused;
	scope_start(ticker, "ticker", tick_while_offloading, NULL);
	for (int i = 0; i < 40; i++) {
		numbers[i] = i;
		scope_start(s, "offloader", offload_one, &numbers[i]);
	}
	assert_int_equal(scope_wait(s, in(20000)), 0);
	scope_close(ticker);
	scope_close(s);
	loop_stop();
}

static void test_offloaded_work_runs_beside_the_loop(void **unused)
{
	(void) unused;
	ticks = 0;
	run(offload_many);
	assert_int_equal(strlen(trace), 40);
	assert_true(ticks > 0);
	assert_int_equal(co_offload(square, &(int){ 7 }), 49);		/* outside: a plain call */
}

static int slow_work(void *arg)
{
	usleep(20000);
	*(int *) arg = 1;
	return 5;
}

static void offload_then_wait(void *arg)
{
	int finished = 0;

	(void) arg;
	assert_int_equal(co_offload(slow_work, &finished), 5);
	assert_int_equal(finished, 1);
	assert_int_equal(co_sleep(in(1)), -ECANCELED);
	assert_int_equal(co_offload(slow_work, &finished), -ECANCELED);
	note('d');
}

static void cancel_offload(void *unused)
{
	struct scope *s = scope_open("cancel");

	(void) unused;
	scope_start(s, "worker", offload_then_wait, NULL);
	co_sleep(in(2));
	scope_close(s);
	loop_stop();
}

static void test_offloaded_work_is_not_abandoned_when_cancelled(void **unused)
{
	(void) unused;
	run(cancel_offload);
	assert_string_equal(trace, "d");
}

/* ---- reports ---- */

static int64_t slow_us;

static void slow(const char *name, const char *what, int64_t us)
{
	assert_string_equal(name, "main");
	assert_string_equal(what, "busy");
	slow_us = us;
}

static void be_slow(void *unused)
{
	int64_t start = mono_ms();

	(void) unused;
	co_describe("busy");
	while (mono_ms() - start < 60)
		;
	co_sleep(in(1));
	loop_stop();
}

static void test_a_slice_that_takes_long_is_reported(void **unused)
{
	(void) unused;
	slow_us = 0;
	loop_report_slow(slow);
	run(be_slow);
	loop_report_slow(NULL);
	assert_true(slow_us >= 50000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_coroutines_take_turns_and_a_scope_waits_for_all),
		cmocka_unit_test(test_closing_a_scope_cancels_and_waits),
		cmocka_unit_test(test_who_is_started_while_its_scope_is_closed_is_cancelled_too),
		cmocka_unit_test(test_a_cancelled_coroutine_can_still_close_its_own_scope),
		cmocka_unit_test(test_one_cancelled_before_its_first_run_still_runs_and_unwinds),
		cmocka_unit_test(test_sleepers_wake_in_the_order_of_their_times),
		cmocka_unit_test(test_sleepers_sleep_as_long_as_they_said),
		cmocka_unit_test(test_timers_fire_in_order_and_virtual_time_jumps),
		cmocka_unit_test(test_in_keeps_never_and_does_not_overflow),
		cmocka_unit_test(test_a_bell_wakes_all_who_wait),
		cmocka_unit_test(test_a_gate_is_fair_and_loses_no_place),
		cmocka_unit_test(test_turn_ends_run_once_per_turn_before_the_loop_sleeps),
		cmocka_unit_test(test_a_signal_is_an_event_on_the_loop),
		cmocka_unit_test(test_offloaded_work_runs_beside_the_loop),
		cmocka_unit_test(test_offloaded_work_is_not_abandoned_when_cancelled),
		cmocka_unit_test(test_a_slice_that_takes_long_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
