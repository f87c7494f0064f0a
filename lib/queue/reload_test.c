/* SPDX-License-Identifier: ISC */
/*
 * Two queue managers on one queue, of which one leaves: single cases that succession_test found, each with the step
 * of the one put between two of the other.
 */
#include "lib/queue/intake_for_test.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "lib/disk/disk.h"
#include "lib/queue/orders.h"

/* Happens when somebody asks whether a message in the log is locked, and before he is told. */
static void (*when_asked)(void);

enum { FIRST_BYTES = 1 << 20 };		/* of a segment; its owner's lock is far behind */

int fcntl(int fd, int command, ...)
{
	va_list args;
	long arg;

	va_start(args, command);
	arg = va_arg(args, long);
	va_end(args);
	if (command == F_OFD_GETLK && when_asked != NULL && ((struct flock *) arg)->l_start < FIRST_BYTES) {
		void (*now)(void) = when_asked;

		when_asked = NULL;
		now();
	}
	return (int) syscall(SYS_fcntl, fd, command, arg);
}

/* The reader was there first. */
static void open_successor(struct fixture *f)
{
	assert_int_equal(queue_open_intake(f->writer, f->s.dir, true, true), 0);
	assert_int_equal(residents_look(f->writer->residents), 0);
}

static struct queue_exit move;

/* Happens when the copy of that move is closed: after the last look at the ledger, and before it says "done". */
static void (*when_closed)(void);

int close(int fd)
{
	int r = (int) syscall(SYS_close, fd);

	if (when_closed != NULL && fd == move.fd) {
		void (*now)(void) = when_closed;

		when_closed = NULL;
		now();
	}
	return r;
}

static void end_move(void)
{
	assert_int_equal(queue_exit_end(&move, 0), 0);
}

static void count_done(void *arg, const struct journal_record *r)
{
	*(int *) arg += r->kind == JOURNAL_DONE;
}

/* The log's "done" means that it is in a file; in the file it would mean that everybody has got it. */
static void a_move_that_ends_while_a_successor_looks_is_not_taken_for_the_messages_end(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	AUTO(queue_file) file = { .fd = -1 };
	int done = 0;

	open_reader(f);
	note_outcome(f, &p, 0, OUTCOME_DELIVERED);
	write_move(f->reader, &p, QUEUE_DEFERRED, &move);
	assert_int_equal(queue_exit_sync(&move), 0);
	when_asked = end_move;
	open_successor(f);
	assert_null(when_asked);
	assert_false(queue_is_in_log(f->writer, QUEUE_INCOMING, str_of(p.id)));
	assert_int_equal(queue_file_open(f->writer, QUEUE_DEFERRED, str_of(p.id), false, true, &file), 0);
	assert_int_equal(journal_read(&file, count_done, &done), 0);
	assert_int_equal(done, 0);
}

static void what_a_predecessor_has_delivered_is_not_handed_in_again(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");

	open_reader(f);
	open_successor(f);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(p.id)), 0);
	assert_int_equal(queue_requeue(f->writer, QUEUE_INCOMING, str_of(p.id)), -ENOENT);
	assert_int_equal(files_in(f, "maildrop", ""), 0);
}

static void what_a_predecessor_wrote_to_a_file_that_is_open_already_is_read(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	AUTO(queue_file) theirs = { .fd = -1 }, ours = { .fd = -1 };
	struct journal_record record = { .kind = JOURNAL_DONE };
	int done = 0;

	open_reader(f);
	assert_int_equal(queue_move(f->reader, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(p.id)), 0);
	assert_int_equal(queue_file_open(f->reader, QUEUE_DEFERRED, str_of(p.id), true, false, &theirs), 0);
	assert_int_equal(queue_file_open(f->writer, QUEUE_DEFERRED, str_of(p.id), false, false, &ours), 0);
	assert_int_equal(journal_append(&theirs, &record, 1), 0);
	assert_int_equal(queue_file_is_current(f->writer, &ours), 0);
	assert_int_equal(journal_read(&ours, count_done, &done), 0);
	assert_int_equal(done, 1);
}

static void a_file_that_was_moved_or_replaced_since_it_was_opened_is_not_here(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n"), q = put(f, "y\n");
	AUTO(queue_file) moved = { .fd = -1 }, replaced = { .fd = -1 };

	open_reader(f);
	assert_int_equal(queue_move(f->reader, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(p.id)), 0);
	assert_int_equal(queue_move(f->reader, QUEUE_INCOMING, QUEUE_HOLD, str_of(q.id)), 0);
	assert_int_equal(queue_file_open(f->writer, QUEUE_DEFERRED, str_of(p.id), false, false, &moved), 0);
	assert_int_equal(queue_move(f->reader, QUEUE_DEFERRED, QUEUE_HOLD, str_of(p.id)), 0);
	assert_int_equal(queue_file_is_current(f->writer, &moved), -ENOENT);
	assert_int_equal(queue_file_open(f->writer, QUEUE_HOLD, str_of(q.id), false, false, &replaced), 0);
	assert_int_equal(queue_finish(f->reader, QUEUE_HOLD, str_of(q.id)), 0);
	close(openat(queue_dir(f->writer, QUEUE_HOLD), q.id, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(queue_file_is_current(f->writer, &replaced), -ENOENT);
}

/* Beside a successor that has looked already. bytes < 0: all of the copy. */
static void die_in_the_middle_of_a_move(struct fixture *f, const struct put *p, off_t bytes)
{
	struct queue_lock lock = { 0 };

	open_reader(f);
	note_outcome(f, p, 0, OUTCOME_DELIVERED);
	assert_int_equal(queue_lock(f->reader, QUEUE_INCOMING, str_of(p->id), &lock), 0);
	open_successor(f);
	assert_int_equal(queue_exit_begin(f->reader, str_of(p->id), QUEUE_DEFERRED, &move), 0);
	assert_int_equal(queue_exit_write(&move), 0);
	if (bytes >= 0)
		assert_int_equal(ftruncate(move.fd, bytes), 0);
	close(move.fd);
	buf_free(&move.journal);
	queue_close(f->reader);
	f->reader = NULL;
}

/* Else it would go from the log to one place, while it lies in another already. */
static void what_a_dead_predecessor_had_moved_is_not_in_the_log_any_more(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n"), q;

	die_in_the_middle_of_a_move(f, &p, -1);
	assert_int_equal(queue_requeue(f->writer, QUEUE_INCOMING, str_of(p.id)), -ENOENT);
	assert_int_equal(files_in(f, "maildrop", ""), 0);
	assert_int_equal(journal_of(f->writer, QUEUE_DEFERRED, &p).outcomes, 1);
	open_writer(f, SEGMENT);
	q = put(f, "y\n");
	die_in_the_middle_of_a_move(f, &q, -1);
	assert_int_equal(queue_exit_begin(f->writer, str_of(q.id), QUEUE_HOLD, &move), -ENOENT);
	assert_true(lies(f->writer, QUEUE_DEFERRED, q.id));
}

static void half_a_copy_of_a_dead_predecessor_is_removed(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	AUTO(queue_file) file = { .fd = -1 };

	die_in_the_middle_of_a_move(f, &p, 10);
	assert_int_equal(queue_file_open(f->writer, QUEUE_DEFERRED, str_of(p.id), false, false, &file), -ENODATA);
	assert_int_equal(queue_file_open(f->writer, QUEUE_INCOMING, str_of(p.id), false, false, &file), 0);
	assert_int_equal(queue_file_is_current(f->writer, &file), 0);
	assert_false(lies(f->writer, QUEUE_DEFERRED, p.id));
}

/* Else it would be delivered from the log, and from that file once more. */
static void what_cannot_be_looked_for_now_is_not_taken_to_lie_in_the_log_only(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	AUTO(queue_file) file = { .fd = -1 };
	struct rlimit usual, none;
	int r;

	die_in_the_middle_of_a_move(f, &p, -1);
	assert_int_equal(queue_file_open(f->writer, QUEUE_INCOMING, str_of(p.id), false, false, &file), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
	none = (struct rlimit){ 0, usual.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = queue_file_is_current(f->writer, &file);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
	assert_int_equal(r, -EMFILE);
	assert_int_equal(queue_file_is_current(f->writer, &file), -ENOENT);
	assert_true(lies(f->writer, QUEUE_DEFERRED, p.id));
}

static void count_released(void *arg, const struct journal_record *r)
{
	*(int *) arg += r->kind == JOURNAL_RELEASED;
}

/* postsuper -H of what a predecessor moved to hold/ meanwhile: in the log nobody would read it. */
static void what_is_released_is_looked_for_where_a_predecessor_moved_it(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	AUTO(queue_file) file = { .fd = -1 }, there = { .fd = -1 };
	int released = 0;

	open_reader(f);
	assert_int_equal(queue_file_open(f->reader, QUEUE_INCOMING, str_of(p.id), true, false, &file), 0);
	assert_int_equal(queue_order(&file, JOURNAL_HELD), 0);
	open_successor(f);
	assert_int_equal(queue_move(f->reader, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(p.id)), 0);
	assert_int_equal(queue_release(f->writer, str_of(p.id)), 1);
	assert_int_equal(queue_file_open(f->writer, QUEUE_DEFERRED, str_of(p.id), false, true, &there), 0);
	assert_int_equal(journal_read(&there, count_released, &released), 0);
	assert_int_equal(released, 1);
}

/* Its copy was made of what the ledger said before. */
static void begin_a_move_beside_a_successor(struct fixture *f, const struct put *p)
{
	static struct queue_lock lock;

	open_reader(f);
	assert_int_equal(queue_lock(f->reader, QUEUE_INCOMING, str_of(p->id), &lock), 0);
	queue_write_through(f->reader);
	open_successor(f);
	assert_int_equal(queue_exit_begin(f->reader, str_of(p->id), QUEUE_DEFERRED, &move), 0);
}

static void an_order_that_comes_while_a_predecessor_moves_the_message_goes_along(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	AUTO(queue_file) ours = { .fd = -1 }, there = { .fd = -1 };
	int released = 0;

	begin_a_move_beside_a_successor(f, &p);
	assert_int_equal(queue_file_open(f->writer, QUEUE_INCOMING, str_of(p.id), true, false, &ours), 0);
	assert_int_equal(queue_order(&ours, JOURNAL_RELEASED), 0);
	assert_int_equal(queue_exit_write(&move), 0);
	assert_int_equal(queue_exit_end(&move, queue_exit_sync(&move)), 0);
	assert_int_equal(queue_file_open(f->writer, QUEUE_DEFERRED, str_of(p.id), false, true, &there), 0);
	assert_int_equal(journal_read(&there, count_released, &released), 0);
	assert_int_equal(released, 1);
}

static struct queue_file in_log;

static void order_to_hold(void)
{
	assert_int_equal(queue_order(&in_log, JOURNAL_HELD), 0);
}

static void count_held(void *arg, const struct journal_record *r)
{
	*(int *) arg += r->kind == JOURNAL_HELD;
}

static void an_order_that_comes_before_a_predecessor_says_done_goes_along(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	AUTO(queue_file) there = { .fd = -1 };
	int held = 0;

	begin_a_move_beside_a_successor(f, &p);
	assert_int_equal(queue_file_open(f->writer, QUEUE_INCOMING, str_of(p.id), true, false, &in_log), 0);
	assert_int_equal(queue_exit_write(&move), 0);
	when_closed = order_to_hold;
	assert_int_equal(queue_exit_end(&move, queue_exit_sync(&move)), 0);
	assert_null(when_closed);
	assert_int_equal(queue_file_open(f->writer, QUEUE_DEFERRED, str_of(p.id), false, true, &there), 0);
	assert_int_equal(journal_read(&there, count_held, &held), 0);
	assert_int_equal(held, 1);
}

static void an_order_that_comes_after_a_predecessor_said_done_is_refused_there(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");

	begin_a_move_beside_a_successor(f, &p);
	assert_int_equal(queue_file_open(f->writer, QUEUE_INCOMING, str_of(p.id), true, false, &in_log), 0);
	assert_int_equal(queue_exit_write(&move), 0);
	assert_int_equal(queue_exit_end(&move, queue_exit_sync(&move)), 0);
	assert_int_equal(queue_order(&in_log, JOURNAL_RELEASED), -ENOENT);
	assert_false(lies(f->writer, QUEUE_INCOMING, p.id));
	assert_true(lies(f->writer, QUEUE_DEFERRED, p.id));
}

static void what_is_deleted_while_a_predecessor_moves_it_leaves_no_file(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");

	begin_a_move_beside_a_successor(f, &p);
	assert_int_equal(queue_finish(f->writer, QUEUE_INCOMING, str_of(p.id)), 0);
	assert_int_equal(queue_exit_write(&move), 0);
	assert_int_equal(queue_exit_end(&move, queue_exit_sync(&move)), -ENOENT);
	assert_false(lies(f->writer, QUEUE_DEFERRED, p.id));
	AUTO_FD other = open_in_intake(f, &p, "log");
	/* who uses the segment anew needs the place */
	assert_int_equal(lock_is_taken_at(other, (off_t) p.place.at), 0);
}

static bool is_open(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0;
}

/* Else a pool thread reads whatever has its number next. */
static void a_segment_that_a_successor_frees_stays_open_for_who_copies_out_of_it(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	int fd;

	open_writer(f, SEGMENT);		/* the segment has no owner any more */
	open_reader(f);
	assert_int_equal(queue_exit_begin(f->reader, str_of(p.id), QUEUE_DEFERRED, &move), 0);
	fd = move.log_fd;
	open_successor(f);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(p.id)), 0);
	residents_look(f->writer->residents);
	queue_keep_intake(f->writer);
	assert_int_equal(queue_keep_intake(f->writer), 0);
	assert_int_equal(files_in(f, "intake", "log-"), 0);
	residents_look(f->reader->residents);
	assert_true(is_open(fd));
	assert_int_equal(queue_exit_end(&move, queue_exit_write(&move)), -ENOENT);
	assert_false(is_open(fd));
	assert_int_equal(files_in(f, "deferred", ""), 1);	/* its hash directory */
}

/* Happens when somebody has seen that a segment is still there. */
static void (*when_seen)(void);

int fstatat(int dir, const char *restrict path, struct stat *restrict st, int flags)
{
	int r = (int) syscall(SYS_newfstatat, dir, path, st, flags);

	if (when_seen != NULL && strncmp(path, "log-", 4) == 0) {
		void (*now)(void) = when_seen;

		when_seen = NULL;
		now();
	}
	return r;
}

static struct fixture *the_fixture;

static void free_the_segment_and_use_it_anew(void)
{
	queue_keep_intake(the_fixture->reader);
	assert_int_equal(queue_keep_intake(the_fixture->reader), 0);
	assert_int_equal(files_in(the_fixture, "intake", "free-"), 1);
	put(the_fixture, "z\n");
	open_writer(the_fixture, SEGMENT);
	assert_int_equal(files_in(the_fixture, "intake", "free-"), 0);
}

static void a_segment_that_is_used_anew_while_a_successor_opens_it_is_not_damaged(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n"), q = put(f, "y\n");
	struct queue *successor = open_queue(f);

	the_fixture = f;
	open_writer(f, SEGMENT);
	open_reader(f);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(p.id)), 0);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(q.id)), 0);
	assert_int_equal(queue_open_intake(successor, f->s.dir, true, true), 0);
	when_seen = free_the_segment_and_use_it_anew;
	residents_look(successor->residents);
	assert_null(when_seen);
	assert_int_equal(files_in(f, "corrupt", ""), 0);
	assert_null(residents_find(successor->residents, str_of(q.id)));
	queue_close(successor);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LOG(a_move_that_ends_while_a_successor_looks_is_not_taken_for_the_messages_end),
		WITH_LOG(what_a_predecessor_has_delivered_is_not_handed_in_again),
		WITH_LOG(what_a_predecessor_wrote_to_a_file_that_is_open_already_is_read),
		WITH_LOG(a_file_that_was_moved_or_replaced_since_it_was_opened_is_not_here),
		WITH_LOG(what_a_dead_predecessor_had_moved_is_not_in_the_log_any_more),
		WITH_LOG(half_a_copy_of_a_dead_predecessor_is_removed),
		WITH_LOG(what_cannot_be_looked_for_now_is_not_taken_to_lie_in_the_log_only),
		WITH_LOG(what_is_released_is_looked_for_where_a_predecessor_moved_it),
		WITH_LOG(an_order_that_comes_while_a_predecessor_moves_the_message_goes_along),
		WITH_LOG(an_order_that_comes_before_a_predecessor_says_done_goes_along),
		WITH_LOG(an_order_that_comes_after_a_predecessor_said_done_is_refused_there),
		WITH_LOG(what_is_deleted_while_a_predecessor_moves_it_leaves_no_file),
		WITH_LOG(a_segment_that_a_successor_frees_stays_open_for_who_copies_out_of_it),
		WITH_LOG(a_segment_that_is_used_anew_while_a_successor_opens_it_is_not_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
