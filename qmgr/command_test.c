/* SPDX-License-Identifier: ISC */
/*
 * What administrators ask the queue manager for, wherever the message is and whatever is done with
 * it meanwhile.
 */
#include "qmgr/scene.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/queue/orders.h"

static uint64_t command(struct scene *s, const char *name, const char *argument, uint64_t *ret_count)
{
	int pair[2];
	struct qmgr_command m = { .command = str_of(name), .argument = str_of(argument) };
	struct qmgr_command_reply rep;
	struct visitor v = { &s->q, geteuid(), true };
	struct frame_out out;
	struct frame f, reply;
	struct channel *ours, *theirs;
	struct server_call call = { .frame = &f, .state = &v };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ours = channel_new(pair[0]);
	theirs = channel_new(pair[1]);
	assert_true(put_qmgr_command(channel_buf(ours), 7, &m, &out) >= 0);
	assert_int_equal(channel_send(ours, &out), 0);
	assert_int_equal(channel_receive(theirs, &f, in(5000)), 1);
	call.ch = theirs;
	call.arena = arena_new("call", NULL, 1 << 20);
	serve_command(&call);
	arena_free(call.arena);
	assert_int_equal(channel_receive(ours, &reply, in(5000)), 1);
	assert_true(get_qmgr_command_reply(&reply, &rep, NULL) >= 0);
	*ret_count = rep.count;
	channel_free(ours);
	channel_free(theirs);
	return rep.code;
}

static void play_commands(struct scene *s)
{
	char asleep[32], busy[32], third[32];
	uint64_t n;

	announce(s, asleep, "defer@x");
	announce(s, busy, "hang@x");
	announce(s, third, "defer@y");
	settle(s);
	/* hold: the one asleep at once, the one being delivered when it is through */
	assert_int_equal(command(s, "hold", asleep, &n), 0);
	assert_int_equal(n, 1);
	assert_true(lies_in(s, QUEUE_HOLD, asleep));
	assert_null(sleepers_find(s->q.sleepers, str_of(asleep)));
	assert_int_equal(command(s, "release", "", &n), 0);
	assert_int_equal(n, 1);
	buf_clear(&s->deliveries);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp defer@x;");
	assert_int_equal(command(s, "flush", "", &n), 0);
	assert_int_equal(n, 2);
	settle(s);
	buf_clear(&s->deliveries);
	assert_int_equal(command(s, "flush_site", "Y", &n), 0);
	assert_int_equal(n, 1);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp defer@y;");
	assert_int_equal(command(s, "flush_id", third, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(command(s, "active", "", &n), 0);
	assert_true(n >= 1);
	settle(s);
	assert_int_equal(command(s, "expire", third, &n), 0);
	settle(s);
	EXPECT_NOTICES(s, "failure 0:4.2.0;");
	assert_false(lies_anywhere(s, third));
	assert_int_equal(command(s, "delete", "", &n), 0);
	assert_int_equal(n, 2);
	assert_false(lies_anywhere(s, asleep));
	assert_false(lies_anywhere(s, busy));
	assert_int_equal(command(s, "delete", busy, &n), 0);
	assert_int_equal(n, 0);
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	assert_int_equal(map_count(s->q.active), 0);
	assert_int_equal(command(s, "nonsense", "", &n), EINVAL);
}

static void commands_take_effect_at_once(void **state)
{
	play(state, play_commands);
}

static void play_flush_of_deferred_transport(struct scene *s)
{
	static const struct str how[] = { STR_INIT("flush"), STR_INIT("flush_site"), STR_INIT("flush_id") };
	uint64_t n;

	s->conf.defer_transports = "local smtp";
	for (size_t i = 0; i < COUNT_OF(how); i++) {
		char id[32];

		announce(s, id, "ok@x");
		settle(s);
		EXPECT_DELIVERIES(s, "retry ok@x (4.3.2 deferred transport);");
		make_due(s, id);	/* that its time has come is no reason */
		settle(s);
		EXPECT_DELIVERIES(s, "retry ok@x (4.3.2 deferred transport);");
		assert_int_equal(command(s, how[i].at, i == 0 ? "" : i == 1 ? "x" : id, &n), 0);
		assert_int_equal(n, 1);
		settle(s);
		EXPECT_DELIVERIES(s, "smtp ok@x;");
		assert_false(lies_anywhere(s, id));
	}
}

static void a_flush_delivers_what_waits_for_a_deferred_transport(void **state)
{
	play(state, play_flush_of_deferred_transport);
}

static void play_late_hold(struct scene *s)
{
	char id[32], more[32];
	uint64_t n;

	announce(s, id, "hang@x");
	announce(s, more, "hang@x defer@y");
	settle(s);
	assert_int_equal(command(s, "hold", id, &n), 0);
	assert_int_equal(command(s, "hold", more, &n), 0);
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	assert_false(lies_anywhere(s, id));		/* delivered: there is nothing to hold */
	assert_true(lies_in(s, QUEUE_HOLD, more));
	assert_int_equal(map_count(s->q.active), 0);
}

static void a_hold_does_not_keep_what_is_delivered_meanwhile(void **state)
{
	play(state, play_late_hold);
}

static int deliveries_begun(const struct scene *s)
{
	int n = 0;

	for (size_t i = 0; i < s->deliveries.len; i++)
		n += s->deliveries.at[i] == '@';
	return n;
}

static void play_hold_and_release(struct scene *s)
{
	char id[32];
	uint64_t n;

	/* more than can be delivered at once */
	announce(s, id, "hang@a hang@b hang@c hang@d hang@e hang@f hang@g hang@h hang@i hang@j hang@k hang@l");
	settle(s);
	assert_in_range(deliveries_begun(s), 2, 11);
	assert_int_equal(command(s, "hold", id, &n), 0);
	assert_int_equal(command(s, "release", id, &n), 0);
	assert_int_equal(n, 1);
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	assert_int_equal(deliveries_begun(s), 12);		/* the others at once, and nobody twice */
	assert_false(lies_anywhere(s, id));
}

static void who_was_delivered_between_hold_and_release_does_not_get_it_again(void **state)
{
	play(state, play_hold_and_release);
}

/* Ours instead of the C library's: on a pool thread a file's sync takes as long as the test likes. */
int fsync(int fd)
{
	while (disk_is_held_up)
		usleep(1000);
	return (int) syscall(SYS_fsync, fd);
}

/* Deferred, and on its way out of the intake log. */
static void make_one_leave(struct scene *s, char id[32])
{
	announce(s, id, "defer@x");
	disk_is_held_up = true;
	while (list_is_empty(&s->q.departing))
		co_pass();
}

static void let_it_arrive(struct scene *s)
{
	disk_is_held_up = false;
	settle(s);
}

static void play_leaving_the_log(struct scene *s)
{
	char held[32], released[32], requeued[32], expired[32], deleted[32];
	uint64_t n;

	use_log(s);
	make_one_leave(s, held);
	assert_int_equal(command(s, "hold", held, &n), 0);
	let_it_arrive(s);
	assert_true(lies_in(s, QUEUE_HOLD, held));

	make_one_leave(s, released);
	assert_int_equal(command(s, "hold", released, &n), 0);
	assert_int_equal(command(s, "release", released, &n), 0);
	let_it_arrive(s);
	assert_true(lies_in(s, QUEUE_DEFERRED, released));

	make_one_leave(s, requeued);
	assert_int_equal(command(s, "requeue", requeued, &n), 0);
	let_it_arrive(s);
	assert_true(lies_in(s, QUEUE_MAILDROP, requeued));
	assert_false(lies_in(s, QUEUE_DEFERRED, requeued));

	make_one_leave(s, expired);
	assert_int_equal(command(s, "expire", expired, &n), 0);
	let_it_arrive(s);
	EXPECT_NOTICES(s, "failure 0:4.2.0;");
	assert_false(lies_anywhere(s, expired));

	make_one_leave(s, deleted);
	assert_int_equal(command(s, "delete", deleted, &n), 0);
	let_it_arrive(s);
	assert_false(lies_anywhere(s, deleted));
}

static void a_command_reaches_a_message_that_is_leaving_the_intake_log(void **state)
{
	play(state, play_leaving_the_log);
}

/* More than one notification has room for. */
static void play_expired_crowd(struct scene *s)
{
	AUTO(buf) crowd = BUF(FRAME_LIMIT);
	char id[32];
	uint64_t n;

	for (int i = 0; i < 1000; i++)
		buf_addf(&crowd, "defer.%05000d@x ", i);
	announce(s, id, buf_text(&crowd));
	settle(s);
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	assert_int_equal(command(s, "expire", id, &n), 0);
	settle(s);
	assert_false(lies_anywhere(s, id));
	assert_true(str_find_str(buf_str(&s->notices), STR(" 0:4.2.0")) >= 0);
	assert_true(str_find_str(buf_str(&s->notices), STR(" 999:4.2.0;")) >= 0);
}

static void all_of_a_message_that_expires_is_told_now(void **state)
{
	play(state, play_expired_crowd);
}

static void play_requeued_when_it_leaves(struct scene *s)
{
	AUTO(queue_file) f = { .fd = -1 };
	struct message *m;
	char id[32];
	uint64_t n;

	use_log(s);
	make_one_leave(s, id);
	assert_int_equal(command(s, "requeue", id, &n), 0);
	s->q.leaving = true;
	let_it_arrive(s);
	s->q.leaving = false;
	assert_false(lies_in(s, QUEUE_MAILDROP, id));
	assert_int_equal(message_load(&s->q, QUEUE_DEFERRED, str_of(id), &m), 0);
	assert_int_equal(m->fate, REQUEUED);
	message_free(m);
	assert_int_equal(queue_file_open(s->q.queue, QUEUE_DEFERRED, str_of(id), false, false, &f), 0);
	assert_true(f.mtime_s <= wall_s());		/* nobody waits for the next attempt */
}

/* Nothing is locked then that a successor sees: it may hand it in again at the same time. */
static void what_leaves_the_log_after_a_reload_is_requeued_by_the_successor(void **state)
{
	play(state, play_requeued_when_it_leaves);
}

/* Held before its deferral, so that it leaves the log for hold/. */
static void play_released_on_the_way(struct scene *s)
{
	char id[32];
	uint64_t n;

	use_log(s);
	announce(s, id, "hang@x defer@y");
	settle(s);
	assert_int_equal(command(s, "hold", id, &n), 0);
	disk_is_held_up = true;
	s->hanging_released = true;
	bell_ring(&s->release);
	while (list_is_empty(&s->q.departing))
		co_pass();
	buf_clear(&s->deliveries);
	assert_int_equal(command(s, "release", id, &n), 0);
	assert_int_equal(n, 1);
	while (!lies_in(s, QUEUE_HOLD, id))
		co_pass();
	assert_int_equal(command(s, "release", id, &n), 0);		/* asked again */
	assert_int_equal(n, 0);
	assert_true(lies_in(s, QUEUE_HOLD, id));
	let_it_arrive(s);
	EXPECT_DELIVERIES(s, "smtp defer@y;");
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
}

static void a_message_released_while_it_moves_to_hold_does_not_stay_there(void **state)
{
	play(state, play_released_on_the_way);
}

struct order {
	struct scene *s;
	const char *name, *id;
	uint64_t count;
	bool is_done;
};

static void give_order(void *arg)
{
	struct order *o = arg;

	assert_int_equal(command(o->s, o->name, o->id, &o->count), 0);
	o->is_done = true;
}

/* A scan, and another order, come while a message is copied. */
static void play_scan_meanwhile(struct scene *s)
{
	char id[32];
	struct order requeue = { s, "requeue", id, 0, false }, delete = { s, "delete", id, 0, false };

	announce(s, id, "defer@x");
	settle(s);
	buf_clear(&s->deliveries);
	assert_int_equal(queue_set_next_attempt(s->q.queue, QUEUE_DEFERRED, str_of(id), wall_s() - 1), 0);
	disk_is_held_up = true;
	scope_start(s->players, "order", give_order, &requeue);
	while (!is_in_hand(&s->q, str_of(id)))
		co_pass();
	scope_start(s->players, "order", give_order, &delete);
	scan_deferred_in_background(&s->q);
	co_sleep(in(20));
	let_it_arrive(s);
	while (!requeue.is_done || !delete.is_done)
		co_sleep(in(1));
	EXPECT_DELIVERIES(s, "");
	assert_int_equal(requeue.count, 1);
	assert_int_equal(delete.count, 0);	/* it is not the queue manager's any more */
	assert_true(lies_in(s, QUEUE_MAILDROP, id));
	assert_int_equal(map_count(s->q.active), 0);
}

static void what_is_being_requeued_is_not_found_by_a_scan(void **state)
{
	play(state, play_scan_meanwhile);
}

/* ---- a process that dies before the delivery ends ---- */

/* What a successor reads. */
static enum fate fate_on_disk(struct scene *s, const char *id)
{
	struct message *m;
	enum fate fate;

	assert_int_equal(message_load(&s->q, QUEUE_INCOMING, str_of(id), &m), 0);
	fate = m->fate;
	message_free(m);
	return fate;
}

static void play_recorded_orders(struct scene *s)
{
	char held[32], requeued[32];
	uint64_t n;

	announce(s, held, "hang@x defer@y");
	announce(s, requeued, "hang@x");
	settle(s);
	assert_int_equal(fate_on_disk(s, held), STAYS);
	assert_int_equal(command(s, "hold", held, &n), 0);
	assert_int_equal(command(s, "requeue", requeued, &n), 0);
	assert_int_equal(fate_on_disk(s, held), HELD);
	assert_int_equal(fate_on_disk(s, requeued), REQUEUED);
	assert_int_equal(command(s, "hold", requeued, &n), 0);
	assert_int_equal(fate_on_disk(s, requeued), HELD);
	assert_int_equal(command(s, "release", requeued, &n), 0);
	assert_int_equal(fate_on_disk(s, requeued), STAYS);
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	assert_true(lies_in(s, QUEUE_HOLD, held));
	buf_clear(&s->deliveries);
	assert_int_equal(command(s, "release", held, &n), 0);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp defer@y;");		/* the old order does not count any more */
	assert_true(lies_in(s, QUEUE_DEFERRED, held));
}

static void play_recorded_orders_in_the_log(struct scene *s)
{
	use_log(s);
	play_recorded_orders(s);
}

static void an_order_is_on_disk_before_its_delivery_ends(void **state)
{
	play(state, play_recorded_orders);
}

static void an_order_is_in_the_ledger_before_its_delivery_ends(void **state)
{
	play(state, play_recorded_orders_in_the_log);
}

static void leave_order(struct scene *s, const char *id, enum journal_kind kind)
{
	AUTO(queue_file) f = { .fd = -1 };

	assert_int_equal(queue_file_find(s->q.queue, str_of(id), true, &f), 0);
	assert_int_equal(queue_order(&f, kind), 0);
}

static void play_succession(struct scene *s)
{
	char held[32], requeued[32];

	announce(s, held, "defer@x");
	announce(s, requeued, "defer@x");
	settle(s);
	leave_order(s, held, JOURNAL_HELD);
	leave_order(s, requeued, JOURNAL_REQUEUED);
	buf_clear(&s->deliveries);
	make_due(s, held);
	make_due(s, requeued);
	settle(s);
	EXPECT_DELIVERIES(s, "");
	assert_true(lies_in(s, QUEUE_HOLD, held));
	assert_true(lies_in(s, QUEUE_MAILDROP, requeued));
	assert_false(lies_in(s, QUEUE_DEFERRED, requeued));
}

static void a_successor_carries_out_what_was_ordered(void **state)
{
	play(state, play_succession);
}

static void play_ordered_during_a_reload(struct scene *s)
{
	char id[32];
	uint64_t n;

	announce(s, id, "defer@x");
	settle(s);
	s->q.leaving = true;
	assert_int_equal(command(s, "hold", id, &n), EAGAIN);
	assert_int_equal(n, 0);
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	s->q.leaving = false;
}

static void who_leaves_carries_out_no_order_on_what_its_successor_may_have(void **state)
{
	play(state, play_ordered_during_a_reload);
}

static void hand_over_and_say(void *scene)
{
	struct scene *s = scene;

	hand_over(&s->q);
	buf_add_text(&s->notices, "handed over;");
}

static void play_handed_over_with_something_in_hand(struct scene *s)
{
	announce(s, (char[32]){ 0 }, "defer@x");
	settle(s);
	take_in_hand(&s->q, STR("4SVLC00001z02qSWs"));
	assert_int_equal(scope_start(s->players, "hand over", hand_over_and_say, s), 0);
	settle(s);
	EXPECT_NOTICES(s, "");
	put_down(&s->q, STR("4SVLC00001z02qSWs"));
	settle(s);
	EXPECT_NOTICES(s, "handed over;");
}

static void the_queue_is_handed_over_when_nothing_is_on_its_way_from_place_to_place(void **state)
{
	play(state, play_handed_over_with_something_in_hand);
}

static void play_held_after_a_reload(struct scene *s)
{
	struct queue_lock predecessor = { 0 };
	char id[32];
	uint64_t n;

	announce(s, id, "defer@x");
	settle(s);
	assert_int_equal(queue_lock(s->q.queue, QUEUE_DEFERRED, str_of(id), &predecessor), 0);
	assert_int_equal(command(s, "hold", id, &n), 0);
	assert_int_equal(n, 1);
	assert_true(lies_in(s, QUEUE_DEFERRED, id));	/* where it looks for it when it is through */
	queue_unlock(s->q.queue, str_of(id), &predecessor);
	buf_clear(&s->deliveries);
	assert_int_equal(queue_set_next_attempt(s->q.queue, QUEUE_DEFERRED, str_of(id), wall_s() + 500), 0);
	sleepers_set_due(s->q.sleepers, sleepers_find(s->q.sleepers, str_of(id)), wall_us());
	intake_wake(&s->q);
	settle(s);
	EXPECT_DELIVERIES(s, "");
	assert_true(lies_in(s, QUEUE_HOLD, id));
}

static void what_a_predecessor_still_delivers_is_held_when_that_is_through(void **state)
{
	play(state, play_held_after_a_reload);
}

static void play_moved_by_a_predecessor(struct scene *s)
{
	struct queue *predecessor;
	char id[32];
	uint64_t n;

	use_log(s);
	s->conf.qmgr_message_active_limit = 0;		/* so that it stays asleep */
	announce(s, id, "ok@x");
	settle(s);
	predecessor = open_predecessor(s);
	assert_int_equal(queue_move(predecessor, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(id)), 0);
	queue_close(predecessor);
	assert_int_equal(command(s, "hold", id, &n), 0);
	assert_int_equal(n, 1);
	assert_true(lies_in(s, QUEUE_HOLD, id));
}

static void what_a_predecessor_moved_out_of_the_log_is_held_where_it_is(void **state)
{
	play(state, play_moved_by_a_predecessor);
}

/* Ours instead of the C library's: it happens after somebody was told whether a message in the log is locked. */
static void (*when_told)(void);

enum { FIRST_BYTES = 1 << 20 };		/* of a segment; its owner's lock is far behind */

int fcntl(int fd, int command, ...)
{
	va_list args;
	long arg;
	int r;

	va_start(args, command);
	arg = va_arg(args, long);
	va_end(args);
	r = (int) syscall(SYS_fcntl, fd, command, arg);
	if (command == F_OFD_GETLK && when_told != NULL && ((struct flock *) arg)->l_start < FIRST_BYTES) {
		void (*now)(void) = when_told;

		when_told = NULL;
		now();
	}
	return r;
}

static struct queue_exit move;

static void end_move(void)
{
	assert_int_equal(queue_exit_end(&move, 0), 0);
}

static void play_moved_at_that_moment(struct scene *s)
{
	struct queue *predecessor;
	char id[32];
	uint64_t n;

	use_log(s);
	s->conf.qmgr_message_active_limit = 0;
	announce(s, id, "ok@x");
	settle(s);
	predecessor = open_predecessor(s);
	assert_int_equal(queue_exit_begin(predecessor, str_of(id), QUEUE_DEFERRED, &move), 0);
	assert_int_equal(queue_exit_write(&move), 0);
	when_told = end_move;
	assert_int_equal(command(s, "hold", id, &n), 0);
	assert_null(when_told);
	assert_int_equal(n, 1);
	queue_close(predecessor);
	assert_true(lies_in(s, QUEUE_HOLD, id));
}

/* The order was noted where nobody reads it any more. */
static void what_a_predecessor_moves_before_it_is_told_to_hold_it_is_held(void **state)
{
	play(state, play_moved_at_that_moment);
}

/* Likewise: it happens after the first file has been removed, or was not there. */
static void (*when_removed)(void);

int unlinkat(int dir, const char *path, int flags)
{
	int r = (int) syscall(SYS_unlinkat, dir, path, flags);

	if (when_removed != NULL) {
		void (*now)(void) = when_removed;

		when_removed = NULL;
		now();
	}
	return r;
}

static struct queue *mover;
static char moving[32];

static void move_if_it_is_there(void)
{
	queue_move(mover, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(moving));
	errno = ENOENT;
}

static void play_moved_while_it_is_deleted(struct scene *s)
{
	uint64_t n;

	s->conf.qmgr_message_active_limit = 0;
	announce(s, moving, "ok@x");
	settle(s);
	mover = s->q.queue;
	when_removed = move_if_it_is_there;
	assert_int_equal(command(s, "delete", moving, &n), 0);
	assert_null(when_removed);
	assert_int_equal(n, 1);
	assert_false(lies_anywhere(s, moving));
}

static void what_a_predecessor_moves_while_it_is_deleted_is_deleted(void **state)
{
	play(state, play_moved_while_it_is_deleted);
}

static void play_ordered_twice_at_once(struct scene *s)
{
	char all_hang[32], waiting[32];
	AUTO(buf) twice = BUF(100);
	uint64_t n;

	announce(s, all_hang, "hang@a hang@b hang@c hang@d hang@e hang@f hang@g hang@h hang@i hang@j hang@k hang@l");
	announce(s, waiting, "ok@m");
	settle(s);
	buf_addf(&twice, "%s\n%s", waiting, waiting);
	assert_int_equal(command(s, "requeue", buf_text(&twice), &n), 0);
	assert_int_equal(n, 1);
	assert_true(lies_in(s, QUEUE_MAILDROP, waiting));
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
}

/* An order to hold it would be answered, and nobody would hold anything. */
static void what_is_handed_in_again_takes_no_more_orders(void **state)
{
	play(state, play_ordered_twice_at_once);
}

static uint64_t command_on_a_full_disk(struct scene *s, const char *name, const char *argument)
{
	struct rlimit old, none;
	uint64_t code, n;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	none = (struct rlimit){ 0, old.rlim_max };
	setrlimit(RLIMIT_FSIZE, &none);
	code = command(s, name, argument, &n);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(n, 0);
	return code;
}

static void play_full_disk(struct scene *s)
{
	char id[32];

	announce(s, id, "hang@x defer@y");
	settle(s);
	assert_int_equal(command_on_a_full_disk(s, "hold", id), EFBIG);
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	buf_clear(&s->deliveries);
	make_due(s, id);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp defer@y;");
}

static void play_full_disk_under_the_log(struct scene *s)
{
	use_log(s);
	play_full_disk(s);
}

static void an_order_that_cannot_be_recorded_is_refused(void **state)
{
	play(state, play_full_disk);
}

static void an_order_that_the_ledger_does_not_take_is_refused(void **state)
{
	play(state, play_full_disk_under_the_log);
}

static void play_unknown(struct scene *s)
{
	AUTO(buf) packed = BUF(1 << 20);
	struct queue_parts parts;
	char moved[32], deleted[32], unresolved[32];
	uint64_t n;

	/* moved by a predecessor, and not yet noticed */
	make_message(s, moved, "ok@x", 0, &packed, &parts);
	buf_clear(&packed);
	make_message(s, deleted, "ok@x", 0, &packed, &parts);
	sleepers_add(s->q.sleepers, QUEUE_INCOMING, str_of(moved), INT64_MAX, 0);
	sleepers_add(s->q.sleepers, QUEUE_INCOMING, str_of(deleted), INT64_MAX, 0);
	assert_int_equal(queue_move(s->q.queue, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(moved)), 0);
	assert_int_equal(queue_move(s->q.queue, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(deleted)), 0);
	assert_int_equal(command(s, "hold", moved, &n), 0);
	assert_true(lies_in(s, QUEUE_HOLD, moved));
	assert_int_equal(command(s, "delete", deleted, &n), 0);
	assert_false(lies_anywhere(s, deleted));
	/* arrived, and its recipients not yet looked at */
	s->q.is_ready = false;		/* so that they stay so */
	announce(s, unresolved, "ok@x");
	assert_int_equal(s->q.arrival_count, 1);
	assert_int_equal(command(s, "hold", unresolved, &n), 0);
	s->q.is_ready = true;
	intake_wake(&s->q);
	settle(s);
	EXPECT_DELIVERIES(s, "");
	assert_true(lies_in(s, QUEUE_HOLD, unresolved));
}

static void a_message_is_found_by_a_command_wherever_it_lies(void **state)
{
	play(state, play_unknown);
}

#define IN_SCENE(test) cmocka_unit_test_setup_teardown(test, scene_begin, scene_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCENE(who_leaves_carries_out_no_order_on_what_its_successor_may_have),
		IN_SCENE(the_queue_is_handed_over_when_nothing_is_on_its_way_from_place_to_place),
		IN_SCENE(commands_take_effect_at_once),
		IN_SCENE(a_flush_delivers_what_waits_for_a_deferred_transport),
		IN_SCENE(a_hold_does_not_keep_what_is_delivered_meanwhile),
		IN_SCENE(who_was_delivered_between_hold_and_release_does_not_get_it_again),
		IN_SCENE(a_command_reaches_a_message_that_is_leaving_the_intake_log),
		IN_SCENE(all_of_a_message_that_expires_is_told_now),
		IN_SCENE(a_message_released_while_it_moves_to_hold_does_not_stay_there),
		IN_SCENE(what_leaves_the_log_after_a_reload_is_requeued_by_the_successor),
		IN_SCENE(what_is_being_requeued_is_not_found_by_a_scan),
		IN_SCENE(an_order_is_on_disk_before_its_delivery_ends),
		IN_SCENE(an_order_is_in_the_ledger_before_its_delivery_ends),
		IN_SCENE(a_successor_carries_out_what_was_ordered),
		IN_SCENE(what_a_predecessor_still_delivers_is_held_when_that_is_through),
		IN_SCENE(what_a_predecessor_moved_out_of_the_log_is_held_where_it_is),
		IN_SCENE(what_a_predecessor_moves_before_it_is_told_to_hold_it_is_held),
		IN_SCENE(what_a_predecessor_moves_while_it_is_deleted_is_deleted),
		IN_SCENE(what_is_handed_in_again_takes_no_more_orders),
		IN_SCENE(an_order_that_cannot_be_recorded_is_refused),
		IN_SCENE(an_order_that_the_ledger_does_not_take_is_refused),
		IN_SCENE(a_message_is_found_by_a_command_wherever_it_lies),
	};

	return cmocka_run_group_tests_name("qmgr commands", tests, NULL, NULL);
}
