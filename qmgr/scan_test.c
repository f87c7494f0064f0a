/* SPDX-License-Identifier: ISC */
/* What the queue manager finds on disk, and what waits there: limits, predecessors, damage, clocks. */
#include "qmgr/scene.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"

/* As if the file system's clock were an hour ahead of ours. */
static void date_ahead(struct scene *s, const char *id)
{
	const struct timespec then = { .tv_sec = wall_s() + 3600 }, both[2] = { then, then };
	AUTO(buf) path = BUF(100);

	buf_addf(&path, "incoming/%s", id);
	assert_int_equal(utimensat(s->dir, buf_text(&path), both, 0), 0);
}

static void play_restart(struct scene *s)
{
	const int64_t begin = wall_s();
	char id[32], fresh[32];
	AUTO(buf) packed = BUF(1 << 20);
	struct queue_parts parts;

	announce(s, id, "defer@y");
	settle(s);
	buf_clear(&s->deliveries);
	make_message(s, fresh, "ok@x", 0, &packed, &parts);	/* its announcement got lost */
	date_ahead(s, fresh);
	/* a queue manager that knows nothing */
	sleepers_free(s->q.sleepers);
	s->q.sleepers = sleepers_new();
	scan_at_start(&s->q);
	scan_deferred_in_background(&s->q);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp ok@x;");
	assert_false(lies_anywhere(s, fresh));
	assert_non_null(sleepers_find(s->q.sleepers, str_of(id)));
	assert_in_range(sleepers_find(s->q.sleepers, str_of(id))->due.key / 1000000, begin + 300,
			wall_s() + 301);
}

static void a_restart_finds_everything_on_disk(void **state)
{
	play(state, play_restart);
}

static void play_limits(struct scene *s)
{
	char id[20][32];

	s->conf.qmgr_message_active_limit = 5;
	for (int i = 0; i < 20; i++)
		announce(s, id[i], "hang@x");
	settle(s);
	assert_int_equal(map_count(s->q.active), 5);
	assert_int_equal(sleepers_count(s->q.sleepers, QUEUE_INCOMING), 15);
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	for (int i = 0; i < 20; i++)
		assert_false(lies_anywhere(s, id[i]));
}

static void what_exceeds_the_active_limit_waits_on_disk(void **state)
{
	play(state, play_limits);
}

static void play_lists(struct scene *s)
{
	AUTO(buf) packed = BUF(1 << 20);
	struct queue_parts parts;
	char first[32], second[32], small[32], on_disk[32];

	s->conf.qmgr_message_recipient_minimum = 2;
	s->conf.qmgr_message_recipient_limit = 3;
	announce(s, first, "hang@a hang@b hang@c");
	announce(s, second, "ok@d ok@e ok@f");
	announce(s, small, "ok@x ok@y");
	make_message(s, on_disk, "ok@z", 0, &packed, &parts);
	sleepers_add(s->q.sleepers, QUEUE_INCOMING, str_of(on_disk), wall_us(), 0);
	intake_wake(&s->q);
	settle(s);
	assert_false(lies_anywhere(s, small));
	assert_false(lies_anywhere(s, on_disk));
	assert_int_equal(map_count(s->q.active), 1);
	assert_true(sleepers_find(s->q.sleepers, str_of(second))->is_crowd);
	assert_int_equal(sleepers_count(s->q.sleepers, QUEUE_INCOMING), 1);
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	assert_false(lies_anywhere(s, first));
	assert_false(lies_anywhere(s, second));
	assert_int_equal(s->q.active_recipients, 0);
}

static void while_a_list_is_served_others_wait_and_mail_for_few_does_not(void **state)
{
	play(state, play_lists);
}

static void play_turns(struct scene *s)
{
	AUTO(buf) packed = BUF(1 << 20);
	struct queue_parts parts;
	char id[32];

	s->conf.qmgr_message_active_limit = 5;
	announce(s, id, "defer.a@x defer.b@x");
	settle(s);
	for (int i = 0; i < 6; i++) {
		buf_clear(&packed);
		make_message(s, id, "hang@x", 0, &packed, &parts);
		sleepers_add(s->q.sleepers, QUEUE_INCOMING, str_of(id), wall_us(), 0);
		buf_clear(&packed);
		make_message(s, id, "hang@y", 0, &packed, &parts);
		assert_int_equal(queue_move(s->q.queue, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(id)), 0);
		sleepers_add(s->q.sleepers, QUEUE_DEFERRED, str_of(id), wall_us(), 0);
	}
	intake_wake(&s->q);
	settle(s);
	assert_int_equal(map_count(s->q.active), 5);
	assert_in_range(s->q.active_retries, 2, 3);
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	assert_int_equal(map_count(s->q.active), 0);
}

static void new_mail_and_retries_take_turns_when_both_wait_on_disk(void **state)
{
	play(state, play_turns);
}

static void play_handover(struct scene *s)
{
	AUTO(buf) packed = BUF(1 << 20);
	struct queue_parts parts;
	struct message *m;
	char busy[32], idle[32];

	announce(s, busy, "hang@x");
	settle(s);
	make_message(s, idle, "ok@x", 0, &packed, &parts);
	hand_over(&s->q);
	/* what a successor sees */
	assert_int_equal(message_load(&s->q, QUEUE_INCOMING, str_of(busy), &m), -EBUSY);
	assert_int_equal(message_load(&s->q, QUEUE_INCOMING, str_of(idle), &m), 0);
	message_free(m);
	sleepers_add(s->q.sleepers, QUEUE_INCOMING, str_of(busy), wall_us(), 0);
	intake_wake(&s->q);
	co_sleep(in(50));
	assert_non_null(sleepers_find(s->q.sleepers, str_of(busy)));
	assert_int_equal(sleepers_find(s->q.sleepers, str_of(busy))->busy, 1);
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	assert_false(lies_anywhere(s, busy));
}

static void a_successor_leaves_alone_what_is_being_delivered(void **state)
{
	play(state, play_handover);
}

static void play_moved_meanwhile(struct scene *s)
{
	const int64_t begin = wall_s();
	AUTO(buf) packed = BUF(1 << 20);
	struct queue_parts parts;
	struct sleeper *sl;
	char id[32];

	/* a predecessor defers a message that this one thinks is in incoming */
	make_message(s, id, "ok@x", 0, &packed, &parts);
	sleepers_add(s->q.sleepers, QUEUE_INCOMING, str_of(id), wall_us(), 0);
	assert_int_equal(queue_move(s->q.queue, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(id)), 0);
	assert_int_equal(queue_set_next_attempt(s->q.queue, QUEUE_DEFERRED, str_of(id), wall_s() + 500), 0);
	intake_wake(&s->q);
	settle(s);
	EXPECT_DELIVERIES(s, "");
	sl = sleepers_find(s->q.sleepers, str_of(id));
	assert_non_null(sl);
	assert_int_equal(sl->where, QUEUE_DEFERRED);
	assert_in_range(sl->due.key / 1000000, begin + 500, wall_s() + 501);
	/* and what a file says about its next attempt counts more than what was in memory */
	sleepers_set_due(s->q.sleepers, sl, wall_us());
	intake_wake(&s->q);
	settle(s);
	EXPECT_DELIVERIES(s, "");
	make_due(s, id);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp ok@x;");
}

static void what_a_predecessor_deferred_meanwhile_is_found(void **state)
{
	play(state, play_moved_meanwhile);
}

static void play_moved_out_of_the_log(struct scene *s)
{
	struct queue *predecessor;
	char id[32];

	use_log(s);
	s->conf.qmgr_message_active_limit = 0;
	announce(s, id, "ok@x");
	settle(s);
	predecessor = open_predecessor(s);
	assert_int_equal(queue_move(predecessor, QUEUE_INCOMING, QUEUE_INCOMING, str_of(id)), 0);
	queue_close(predecessor);
	s->conf.qmgr_message_active_limit = 10;
	intake_wake(&s->q);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp ok@x;");
	assert_false(lies_anywhere(s, id));
}

static void what_a_predecessor_moved_out_of_the_log_is_found(void **state)
{
	play(state, play_moved_out_of_the_log);
}

static void play_damage(struct scene *s)
{
	static const char debris[] = "3b9dkLz0DEBRS";
	char id[32];
	AUTO(buf) packed = BUF(1 << 20);
	AUTO(buf) path = BUF(100);
	struct queue_parts parts;
	int fd;

	make_message(s, id, "ok@x", 0, &packed, &parts);
	buf_addf(&path, "incoming/%s", id);
	fd = openat(s->dir, buf_text(&path), O_WRONLY);
	assert_int_equal(pwrite(fd, "XXXXXXXXXXXXXXXX", 16, 60), 16);
	close(fd);
	fd = openat(s->dir, "incoming/3b9dkLz0DEBRS", O_WRONLY | O_CREAT, 0600);
	close(fd);
	scan_at_start(&s->q);
	settle(s);
	EXPECT_DELIVERIES(s, "");
	assert_false(lies_in(s, QUEUE_INCOMING, id));
	buf_clear(&path);
	buf_addf(&path, "corrupt/%s", id);
	assert_int_equal(access(buf_text(&path), F_OK), 0);
	buf_clear(&path);
	buf_addf(&path, "incoming/%s", debris);
	/* may still be in the making: no long id, no age */
	assert_int_equal(access(buf_text(&path), F_OK), 0);
}

static void a_damaged_file_is_put_aside_and_a_young_half_one_left_alone(void **state)
{
	play(state, play_damage);
}

static void play_vanished(struct scene *s)
{
	char id[32];

	announce(s, id, "ok@x");
	assert_int_equal(queue_finish(s->q.queue, QUEUE_INCOMING, str_of(id)), 0);
	settle(s);
	EXPECT_DELIVERIES(s, "");
	assert_int_equal(map_count(s->q.active), 0);
	assert_null(sleepers_find(s->q.sleepers, str_of(id)));
}

static void a_message_that_vanished_from_the_disk_is_forgotten(void **state)
{
	play(state, play_vanished);
}

enum { DAY_S = 86400 };

static void play_clock_set_back(struct scene *s)
{
	const int64_t begin = wall_s();
	AUTO(buf) packed = BUF(1 << 20);
	struct queue_parts parts;
	struct sleeper *sl;
	char fresh[32], old[32], asleep[32];

	/* written before the clock was set back, and found after a restart */
	make_message(s, fresh, "ok@x", 0, &packed, &parts);
	assert_int_equal(queue_set_next_attempt(s->q.queue, QUEUE_INCOMING, str_of(fresh), wall_s() + DAY_S),
			 0);
	buf_clear(&packed);
	make_message(s, old, "ok@y", 0, &packed, &parts);
	assert_int_equal(queue_move(s->q.queue, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(old)), 0);
	assert_int_equal(queue_set_next_attempt(s->q.queue, QUEUE_DEFERRED, str_of(old), wall_s() + DAY_S),
			 0);
	scan_at_start(&s->q);
	scan_deferred_in_background(&s->q);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp ok@x;");
	sl = sleepers_find(s->q.sleepers, str_of(old));
	assert_non_null(sl);
	assert_in_range(sl->due.key / 1000000, begin + 4000, wall_s() + 4001);
	sleepers_set_due(s->q.sleepers, sl, wall_us());
	intake_wake(&s->q);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp ok@y;");
	/* fell asleep before it */
	announce(s, asleep, "defer@x");
	settle(s);
	sl = sleepers_find(s->q.sleepers, str_of(asleep));
	assert_non_null(sl);
	sleepers_set_due(s->q.sleepers, sl, wall_us() + DAY_S * INT64_C(1000000));
	s->q.clock_ahead_us += DAY_S * INT64_C(1000000);
	scan_after_clock_step(&s->q);
	assert_in_range(sl->due.key / 1000000, begin + 4000, wall_s() + 4001);
}

static void when_the_clock_is_set_back_nothing_waits_longer_than_between_two_attempts(void **state)
{
	play(state, play_clock_set_back);
}

#define IN_SCENE(test) cmocka_unit_test_setup_teardown(test, scene_begin, scene_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCENE(a_restart_finds_everything_on_disk),
		IN_SCENE(what_exceeds_the_active_limit_waits_on_disk),
		IN_SCENE(while_a_list_is_served_others_wait_and_mail_for_few_does_not),
		IN_SCENE(new_mail_and_retries_take_turns_when_both_wait_on_disk),
		IN_SCENE(a_successor_leaves_alone_what_is_being_delivered),
		IN_SCENE(what_a_predecessor_deferred_meanwhile_is_found),
		IN_SCENE(what_a_predecessor_moved_out_of_the_log_is_found),
		IN_SCENE(a_damaged_file_is_put_aside_and_a_young_half_one_left_alone),
		IN_SCENE(a_message_that_vanished_from_the_disk_is_forgotten),
		IN_SCENE(when_the_clock_is_set_back_nothing_waits_longer_than_between_two_attempts),
	};

	return cmocka_run_group_tests_name("qmgr and its disk", tests, NULL, NULL);
}
