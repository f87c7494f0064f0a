/* SPDX-License-Identifier: ISC */
/* Messages moving out of the intake log into files of their own. */
#include "lib/queue/intake_for_test.h"

#include <stdarg.h>
#include <sys/syscall.h>

#include "lib/queue/syncs_for_test.h"

/* Ours instead of the C library's. */
static int failing_file_syncs;

int fsync(int fd)
{
	if (failing_file_syncs > 0) {
		failing_file_syncs--;
		errno = EIO;
		return -1;
	}
	return (int) syscall(SYS_fsync, fd);
}

/* Of the ledger, when a message's lock is given back. */
static const struct fixture *watched;
static char ledger_at_unlock[256];

static void read_ledger(const char *segment)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "intake/done-%s", segment);
	AUTO_FD fd = openat(watched->s.dir, path, O_RDONLY);
	n = fd < 0 ? 0 : pread(fd, ledger_at_unlock, sizeof(ledger_at_unlock) - 1, 0);
	ledger_at_unlock[MAX(n, 0)] = '\0';
}

static char watched_segment[SEGMENT_NAME_SIZE];

int fcntl(int fd, int command, ...)
{
	va_list args;
	long arg;

	va_start(args, command);
	arg = va_arg(args, long);
	va_end(args);
	if (command == F_OFD_SETLK && watched != NULL && ((struct flock *) arg)->l_type == F_UNLCK)
		read_ledger(watched_segment);
	return (int) syscall(SYS_fcntl, fd, command, arg);
}

static void results_are_in_the_ledger_and_go_along_to_a_file_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n"), other = put(f, "y\n");

	open_reader(f);
	note_outcome(f, &p, 1, OUTCOME_DELIVERED);
	note_outcome(f, &other, 0, OUTCOME_DELIVERED);
	open_reader(f);
	assert_int_equal(journal_of(f->reader, QUEUE_INCOMING, &p).outcomes, 1);
	assert_int_equal(journal_of(f->reader, QUEUE_INCOMING, &p).last, 1);
	assert_int_equal(queue_move(f->reader, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(p.id)), 0);
	assert_false(lies(f->reader, QUEUE_INCOMING, p.id));
	assert_int_equal(journal_of(f->reader, QUEUE_DEFERRED, &p).outcomes, 1);
	open_reader(f);
	assert_false(lies(f->reader, QUEUE_INCOMING, p.id));
	assert_true(lies(f->reader, QUEUE_DEFERRED, p.id));
}

static void a_move_that_a_crash_cut_short_is_completed(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	struct queue_exit x;

	open_reader(f);
	note_outcome(f, &p, 0, OUTCOME_DELIVERED);
	assert_int_equal(queue_exit_begin(f->reader, str_of(p.id), QUEUE_DEFERRED, &x), 0);
	assert_int_equal(queue_exit_begin(f->reader, str_of(p.id), QUEUE_DEFERRED, &x), -EBUSY);
	assert_int_equal(queue_exit_write(&x), 0);
	assert_int_equal(queue_exit_sync(&x), 0);
	syncs = 0;
	open_reader(f);
	assert_int_equal(syncs, 1);		/* of the ledger, before anybody removes the file */
	assert_false(lies(f->reader, QUEUE_INCOMING, p.id));
	assert_true(journal_of(f->reader, QUEUE_DEFERRED, &p).outcomes >= 1);	/* twice does no harm */
	close(x.fd);
	buf_free(&x.journal);
}

/* Who was killed had not synced the copy perhaps: the log must not forget the message before. */
static void a_move_that_a_crash_cut_short_is_synced_before_the_log_forgets_it(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	AUTO(queue_file) file = { .fd = -1 };
	struct queue_exit x;

	open_reader(f);
	write_move(f->reader, &p, QUEUE_DEFERRED, &x);
	failing_file_syncs = 1;
	open_reader(f);
	assert_int_equal(failing_file_syncs, 0);
	assert_non_null(residents_find(f->reader->residents, str_of(p.id)));
	failing_file_syncs = 1;
	assert_int_equal(queue_file_open(f->reader, QUEUE_INCOMING, str_of(p.id), false, false, &file), 0);
	assert_int_equal(queue_file_is_current(f->reader, &file), -EIO);	/* else it would be there twice */
	open_reader(f);
	assert_null(residents_find(f->reader->residents, str_of(p.id)));
	assert_true(lies(f->reader, QUEUE_DEFERRED, p.id));
	close(x.fd);
}

/* What was durable in the ledger stays so: the same sync makes it durable in the file. */
static void what_the_ledger_said_is_in_the_copy_when_it_is_synced(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	struct queue_exit x;

	open_reader(f);
	note_outcome(f, &p, 0, OUTCOME_DELIVERED);
	write_move(f->reader, &p, QUEUE_DEFERRED, &x);
	assert_int_equal(queue_exit_sync(&x), 0);
	assert_int_equal(journal_of(f->reader, QUEUE_DEFERRED, &p).outcomes, 1);
	note_outcome(f, &p, 1, OUTCOME_DELIVERED);		/* meanwhile */
	assert_int_equal(queue_exit_end(&x, 0), 0);
	assert_int_equal(journal_of(f->reader, QUEUE_DEFERRED, &p).last, 1);
}

/* afresh: the looks before could not read the ledger */
static void look_as_if_for_the_first_time(struct fixture *f, bool afresh)
{
	LIST_EACH(s, &f->reader->residents->segments, struct segment, link)
		s->was_resumed &= !afresh;
	assert_int_equal(residents_look(f->reader->residents), 0);
}

static void a_look_meanwhile_does_not_take_our_own_move_for_one_that_was_cut_short(void **state)
{
	struct fixture *f = *state;
	struct queue_exit x;
	bool missed;
	struct put p;

	for (int announced = 0; announced < 2; announced++) {
		if (announced == 0)
			p = put(f, "body\n");
		open_reader(f);
		if (announced == 1) {
			open_writer(f, SEGMENT);
			p = put(f, "body\n");
			assert_int_equal(queue_announced(f->reader, &p.place, str_of(p.id), &missed), 1);
		}
		assert_int_equal(queue_exit_begin(f->reader, str_of(p.id), QUEUE_DEFERRED, &x), 0);
		x.fd = openat(x.dir, x.path, O_RDWR | O_CREAT | O_EXCL, 0600);		/* half of it */
		assert_true(x.fd >= 0);
		look_as_if_for_the_first_time(f, announced == 0);
		close(x.fd);
		assert_int_equal(unlinkat(x.dir, x.path, 0), 0);
		assert_int_equal(queue_exit_write(&x), 0);
		look_as_if_for_the_first_time(f, announced == 0);
		assert_int_equal(queue_exit_end(&x, queue_exit_sync(&x)), 0);
		assert_true(lies(f->reader, QUEUE_DEFERRED, p.id));
	}
}

static void half_a_copy_is_not_the_message(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	struct queue_exit x;

	open_reader(f);
	write_move(f->reader, &p, QUEUE_DEFERRED, &x);
	assert_int_equal(ftruncate(x.fd, QUEUE_HEAD_SIZE + 10), 0);
	open_reader(f);
	assert_true(lies(f->reader, QUEUE_INCOMING, p.id));
	assert_int_equal(queue_move(f->reader, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(p.id)), 0);
	assert_true(lies(f->reader, QUEUE_DEFERRED, p.id));
	close(x.fd);
}

static void a_copy_without_its_envelope_is_not_the_message(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	struct queue_exit x;
	struct stat st;

	open_reader(f);
	write_move(f->reader, &p, QUEUE_DEFERRED, &x);
	assert_int_equal(fstat(x.fd, &st), 0);
	assert_int_equal(pwrite(x.fd, "\0", 1, st.st_size - 10), 1);		/* the sector that a power cut tore */
	open_reader(f);
	assert_non_null(residents_find(f->reader->residents, str_of(p.id)));
	assert_false(lies(f->reader, QUEUE_DEFERRED, p.id));
	close(x.fd);
}

static void half_a_copy_of_a_predecessor_that_lives_is_left_to_it(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	struct queue_exit x, y;

	open_reader(f);
	write_move(f->reader, &p, QUEUE_DEFERRED, &x);
	assert_int_equal(ftruncate(x.fd, QUEUE_HEAD_SIZE + 10), 0);
	assert_int_equal(queue_open_intake(f->writer, f->s.dir, true, true), 0);
	assert_int_equal(residents_look(f->writer->residents), 0);
	assert_int_equal(queue_exit_begin(f->writer, str_of(p.id), QUEUE_DEFERRED, &y), -EBUSY);
	assert_int_equal(faccessat(x.dir, x.path, F_OK, 0), 0);
	assert_int_equal(queue_exit_end(&x, -EIO), -EIO);
	assert_int_equal(queue_move(f->writer, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(p.id)), 0);
	assert_true(lies(f->writer, QUEUE_DEFERRED, p.id));
}

/* Another process that has the same queue: it looks at it now. */
static void open_successor(struct fixture *f)
{
	assert_int_equal(queue_open_intake(f->writer, f->s.dir, true, true), 0);
	assert_int_equal(residents_look(f->writer->residents), 0);
}

static int is_locked_for(struct queue *q, const char *id)
{
	AUTO(queue_file) file = { .fd = -1 };

	assert_int_equal(queue_file_open(q, QUEUE_INCOMING, str_of(id), false, false, &file), 0);
	return queue_file_is_locked(&file);
}

/* Since our last look at the ledger. */
static void what_a_predecessor_has_delivered_is_not_moved(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	struct queue_lock lock = { 0 };
	struct queue_exit x;

	open_reader(f);
	assert_int_equal(queue_lock(f->reader, QUEUE_INCOMING, str_of(p.id), &lock), 0);
	open_successor(f);
	assert_int_equal(queue_exit_begin(f->writer, str_of(p.id), QUEUE_INCOMING, &x), -EBUSY);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(p.id)), 0);
	queue_unlock(f->reader, str_of(p.id), &lock);
	assert_int_equal(queue_exit_begin(f->writer, str_of(p.id), QUEUE_INCOMING, &x), -ENOENT);
	assert_false(lies(f->writer, QUEUE_INCOMING, p.id));
	assert_int_equal(files_in(f, "incoming", ""), 0);
}

/* The move began before it was locked for a successor to see. */
static void what_is_being_delivered_stays_where_its_lock_is(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	struct queue_lock lock = { 0 };
	struct queue_exit x;

	open_reader(f);
	assert_int_equal(queue_exit_begin(f->reader, str_of(p.id), QUEUE_INCOMING, &x), 0);
	assert_int_equal(queue_lock(f->reader, QUEUE_INCOMING, str_of(p.id), &lock), 0);
	open_successor(f);
	assert_int_equal(queue_exit_write(&x), 0);
	assert_int_equal(queue_exit_end(&x, queue_exit_sync(&x)), -EBUSY);
	assert_int_equal(files_in(f, "incoming", ""), 0);
	assert_int_equal(is_locked_for(f->writer, p.id), 1);
	queue_unlock(f->reader, str_of(p.id), &lock);
	assert_int_equal(is_locked_for(f->writer, p.id), 0);
}

static void a_delivery_that_ends_leaves_a_move_its_lock(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	struct queue_lock lock = { 0 };
	struct queue_exit x;

	open_reader(f);
	assert_int_equal(queue_exit_begin(f->reader, str_of(p.id), QUEUE_INCOMING, &x), 0);
	assert_int_equal(queue_lock(f->reader, QUEUE_INCOMING, str_of(p.id), &lock), 0);
	assert_int_equal(queue_exit_write(&x), 0);
	queue_unlock(f->reader, str_of(p.id), &lock);
	open_successor(f);		/* it must not take the copy for a dead one's */
	assert_int_equal(is_locked_for(f->writer, p.id), 1);
	assert_int_equal(queue_exit_end(&x, queue_exit_sync(&x)), 0);
	assert_int_equal(is_locked_for(f->writer, p.id), 0);
	assert_int_equal(queue_exit_begin(f->writer, str_of(p.id), QUEUE_INCOMING, &x), -ENOENT);
	assert_true(lies(f->writer, QUEUE_INCOMING, p.id));
}

/* Else a successor would deliver it from there, and again from its file. */
static void the_log_is_unlocked_when_it_has_forgotten_the_message(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	struct queue_exit x;

	open_reader(f);
	write_move(f->reader, &p, QUEUE_DEFERRED, &x);
	memcpy(watched_segment, p.place.segment, sizeof(watched_segment));
	watched = f;
	assert_int_equal(queue_exit_end(&x, queue_exit_sync(&x)), 0);
	watched = NULL;
	assert_true(str_find_str(str_of(ledger_at_unlock), str_of(p.id)) >= 0);
}

static void what_is_finished_while_it_moves_leaves_no_file(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	struct queue_exit x;

	open_reader(f);
	write_move(f->reader, &p, QUEUE_DEFERRED, &x);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(p.id)), 0);
	assert_int_equal(queue_exit_end(&x, 0), -ENOENT);
	assert_false(lies(f->reader, QUEUE_DEFERRED, p.id));
}

/* The ledger would not bring it back, so its copy must not either. */
static void what_is_finished_while_it_moves_is_gone_after_a_death_too(void **state)
{
	struct fixture *f = *state;
	struct put early = put(f, "x\n"), late = put(f, "y\n");
	struct queue_exit x, y;

	open_reader(f);
	assert_int_equal(queue_exit_begin(f->reader, str_of(early.id), QUEUE_DEFERRED, &x), 0);
	assert_int_equal(queue_exit_begin(f->reader, str_of(late.id), QUEUE_DEFERRED, &y), 0);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(early.id)), 0);
	assert_int_equal(queue_exit_write(&x), -ENOENT);
	assert_int_equal(queue_exit_write(&y), 0);
	assert_int_equal(queue_exit_sync(&y), 0);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(late.id)), 0);
	open_reader(f);
	for (int i = 0; i < 2; i++) {
		AUTO(queue_file) file = { .fd = -1 };

		assert_true(queue_file_open(f->reader, QUEUE_DEFERRED, str_of(i == 0 ? early.id : late.id),
					    false, true, &file) < 0);
	}
	close(x.fd);
	close(y.fd);
}

static void note_status(void *arg, const struct journal_record *r)
{
	buf_addf(arg, "%.*s ", PSTR(outcome_status_text(r->outcome.status)));
}

static void expect_statuses(struct fixture *f, const struct put *p, const char *expected)
{
	AUTO(queue_file) file = { .fd = -1 };
	AUTO(buf) statuses = BUF(1000);

	assert_int_equal(queue_file_open(f->reader, QUEUE_DEFERRED, str_of(p->id), false, true, &file), 0);
	assert_int_equal(journal_read(&file, note_status, &statuses), 0);
	assert_string_equal(buf_text(&statuses), expected);
}

/* The ledger took nothing for a while: the copy is newer. */
static void a_move_that_is_completed_says_nothing_again_that_is_older(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n"), q = put(f, "y\n");
	struct queue_exit x, y;

	open_reader(f);
	note_outcome(f, &p, 1, OUTCOME_DEFERRED);
	note_outcome(f, &q, 1, OUTCOME_DEFERRED);
	assert_int_equal(queue_exit_begin(f->reader, str_of(p.id), QUEUE_DEFERRED, &x), 0);
	assert_int_equal(queue_exit_begin(f->reader, str_of(q.id), QUEUE_DEFERRED, &y), 0);
	assert_int_equal(queue_exit_write(&x), 0);
	assert_int_equal(queue_exit_write(&y), 0);
	note_outcome(f, &q, 1, OUTCOME_DEFERRED);
	note_outcome(f, &q, 1, OUTCOME_DELIVERED);
	{
		AUTO(queue_file) file = { .fd = -1 };

		assert_int_equal(queue_file_open(f->reader, QUEUE_DEFERRED, str_of(p.id), true, false, &file), 0);
		assert_int_equal(journal_append(&file, &(struct journal_record){ .kind = JOURNAL_OUTCOME,
			.outcome = { .index = 1, .status = OUTCOME_DELIVERED } }, 1), 0);
	}
	open_reader(f);
	expect_statuses(f, &p, "deferred delivered ");
	expect_statuses(f, &q, "deferred deferred delivered ");
	close(x.fd);
	close(y.fd);
	buf_free(&x.journal);
	buf_free(&y.journal);
}

static void what_became_of_a_message_while_it_moved_is_synced_before_the_ledger_is_done_with_it(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	struct queue_exit x;

	open_reader(f);
	write_move(f->reader, &p, QUEUE_DEFERRED, &x);
	assert_int_equal(queue_exit_sync(&x), 0);
	note_outcome(f, &p, 1, OUTCOME_DELIVERED);
	syncs = 0;
	assert_int_equal(queue_exit_end(&x, 0), 0);
	assert_int_equal(syncs, 1);
	expect_statuses(f, &p, "delivered ");
}

static void a_copy_for_people_is_the_file_that_it_would_be(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "shown\n");
	AUTO(queue_file) file = { .fd = -1 };
	struct heard h = { 0 };

	open_reader(f);
	note_outcome(f, &p, 1, OUTCOME_DEFERRED);
	AUTO_FD fd = openat(f->s.dir, "copy", O_RDWR | O_CREAT, 0600);
	assert_int_equal(queue_copy_from_log(f->reader, str_of(p.id), fd), 0);
	assert_int_equal(queue_file_take(fd, QUEUE_INCOMING, true, &file), 0);
	fd_take(&fd);
	assert_string_equal(file.id, p.id);
	assert_int_equal(journal_read(&file, hear, &h), 0);
	assert_int_equal(h.outcomes, 1);
	assert_int_equal(queue_copy_from_log(f->reader, STR("4Nobody"), file.fd), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LOG(results_are_in_the_ledger_and_go_along_to_a_file_of_its_own),
		WITH_LOG(a_move_that_a_crash_cut_short_is_completed),
		WITH_LOG(a_move_that_a_crash_cut_short_is_synced_before_the_log_forgets_it),
		WITH_LOG(what_the_ledger_said_is_in_the_copy_when_it_is_synced),
		WITH_LOG(a_copy_without_its_envelope_is_not_the_message),
		WITH_LOG(a_look_meanwhile_does_not_take_our_own_move_for_one_that_was_cut_short),
		WITH_LOG(half_a_copy_is_not_the_message),
		WITH_LOG(half_a_copy_of_a_predecessor_that_lives_is_left_to_it),
		WITH_LOG(what_a_predecessor_has_delivered_is_not_moved),
		WITH_LOG(what_is_being_delivered_stays_where_its_lock_is),
		WITH_LOG(a_delivery_that_ends_leaves_a_move_its_lock),
		WITH_LOG(the_log_is_unlocked_when_it_has_forgotten_the_message),
		WITH_LOG(what_is_finished_while_it_moves_leaves_no_file),
		WITH_LOG(what_is_finished_while_it_moves_is_gone_after_a_death_too),
		WITH_LOG(a_move_that_is_completed_says_nothing_again_that_is_older),
		WITH_LOG(what_became_of_a_message_while_it_moved_is_synced_before_the_ledger_is_done_with_it),
		WITH_LOG(a_copy_for_people_is_the_file_that_it_would_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
