/* SPDX-License-Identifier: ISC */
/* What happened to messages in the intake log since, and who is shown when that cannot be read. */
#include "lib/queue/intake_for_test.h"

static void what_is_done_stays_done(void **state)
{
	struct fixture *f = *state;
	struct put one = put(f, "1\n"), two = put(f, "2\n");

	open_reader(f);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(one.id)), 0);
	assert_false(lies(f->reader, QUEUE_INCOMING, one.id));
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(one.id)), -ENOENT);
	open_reader(f);
	assert_false(lies(f->reader, QUEUE_INCOMING, one.id));
	assert_true(lies(f->reader, QUEUE_INCOMING, two.id));
}

/* A head that cannot be read now, or is not written yet, while the ledger can be read to its end. */
static void what_is_found_late_is_as_far_as_the_ledger_said_before(void **state)
{
	struct fixture *f = *state;
	struct put first = put(f, "1\n"), through = put(f, "2\n"), half = put(f, "3\n");

	open_reader(f);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(through.id)), 0);
	note_outcome(f, &half, 1, OUTCOME_DELIVERED);
	damage(f, &first, 100);
	open_reader(f);
	assert_false(lies(f->reader, QUEUE_INCOMING, half.id));
	damage(f, &first, 100);		/* whole again */
	assert_int_equal(residents_look(f->reader->residents), 0);
	assert_true(lies(f->reader, QUEUE_INCOMING, first.id));
	assert_false(lies(f->reader, QUEUE_INCOMING, through.id));
	assert_int_equal(journal_of(f->reader, QUEUE_INCOMING, &half).outcomes, 1);
}

static void swap(struct fixture *f, const char *kind, const struct put *p, bool away)
{
	char path[64], beside[80];

	snprintf(path, sizeof(path), "intake/%s-%s", kind, p->place.segment);
	snprintf(beside, sizeof(beside), "%s.away", path);
	if (away) {
		assert_int_equal(renameat(f->s.dir, path, f->s.dir, beside), 0);
		assert_int_equal(symlinkat("nowhere", f->s.dir, path), 0);
	} else {
		assert_int_equal(renameat(f->s.dir, beside, f->s.dir, path), 0);
	}
}

static void a_segment_that_cannot_be_opened_now_keeps_its_ledger(void **state)
{
	struct fixture *f = *state;
	struct put through = put(f, "1\n"), other = put(f, "2\n");

	open_reader(f);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(through.id)), 0);
	swap(f, "log", &through, true);
	queue_close(f->reader);
	f->reader = open_queue(f);
	assert_int_equal(queue_open_intake(f->reader, f->s.dir, true, true), 0);
	assert_int_equal(residents_look(f->reader->residents), -ELOOP);
	swap(f, "log", &through, false);
	assert_int_equal(residents_look(f->reader->residents), 0);
	assert_false(lies(f->reader, QUEUE_INCOMING, through.id));
	assert_true(lies(f->reader, QUEUE_INCOMING, other.id));
}

static int count_one(void *arg, struct str id, int64_t mtime_s)
{
	(void) id;
	(void) mtime_s;
	++*(int *) arg;
	return 0;
}

static void nobody_is_shown_whose_ledger_cannot_be_read(void **state)
{
	struct fixture *f = *state;
	struct put through = put(f, "1\n"), other = put(f, "2\n");
	AUTO(queue_file) file = { .fd = -1 };
	int count = 0;

	open_reader(f);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(through.id)), 0);
	swap(f, "done", &through, true);
	queue_close(f->reader);
	f->reader = open_queue(f);
	assert_int_equal(queue_open_intake(f->reader, f->s.dir, true, true), 0);
	assert_int_equal(queue_scan(f->reader, QUEUE_INCOMING, count_one, &count), -ELOOP);
	assert_int_equal(count, 0);
	assert_int_equal(queue_file_open(f->reader, QUEUE_INCOMING, str_of(other.id), false, false, &file), 0);
	assert_int_equal(queue_file_is_current(f->reader, &file), -ELOOP);
	swap(f, "done", &through, false);
	assert_int_equal(queue_scan(f->reader, QUEUE_INCOMING, count_one, &count), 0);
	assert_int_equal(count, 1);
	assert_false(lies(f->reader, QUEUE_INCOMING, through.id));
}

static void a_ledger_line_that_was_torn_or_damaged_counts_for_nobody(void **state)
{
	struct fixture *f = *state;
	struct put one = put(f, "1\n"), two = put(f, "2\n");

	open_reader(f);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(one.id)), 0);
	AUTO_FD fd = open_in_intake(f, &one, "done");
	flip(fd, (off_t) strlen(one.id) + 1);
	assert_true(lseek(fd, 0, SEEK_END) > 0);
	assert_int_equal(write(fd, two.id, 5), 5);
	open_reader(f);
	assert_true(lies(f->reader, QUEUE_INCOMING, one.id));
	/* the next line is not written behind the torn one */
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(two.id)), 0);
	open_reader(f);
	assert_false(lies(f->reader, QUEUE_INCOMING, two.id));
}

/* Whoever wrote it was told that it could not be written. */
static void a_ledger_line_without_its_end_does_not_count_later_either(void **state)
{
	struct fixture *f = *state;
	struct put one = put(f, "1\n"), two = put(f, "2\n");

	open_reader(f);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(one.id)), 0);
	AUTO_FD fd = open_in_intake(f, &one, "done");
	assert_int_equal(ftruncate(fd, lseek(fd, 0, SEEK_END) - 1), 0);
	open_reader(f);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(two.id)), 0);
	open_reader(f);
	assert_true(lies(f->reader, QUEUE_INCOMING, one.id));
	assert_false(lies(f->reader, QUEUE_INCOMING, two.id));
}

static void a_ledger_that_takes_nothing_for_a_while_is_written_later(void **state)
{
	struct fixture *f = *state;
	struct put one = put(f, "1\n"), two = put(f, "2\n");
	char path[64];

	open_reader(f);
	snprintf(path, sizeof(path), "intake/done-%s", one.place.segment);
	assert_int_equal(mkdirat(f->s.dir, path, 0700), 0);
	queue_finish(f->reader, QUEUE_INCOMING, str_of(one.id));
	queue_finish(f->reader, QUEUE_INCOMING, str_of(two.id));
	assert_int_equal(queue_unwritten(f->reader), 2);
	assert_int_equal(queue_flush_ledgers(f->reader), 2);
	assert_int_equal(queue_keep_intake(f->reader), 2);		/* somebody has to come again */
	assert_int_equal(unlinkat(f->s.dir, path, AT_REMOVEDIR), 0);
	assert_int_equal(queue_keep_intake(f->reader), 0);
	open_reader(f);
	assert_false(lies(f->reader, QUEUE_INCOMING, one.id));
	assert_false(lies(f->reader, QUEUE_INCOMING, two.id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LOG(what_is_done_stays_done),
		WITH_LOG(what_is_found_late_is_as_far_as_the_ledger_said_before),
		WITH_LOG(a_segment_that_cannot_be_opened_now_keeps_its_ledger),
		WITH_LOG(nobody_is_shown_whose_ledger_cannot_be_read),
		WITH_LOG(a_ledger_line_that_was_torn_or_damaged_counts_for_nobody),
		WITH_LOG(a_ledger_line_without_its_end_does_not_count_later_either),
		WITH_LOG(a_ledger_that_takes_nothing_for_a_while_is_written_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
