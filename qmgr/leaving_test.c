/* SPDX-License-Identifier: ISC */
/*
 * A reload, as the queue manager that leaves sees it: what is under way goes on, nothing else begins,
 * and its successor sees by the locks what is whose.
 */
#include "qmgr/scene.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/queue/orders.h"

/* Ours instead of the C library's: on a pool thread these take as long as the test likes. */
static _Atomic long slow_call;			/* SYS_fsync, SYS_fdatasync, SYS_pread64; 0: none */
static _Atomic bool is_at_it;

static void take_time(long call)
{
	const bool is_on_the_pool = gettid() != getpid();

	is_at_it |= slow_call == call && is_on_the_pool;
	while (slow_call == call && is_on_the_pool)
		usleep(1000);
}

int fsync(int fd)
{
	take_time(SYS_fsync);
	return (int) syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	take_time(SYS_fdatasync);
	return (int) syscall(SYS_fdatasync, fd);
}

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
	take_time(SYS_pread64);
	return syscall(SYS_pread64, fd, to, n, at);
}

static void slow_down(long call)
{
	is_at_it = false;
	disk_is_held_up = true;
	slow_call = call;
}

static void wait_for_slow_call(void)
{
	while (!is_at_it)
		co_sleep(in(1));
}

static void end_slow_calls(struct scene *s)
{
	slow_call = 0;
	disk_is_held_up = false;
	settle(s);
}

static void release_all(struct scene *s)
{
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
}

/* As run() in qmgr.c does it. */
static void give_up_the_queue(struct scene *s)
{
	s->q.leaving = true;
	hand_over(&s->q);
	queue_write_through(s->q.queue);
}

static void hold(struct scene *s, const char *id)
{
	struct message *m = map_get(s->q.active, str_of(id));
	AUTO(queue_file) f = { .fd = -1 };

	assert_int_equal(queue_file_open(s->q.queue, m->where, m->id, true, false, &f), 0);
	assert_int_equal(queue_order(&f, JOURNAL_HELD), 0);
	m->fate = HELD;
}

static void play_given_back_unseen(struct scene *s)
{
	char held[32], other[32];

	use_log(s);
	announce(s, held, "shy@x");
	settle(s);
	hold(s, held);
	slow_down(SYS_fsync);
	announce(s, other, "defer@y");
	wait_for_slow_call();			/* and who leaves the log now waits for the end of that */
	give_up_the_queue(s);
	release_all(s);
	assert_false(list_is_empty(&s->q.leaving_messages));
	assert_true(is_locked(s, held));
	end_slow_calls(s);
	assert_true(lies_in(s, QUEUE_HOLD, held));
}

static void what_an_agent_gives_back_unseen_is_locked_until_it_is_where_it_was_ordered_to(void **state)
{
	play(state, play_given_back_unseen);
}

static void play_resolved_late(struct scene *s)
{
	char id[32];

	announce(s, id, "ok@slow");
	settle(s);
	give_up_the_queue(s);
	assert_true(is_locked(s, id));
	release_all(s);
	EXPECT_DELIVERIES(s, "");
	assert_true(lies_in(s, QUEUE_INCOMING, id));
	assert_false(is_locked(s, id));
}

static void what_is_resolved_after_the_hand_over_is_the_successors(void **state)
{
	play(state, play_resolved_late);
}

static void play_checked_late(struct scene *s)
{
	static char body[1 << 20];
	char id[32];

	memset(body, '\n', sizeof(body));
	s->body = str_make(body, sizeof(body));
	announce(s, id, "defer@x");
	settle(s);
	buf_clear(&s->deliveries);
	slow_down(SYS_pread64);
	make_due(s, id);
	wait_for_slow_call();
	s->q.leaving = true;
	end_slow_calls(s);
	assert_null(map_get(s->q.active, str_of(id)));
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	EXPECT_DELIVERIES(s, "");
}

static void what_is_still_being_checked_when_the_queue_manager_leaves_is_not_taken_up(void **state)
{
	play(state, play_checked_late);
}

/* One segment is too many, nobody owns it any more, and a message waits in it for room in memory. */
static void fill_the_log(struct scene *s, char id[32])
{
	use_log(s);
	s->queue_conf.intake_segment_limit = 0;
	s->conf.qmgr_message_active_limit = 1;
	announce(s, (char[32]){ 0 }, "hang@x defer@y");
	announce(s, id, "ok@x");
	settle(s);
	queue_close(s->writer);
	s->writer = NULL;
}

static void play_keeper_comes_late(struct scene *s)
{
	char id[32];

	slow_down(SYS_fdatasync);
	fill_the_log(s, id);
	wait_for_slow_call();
	give_up_the_queue(s);
	end_slow_calls(s);
	assert_true(queue_is_in_log(s->q.queue, QUEUE_INCOMING, str_of(id)));
	release_all(s);
}

static void no_room_is_made_in_the_log_after_the_hand_over(void **state)
{
	play(state, play_keeper_comes_late);
}

static void hand_over_and_say(void *scene)
{
	struct scene *s = scene;

	give_up_the_queue(s);
	buf_add_text(&s->notices, "handed over;");
}

static void play_room_is_being_made(struct scene *s)
{
	char id[32];

	fill_the_log(s, id);
	slow_down(SYS_fsync);
	wait_for_slow_call();
	scope_start(s->players, "hand over", hand_over_and_say, s);
	settle(s);
	EXPECT_NOTICES(s, "");
	end_slow_calls(s);
	EXPECT_NOTICES(s, "handed over;");
	assert_false(queue_is_in_log(s->q.queue, QUEUE_INCOMING, str_of(id)));
	release_all(s);
}

static void the_queue_is_not_handed_over_while_room_is_made_in_the_log(void **state)
{
	play(state, play_room_is_being_made);
}

/* ---- orders that come when another one has the queue already ---- */

static struct queue *open_as_successor(struct scene *s)
{
	struct queue *q;

	assert_int_equal(queue_open(s->dir, 1, (1u << QUEUE_COUNT) - 1, &q, NULL), 0);
	if (s->writer != NULL) {
		assert_int_equal(queue_open_intake(q, s->dir, true, false), 0);
		queue_refresh(q);
	}
	return q;
}

static void play_late_orders(struct scene *s)
{
	char held[32], released[32], requeued[32];
	AUTO(queue_file) to_hold = { .fd = -1 }, to_requeue = { .fd = -1 };
	struct queue *successors;

	announce(s, held, "hang@x defer@y");
	announce(s, released, "hang@x defer@y");
	announce(s, requeued, "hang@x defer@y");
	settle(s);
	hold(s, released);
	give_up_the_queue(s);
	successors = open_as_successor(s);
	assert_int_equal(queue_file_find(successors, str_of(held), true, &to_hold), 0);
	assert_int_equal(queue_order(&to_hold, JOURNAL_HELD), 0);
	assert_int_equal(queue_release(successors, str_of(released)), 1);
	assert_int_equal(queue_file_find(successors, str_of(requeued), true, &to_requeue), 0);
	assert_int_equal(queue_order(&to_requeue, JOURNAL_REQUEUED), 0);
	release_all(s);
	assert_true(lies_in(s, QUEUE_HOLD, held));
	assert_true(lies_in(s, QUEUE_DEFERRED, released));
	assert_true(lies_in(s, QUEUE_MAILDROP, requeued));
	queue_file_close(&to_hold);
	queue_file_close(&to_requeue);
	queue_close(successors);
}

static void play_late_orders_in_the_log(struct scene *s)
{
	use_log(s);
	play_late_orders(s);
}

static void what_a_successor_was_ordered_is_carried_out_by_who_still_delivers(void **state)
{
	play(state, play_late_orders);
}

static void what_a_successor_was_ordered_is_carried_out_out_of_the_log_too(void **state)
{
	play(state, play_late_orders_in_the_log);
}

#define IN_SCENE(test) cmocka_unit_test_setup_teardown(test, scene_begin, scene_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCENE(what_an_agent_gives_back_unseen_is_locked_until_it_is_where_it_was_ordered_to),
		IN_SCENE(what_is_resolved_after_the_hand_over_is_the_successors),
		IN_SCENE(what_is_still_being_checked_when_the_queue_manager_leaves_is_not_taken_up),

		IN_SCENE(no_room_is_made_in_the_log_after_the_hand_over),
		IN_SCENE(the_queue_is_not_handed_over_while_room_is_made_in_the_log),
		IN_SCENE(what_a_successor_was_ordered_is_carried_out_by_who_still_delivers),
		IN_SCENE(what_a_successor_was_ordered_is_carried_out_out_of_the_log_too),
	};

	return cmocka_run_group_tests_name("qmgr leaving", tests, NULL, NULL);
}
