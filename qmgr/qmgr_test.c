/* SPDX-License-Identifier: ISC */
/* The queue manager as a whole, between agents and a bounce service that the scene plays. */
#include "qmgr/scene.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/queue/residents.h"

static void play_delivered(struct scene *s)
{
	char id[32];

	announce(s, id, "ok@x");
	assert_true(lies_in(s, QUEUE_INCOMING, id));
	settle(s);
	EXPECT_DELIVERIES(s, "smtp ok@x;");
	assert_false(lies_anywhere(s, id));
	assert_int_equal(map_count(s->q.active), 0);
	EXPECT_NOTICES(s, "");
}

static void a_delivered_message_is_removed(void **state)
{
	play(state, play_delivered);
}

static void play_grouping(struct scene *s)
{
	char id[32];

	announce(s, id, "ok@x ok@y a.ok@x ok@local");
	settle(s);
	assert_true(str_find_str(buf_str(&s->deliveries), STR("smtp ok@x,a.ok@x;")) >= 0);
	assert_true(str_find_str(buf_str(&s->deliveries), STR("smtp ok@y;")) >= 0);
	assert_true(str_find_str(buf_str(&s->deliveries), STR("local ok@local;")) >= 0);
	assert_int_equal(s->connections, 2);	/* one to smtp for both, one to local */
	assert_false(lies_anywhere(s, id));
}

static void recipients_are_grouped_by_transport_and_next_hop(void **state)
{
	play(state, play_grouping);
}

static void play_capitals(struct scene *s)
{
	char id[32], list[32];

	announce(s, list, "ok@x a.ok@X");
	settle(s);
	EXPECT_DELIVERIES(s, "smtp ok@x,a.ok@X;");
	conf_set(s->raw, STR("local_destination_concurrency_limit"), STR("1"));
	s->conf.default_destination_concurrency_limit = 1;
	announce(s, id, "hang@local");
	announce(s, list, "Hang@local ok@local");
	settle(s);
	EXPECT_DELIVERIES(s, "local hang@locallocal ok@local;");	/* the second Hang waits */
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	EXPECT_DELIVERIES(s, ";local Hang@local;");
}

static void capital_letters_make_no_second_destination(void **state)
{
	play(state, play_capitals);
}

static void announce_filtered(struct scene *s, unsigned flags)
{
	AUTO(buf) unfiltered = BUF(1 << 20);
	AUTO(buf) packed = BUF(1 << 20);
	struct queue_parts parts;
	char id[32];

	make_message(s, id, "ok@local", 0, &unfiltered, &parts);
	buf_addf(&packed, "sender\ta@x\nflags\t%u\nfilter_transport\tsmtp:scanner\nto\t0\tok@local\t\t0\t\n", flags);
	intake_announced(&s->q, &(struct qmgr_announce){ .queue_id = str_of(id), .queue = STR("incoming"),
							 .size = parts.size,
							 .headers_at = parts.headers_at,
							 .headers_len = parts.headers_len,
							 .body_at = parts.body_at, .body_len = parts.body_len,
							 .envelope = buf_str(&packed) });
	settle(s);
}

static void play_filtered_question(struct scene *s)
{
	announce_filtered(s, 0);
	EXPECT_DELIVERIES(s, "smtp ok@local;");
	announce_filtered(s, ENVELOPE_VERIFY);
	EXPECT_DELIVERIES(s, "local ok@local;");
}

static void what_would_become_of_mail_is_not_asked_of_a_content_filter(void **state)
{
	play(state, play_filtered_question);
}

/* In the intake log behind the message with that id. Was its content kept? */
static bool keeps_content(struct scene *s, const char *behind, uint64_t size)
{
	const struct resident *before = residents_find(s->q.queue->residents, str_of(behind));
	const struct qmgr_announce m = { .queue_id = STR("4hLxyz1234z5"), .queue = STR("incoming"),
					 .size = size, .headers_len = 11,
					 .envelope = STR("sender\ta@x\nto\t0\tb@x\t\t0\t\n"),
					 .segment = str_of(before->segment->name),
					 .place_at = before->segment->known_upto, .place_len = 512,
					 .headers = STR("Subject: x\n"), .body = STR("quite a long body\n") };
	struct message *made;
	bool kept;

	assert_int_equal(message_announced(&s->q, &m, &made), 0);
	assert_true(log_take(&s->q, &m, made));
	kept = made->content.len > 0;
	message_free(made);
	residents_finish(residents_find(s->q.queue->residents, m.queue_id));
	return kept;
}

static void play_false_size(struct scene *s)
{
	char id[32];

	use_log(s);
	s->q.is_ready = false;
	announce(s, id, "ok@x");
	assert_true(keeps_content(s, id, 30));
	assert_false(keeps_content(s, id, 13));
	assert_false(keeps_content(s, id, 5));
	assert_false(keeps_content(s, id, 31));
	s->q.is_ready = true;
	intake_wake(&s->q);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp ok@x;");
}

static void content_of_another_size_than_announced_is_not_kept(void **state)
{
	play(state, play_false_size);
}

/* Nobody limits how many go in one delivery, and they are more than a request to an agent has room for. */
static void play_crowd(struct scene *s)
{
	AUTO(buf) crowd = BUF(FRAME_LIMIT);
	char id[32];

	for (int i = 0; i < 20000; i++)
		buf_addf(&crowd, "ok.%0500d@x ", i);
	announce(s, id, buf_text(&crowd));
	settle(s);
	assert_false(lies_anywhere(s, id));
	assert_null(sleepers_find(s->q.sleepers, str_of(id)));
}

static void more_recipients_than_fit_a_request_are_delivered(void **state)
{
	play(state, play_crowd);
}

/* Alone it is more than a notification has room for others. */
static void play_endless_address(struct scene *s)
{
	AUTO(buf) address = BUF(FRAME_LIMIT);
	char id[32];

	buf_addf(&address, "bounce.%05000000d@x", 0);
	announce(s, id, buf_text(&address));
	settle(s);
	EXPECT_NOTICES(s, "failure 0:5.1.1;");
	assert_false(lies_anywhere(s, id));
}

static void who_wrote_to_an_endless_address_is_told_as_well(void **state)
{
	play(state, play_endless_address);
}

static void play_deferred(struct scene *s)
{
	const int64_t begin = wall_s();
	char id[32];
	struct sleeper *sl;

	announce(s, id, "ok@x defer@y");
	settle(s);
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	sl = sleepers_find(s->q.sleepers, str_of(id));
	assert_non_null(sl);
	assert_in_range(sl->due.key / 1000000, begin + 300, wall_s() + 301);
	buf_clear(&s->deliveries);
	/* the one who got it does not get it again */
	make_due(s, id);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp defer@y;");
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
}

static void deferred_recipients_are_tried_again_and_delivered_ones_are_not(void **state)
{
	play(state, play_deferred);
}

/* Files of the queue are as on a disk that is read-only. Ours instead of the C library's. */
static bool is_read_only, is_unremovable;

static bool is_in_queue(int fd)
{
	char link[32], path[256];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[MAX(n, 0)] = '\0';
	return strstr(path, "/deferred/") != NULL || strstr(path, "/incoming/") != NULL;
}

ssize_t write(int fd, const void *at, size_t n)
{
	if (!is_read_only || !is_in_queue(fd))
		return syscall(SYS_write, fd, at, n);
	errno = EROFS;
	return -1;
}

int unlinkat(int dir, const char *path, int flags)
{
	if (!is_read_only && !is_unremovable)
		return (int) syscall(SYS_unlinkat, dir, path, flags);
	errno = EROFS;
	return -1;
}

static void play_unwritable_journal(struct scene *s)
{
	char id[32];

	is_read_only = true;
	announce(s, id, "ok@x bounce@y defer@z");
	settle(s);
	EXPECT_NOTICES(s, "failure 1:5.1.1;");
	buf_clear(&s->deliveries);
	make_due(s, id);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp defer@z;");
	EXPECT_NOTICES(s, "");
	/* A successor knows as much. */
	is_read_only = false;
	unwritten_flush(&s->q);
	assert_int_equal(map_count(s->q.unwritten), 0);
	make_due(s, id);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp defer@z;");
	EXPECT_NOTICES(s, "");
}

static void while_nothing_can_be_recorded_nobody_gets_or_hears_anything_twice(void **state)
{
	play(state, play_unwritable_journal);
}

static void play_unremovable(struct scene *s)
{
	const when_t end = in(30000);
	char id[32];

	is_read_only = true;
	announce(s, id, "ok@x");
	settle(s);
	EXPECT_DELIVERIES(s, "smtp ok@x;");
	scan_incoming(&s->q, INT64_MAX);
	settle(s);
	EXPECT_DELIVERIES(s, "");
	assert_true(lies_in(s, QUEUE_INCOMING, id));
	remove_stuck(&s->q);
	settle(s);
	assert_true(lies_in(s, QUEUE_INCOMING, id));
	is_read_only = false;
	while (lies_anywhere(s, id) && mono_ms() < end)
		co_sleep(in(50));
	assert_false(lies_anywhere(s, id));
	settle(s);
	assert_int_equal(map_count(s->q.active), 0);
}

static void what_cannot_be_removed_is_not_delivered_again_and_goes_when_it_can(void **state)
{
	play(state, play_unremovable);
}

/* As who comes after a queue manager that was killed before it came to removing it. */
static void play_done(struct scene *s)
{
	struct message *m;
	char id[32];

	is_unremovable = true;
	announce(s, id, "ok@x bounce@y");
	settle(s);
	EXPECT_NOTICES(s, "failure 1:5.1.1;");
	assert_int_equal(message_load(&s->q, QUEUE_INCOMING, str_of(id), &m), 0);
	assert_false(is_unfinished(m));
	message_free(m);
	is_unremovable = false;
	remove_stuck(&s->q);
	settle(s);
	assert_false(lies_anywhere(s, id));
}

static void what_waits_for_its_removal_says_that_it_is_through(void **state)
{
	play(state, play_done);
}

static size_t count_of(struct buf *deliveries)
{
	size_t n = 0;

	for (size_t i = 0; i < deliveries->len; i++)
		n += deliveries->at[i] == ';';
	return n;
}

static void play_bounded(struct scene *s)
{
	enum { MESSAGES = 260, BOUND = 100, UNDER_WAY = 20, NOW_AND_THEN = 50 };
	const when_t end = in(60000);
	char id[32];

	is_read_only = true;
	announce(s, id, "ok@x");
	while (s->q.stuck_count == 0 && mono_ms() < end)
		co_sleep(in(10));
	for (int i = 1; i < MESSAGES; i++)
		announce(s, id, "ok@x");
	while (!s->q.is_held_up && mono_ms() < end)
		co_sleep(in(10));
	settle(s);
	assert_in_range(count_of(&s->deliveries), BOUND, BOUND + UNDER_WAY + NOW_AND_THEN);
	assert_in_range(unrecorded(&s->q), BOUND, BOUND + UNDER_WAY + NOW_AND_THEN);
	is_read_only = false;
	while (map_count(s->q.active) > 0 && mono_ms() < end)
		co_sleep(in(10));
	assert_int_equal(map_count(s->q.active), 0);
	assert_int_equal(count_of(&s->deliveries), MESSAGES);
	assert_int_equal(unrecorded(&s->q), 0);
}

static void while_nothing_can_be_written_few_deliveries_begin(void **state)
{
	play(state, play_bounded);
}

static void play_bounced(struct scene *s)
{
	char id[32];

	announce(s, id, "bounce@x ok@y");
	settle(s);
	EXPECT_NOTICES(s, "failure 0:5.1.1;");
	assert_false(lies_anywhere(s, id));
}

static void the_sender_of_an_undeliverable_message_is_told_before_it_is_removed(void **state)
{
	play(state, play_bounced);
}

static void play_bounce_down(struct scene *s)
{
	char id[32];

	s->bounce_code = EAGAIN;
	announce(s, id, "bounce@x ok@y");
	settle(s);
	EXPECT_NOTICES(s, "failure 0:5.1.1;");
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	buf_clear(&s->deliveries);
	/* next time only the sender is told */
	s->bounce_code = 0;
	make_due(s, id);
	settle(s);
	EXPECT_DELIVERIES(s, "");
	EXPECT_NOTICES(s, "failure 0:5.1.1;");
	assert_false(lies_anywhere(s, id));
}

static void a_notice_that_cannot_be_made_keeps_the_message_and_is_made_later(void **state)
{
	play(state, play_bounce_down);
}

static void write_again(struct scene *s, const char *id, uint32_t index, enum outcome_status status)
{
	AUTO(queue_file) f = { .fd = -1 };
	const struct journal_record record = { .kind = JOURNAL_OUTCOME,
					       .outcome = { .index = index, .status = status,
							    .dsn = STR("5.1.1"), .relay = STR("none"),
							    .text = STR("nobody here"), .at_us = 1 } };

	assert_int_equal(queue_file_open(s->q.queue, QUEUE_DEFERRED, str_of(id), true, false, &f), 0);
	assert_int_equal(journal_append(&f, &record, 1), 0);
}

static void play_older_state_last(struct scene *s)
{
	char id[32];

	s->bounce_code = EAGAIN;
	announce(s, id, "ok@x bounce@y defer@z");
	settle(s);
	write_again(s, id, 1, OUTCOME_BOUNCED);
	write_again(s, id, 0, OUTCOME_DEFERRED);
	write_again(s, id, 1, OUTCOME_DEFERRED);
	s->bounce_code = 0;
	buf_clear(&s->deliveries);
	buf_clear(&s->notices);
	make_due(s, id);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp defer@z;");
	EXPECT_NOTICES(s, "failure 1:5.1.1;");
}

static void an_older_state_that_was_written_again_has_nobody_get_or_hear_anything_twice(void **state)
{
	play(state, play_older_state_last);
}

static void play_success_notice(struct scene *s)
{
	char id[32];

	announce_notifying(s, id, "ok@x", NOTIFY_SUCCESS);
	settle(s);
	EXPECT_NOTICES(s, "success 0:2.0.0;");
	assert_false(lies_anywhere(s, id));
}

static void who_asks_for_it_is_told_of_success(void **state)
{
	play(state, play_success_notice);
}

static void play_expiry(struct scene *s)
{
	char id[32];

	s->conf.maximal_queue_lifetime = 0;
	announce(s, id, "defer@x ok@y");
	settle(s);
	EXPECT_NOTICES(s, "failure 0:4.2.0;");
	assert_false(lies_anywhere(s, id));
}

static void a_message_that_is_too_old_is_returned(void **state)
{
	play(state, play_expiry);
}

static void play_last_attempt(struct scene *s)
{
	char id[32];

	announce(s, id, "hang@a hang@b hang@c hang@d hang@e");	/* half of what smtp has for strangers is four */
	settle(s);
	assert_int_equal(s->hurried, 1);
	s->conf.maximal_queue_lifetime = 0;
	announce(s, id, "hang@f");
	settle(s);
	assert_int_equal(s->hurried, 1);
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
}

static void the_last_attempt_is_not_made_in_a_hurry(void **state)
{
	play(state, play_last_attempt);
}

static void play_delay_warning(struct scene *s)
{
	char id[32];

	s->conf.delay_warning_time = 3600000;
	s->age_us = INT64_C(3600) * 1000000;
	announce(s, id, "defer@x");
	settle(s);
	EXPECT_NOTICES(s, "delay 0:4.2.0;");
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	make_due(s, id);
	settle(s);
	EXPECT_NOTICES(s, "");		/* once only */
}

static void the_sender_is_warned_once_of_a_delay(void **state)
{
	play(state, play_delay_warning);
}

static void play_dead_destination(struct scene *s)
{
	char id[32];

	s->conf.initial_destination_concurrency = 1;
	conf_set(s->raw, STR("initial_destination_concurrency"), STR("1"));
	announce(s, id, "site@x");
	announce(s, id, "ok@x");
	announce(s, id, "ok@y");
	settle(s);
	assert_true(str_find_str(buf_str(&s->deliveries), STR("smtp site@x;")) >= 0);
	assert_true(str_find_str(buf_str(&s->deliveries), STR("smtp ok@y;")) >= 0);
	assert_true(
		str_find_str(buf_str(&s->deliveries),
			     STR("retry ok@x (4.4.1 delivery temporarily suspended: connection refused);"))
		>= 0);
	assert_true(str_find_str(buf_str(&s->deliveries), STR("smtp ok@x;")) < 0);
	buf_clear(&s->deliveries);
	announce(s, id, "ok@x");
	settle(s);
	EXPECT_DELIVERIES(s, "retry ok@x (4.4.1 delivery temporarily suspended: connection refused);");
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
}

static void mail_for_a_dead_destination_is_deferred_without_being_tried(void **state)
{
	play(state, play_dead_destination);
}

static void play_agent_dies(struct scene *s)
{
	char id[32], other[32];

	announce(s, id, "die@x");
	settle(s);
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	announce(s, other, "ok@x");
	settle(s);
	assert_false(lies_anywhere(s, other));	/* one death does not stop the transport */
}

static void an_agent_that_dies_costs_a_deferral(void **state)
{
	play(state, play_agent_dies);
}

static void play_half_gone(struct scene *s)
{
	char slow[32], last[32], next[32];

	announce(s, slow, "hang@x");
	settle(s);
	s->leave_after_reply = true;
	announce(s, last, "ok@y");
	settle(s);
	EXPECT_DELIVERIES(s, "smtp hang@xsmtp ok@y;");
	loop_use_virtual_time(wall_us());
	announce(s, next, "ok@z");
	co_sleep(in(10000));
	EXPECT_DELIVERIES(s, "smtp ok@z;");
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	EXPECT_DELIVERIES(s, ";");
	assert_int_equal(map_count(s->q.active), 0);
	assert_null(sleepers_find(s->q.sleepers, str_of(slow)));
	assert_null(sleepers_find(s->q.sleepers, str_of(next)));
}

static void mail_does_not_wait_for_the_last_delivery_of_an_agent_that_leaves(void **state)
{
	play(state, play_half_gone);
}

/*
 * A large message over a slow line, and all else that its agent has under way: as long as the agent
 * answers, it is waited for.
 */
static void play_long_delivery(struct scene *s)
{
	char id[32];

	announce(s, id, "hang@x");
	settle(s);
	loop_use_virtual_time(wall_us());
	co_sleep(in(3 * s->common.ipc_timeout));
	assert_true(lies_in(s, QUEUE_INCOMING, id));
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp hang@x;");
	assert_false(lies_anywhere(s, id));
}

static void a_delivery_that_takes_hours_is_waited_for(void **state)
{
	play(state, play_long_delivery);
}

static void play_stuck_agent(struct scene *s)
{
	char id[32];

	s->is_stuck = true;
	announce(s, id, "hang@x");
	settle(s);
	loop_use_virtual_time(wall_us());
	co_sleep(in(s->common.ipc_timeout));
	assert_true(lies_in(s, QUEUE_INCOMING, id));
	co_sleep(in(s->common.ipc_timeout / 2));
	settle(s);
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
}

static void an_agent_that_does_not_answer_costs_a_deferral(void **state)
{
	play(state, play_stuck_agent);
}

static void play_list_without_agents(struct scene *s)
{
	AUTO(buf) list = BUF(1 << 20);
	char id[32];

	for (int i = 0; i < 1000; i++)
		buf_addf(&list, "ok@x%d ", i);
	unlink("private/smtp");
	announce(s, id, buf_text(&list));
	settle(s);
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	assert_int_equal(count_of(&s->deliveries), 1000 / 50);
}

static void recipients_of_a_dead_transport_are_deferred_together(void **state)
{
	play(state, play_list_without_agents);
}

static void play_agents_gone(struct scene *s)
{
	char id[32];

	unlink("private/smtp");
	announce(s, id, "ok@x");
	settle(s);
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	EXPECT_DELIVERIES(s, "retry ok@x (4.3.0 mail transport unavailable);");
	announce(s, id, "ok@x");
	settle(s);
	EXPECT_DELIVERIES(s, "retry ok@x (4.3.0 mail transport unavailable);");
}

static void a_transport_that_cannot_be_reached_costs_a_deferral(void **state)
{
	play(state, play_agents_gone);
}

static void play_nothing_reachable(struct scene *s)
{
	char id[32];

	unlink("private/smtp");
	unlink("private/retry");
	announce(s, id, "ok@x");
	settle(s);
	EXPECT_DELIVERIES(s, "");
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	assert_int_equal(map_count(s->q.active), 0);
}

static void without_even_the_retry_service_mail_waits_on_disk(void **state)
{
	play(state, play_nothing_reachable);
}

static void play_goodbye(struct scene *s)
{
	char first[32], second[32], third[32];

	announce(s, first, "hang@x");
	settle(s);
	s->leave_after_reply = true;		/* but this one is still under way then */
	announce(s, second, "ok@y");
	while (s->leave_after_reply)
		co_sleep(in(1));
	announce(s, third, "ok@z");		/* to a connection that takes no more */
	co_sleep(in(20));
	assert_true(lies_in(s, QUEUE_INCOMING, third));
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	assert_false(lies_anywhere(s, third));
	assert_int_equal(s->connections, 2);
	assert_false(lies_anywhere(s, first));
	/* not deferred: sent again at once, or served before the goodbye */
	assert_false(lies_anywhere(s, second));
	EXPECT_NOTICES(s, "");
}

static void a_request_that_crosses_an_agents_leaving_is_not_deferred(void **state)
{
	play(state, play_goodbye);
}

static void play_resolver_down(struct scene *s)
{
	char id[32];

	resolver_works = false;
	announce(s, id, "ok@x");
	settle(s);
	EXPECT_DELIVERIES(s, "retry ok@x (4.3.0 address resolver failure);");
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
}

static void a_recipient_that_cannot_be_resolved_now_is_deferred(void **state)
{
	play(state, play_resolver_down);
}

static void play_endless(struct scene *s)
{
	char id[32];

	announce(s, id, "ok@x ok@far ok@wordy");
	settle(s);
	assert_true(str_find_str(buf_str(&s->deliveries), STR("smtp ok@x;")) >= 0);
	assert_true(str_find_str(buf_str(&s->deliveries),
				 STR("retry ok@far (4.3.5 mail system configuration error);")) >= 0);
	assert_true(str_find_str(buf_str(&s->deliveries), STR("retry ok@wordy (xxxx")) >= 0);
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
}

static void a_next_hop_that_does_not_fit_into_a_request_harms_nobody_else(void **state)
{
	play(state, play_endless);
}

static void waits_grow_with_the_age_of_a_message(void **state)
{
	struct scene *s = *state;
	const int64_t start = INT64_C(1700000000) * 1000000;
	int64_t now = start;
	int attempts = 0;
	const int64_t first[] = { 300, 600, 1200, 2400, 4800, 8800, 12800 };

	while (now - start < s->conf.maximal_queue_lifetime * 1000) {
		now = next_attempt_s(&s->conf, start, now) * 1000000;
		if (attempts < (int) COUNT_OF(first))
			assert_int_equal((now - start) / 1000000, first[attempts]);
		attempts++;
	}
	assert_int_equal(attempts, 112);	/* in five days */
}

#define IN_SCENE(test) cmocka_unit_test_setup_teardown(test, scene_begin, scene_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCENE(a_delivered_message_is_removed),
		IN_SCENE(recipients_are_grouped_by_transport_and_next_hop),
		IN_SCENE(capital_letters_make_no_second_destination),
		IN_SCENE(what_would_become_of_mail_is_not_asked_of_a_content_filter),
		IN_SCENE(content_of_another_size_than_announced_is_not_kept),
		IN_SCENE(more_recipients_than_fit_a_request_are_delivered),
		IN_SCENE(who_wrote_to_an_endless_address_is_told_as_well),
		IN_SCENE(deferred_recipients_are_tried_again_and_delivered_ones_are_not),
		IN_SCENE(while_nothing_can_be_recorded_nobody_gets_or_hears_anything_twice),
		IN_SCENE(what_cannot_be_removed_is_not_delivered_again_and_goes_when_it_can),
		IN_SCENE(what_waits_for_its_removal_says_that_it_is_through),
		IN_SCENE(while_nothing_can_be_written_few_deliveries_begin),
		IN_SCENE(the_sender_of_an_undeliverable_message_is_told_before_it_is_removed),
		IN_SCENE(a_notice_that_cannot_be_made_keeps_the_message_and_is_made_later),
		IN_SCENE(an_older_state_that_was_written_again_has_nobody_get_or_hear_anything_twice),
		IN_SCENE(who_asks_for_it_is_told_of_success),
		IN_SCENE(a_message_that_is_too_old_is_returned),
		IN_SCENE(the_last_attempt_is_not_made_in_a_hurry),
		IN_SCENE(the_sender_is_warned_once_of_a_delay),
		IN_SCENE(mail_for_a_dead_destination_is_deferred_without_being_tried),
		IN_SCENE(an_agent_that_dies_costs_a_deferral),
		IN_SCENE(mail_does_not_wait_for_the_last_delivery_of_an_agent_that_leaves),
		IN_SCENE(a_delivery_that_takes_hours_is_waited_for),
		IN_SCENE(recipients_of_a_dead_transport_are_deferred_together),
		IN_SCENE(an_agent_that_does_not_answer_costs_a_deferral),
		IN_SCENE(a_transport_that_cannot_be_reached_costs_a_deferral),
		IN_SCENE(without_even_the_retry_service_mail_waits_on_disk),
		IN_SCENE(a_request_that_crosses_an_agents_leaving_is_not_deferred),
		IN_SCENE(a_recipient_that_cannot_be_resolved_now_is_deferred),
		IN_SCENE(a_next_hop_that_does_not_fit_into_a_request_harms_nobody_else),
		IN_SCENE(waits_grow_with_the_age_of_a_message),
	};

	return cmocka_run_group_tests_name("qmgr", tests, NULL, NULL);
}
