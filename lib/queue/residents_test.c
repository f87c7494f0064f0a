/* SPDX-License-Identifier: ISC */
/* Who is found in the intake log: damage, gaps, locks, and segments that are used again. */
#include "lib/queue/intake_for_test.h"

#include <fcntl.h>

#include "lib/queue/syncs_for_test.h"

static void a_damaged_message_is_set_aside_and_hides_nobody(void **state)
{
	struct fixture *f = *state;
	struct put body = put(f, "damaged body\n"), head = put(f, "damaged head\n"), good = put(f, "good\n");

	damage(f, &body, body.parts.body_at + 3);
	damage(f, &head, 100);
	/* as long as somebody writes there it may not be finished */
	open_reader(f);
	assert_false(lies(f->reader, QUEUE_INCOMING, good.id));
	assert_int_equal(files_in(f, "corrupt", ""), 0);
	open_writer(f, SEGMENT);
	open_reader(f);
	assert_false(lies(f->reader, QUEUE_INCOMING, body.id));
	assert_false(lies(f->reader, QUEUE_INCOMING, head.id));
	assert_true(lies(f->reader, QUEUE_INCOMING, good.id));
	assert_int_equal(files_in(f, "corrupt", ""), 2);
	assert_int_equal(said, 2);
}

/* It had not seen the ledger before that was removed. */
static void a_successor_takes_nothing_from_a_segment_that_its_predecessor_has_freed(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n"), q = put(f, "y\n");
	AUTO(queue_file) held = { .fd = -1 }, other = { .fd = -1 };
	struct queue *predecessor;

	open_writer(f, SEGMENT);
	open_reader(f);
	predecessor = f->reader;
	f->reader = NULL;
	open_reader(f);
	assert_int_equal(queue_file_open(f->reader, QUEUE_INCOMING, str_of(p.id), false, false, &held), 0);
	assert_int_equal(queue_file_open(f->reader, QUEUE_INCOMING, str_of(q.id), false, false, &other), 0);
	assert_int_equal(queue_file_is_current(f->reader, &held), 0);
	queue_finish(predecessor, QUEUE_INCOMING, str_of(p.id));
	queue_finish(predecessor, QUEUE_INCOMING, str_of(q.id));
	assert_int_equal(queue_keep_intake(predecessor), 0);
	queue_close(predecessor);
	assert_int_equal(files_in(f, "intake", "done-"), 0);
	assert_int_equal(queue_file_is_current(f->reader, &held), -ENOENT);
	assert_int_equal(queue_file_is_current(f->reader, &other), -ENOENT);
	assert_int_equal(queue_keep_intake(f->reader), 0);
	assert_int_equal(files_in(f, "intake", "free-"), 1);
	assert_int_equal(said, 0);
}

static void a_damaged_head_is_set_aside_also_when_nobody_follows(void **state)
{
	struct fixture *f = *state;
	struct put good = put(f, "good\n"), last = put(f, "damaged head\n");

	damage(f, &last, 100);
	open_writer(f, SEGMENT);
	open_reader(f);
	assert_true(lies(f->reader, QUEUE_INCOMING, good.id));
	assert_false(lies(f->reader, QUEUE_INCOMING, last.id));
	assert_int_equal(files_in(f, "corrupt", ""), 1);
	open_reader(f);
	assert_int_equal(files_in(f, "corrupt", ""), 1);
	assert_int_equal(said, 1);
}

static void a_segment_is_kept_while_what_is_damaged_in_it_cannot_be_set_aside(void **state)
{
	struct fixture *f = *state;
	struct put bad = put(f, "damaged body\n");

	damage(f, &bad, bad.parts.body_at + 3);
	open_writer(f, SEGMENT);
	f->reader = open_queue(f);
	assert_int_equal(unlinkat(f->s.dir, "corrupt", AT_REMOVEDIR), 0);
	assert_int_equal(queue_open_intake(f->reader, f->s.dir, true, true), 0);
	assert_int_equal(residents_look(f->reader->residents), 0);
	queue_keep_intake(f->reader);
	assert_int_equal(files_in(f, "intake", "log-"), 1);
	assert_int_equal(mkdirat(f->s.dir, "corrupt", 0700), 0);
	open_reader(f);
	queue_keep_intake(f->reader);
	assert_int_equal(files_in(f, "intake", "log-"), 0);
	assert_int_equal(files_in(f, "corrupt", ""), 1);
}

/* The head of a version that this program does not know, with a good checksum. */
static void make_newer(struct fixture *f, const struct put *p)
{
	enum { CHECK_AT = QUEUE_HEAD_SIZE - 15 };
	AUTO_FD fd = open_in_intake(f, p, "log");
	char head[QUEUE_HEAD_SIZE], check[16];

	assert_int_equal(pread(fd, head, sizeof(head), (off_t) p->place.at), sizeof(head));
	head[strlen("postroad-queue-file ")] = '2';
	snprintf(check, sizeof(check), "check %08x\n", crc32c(0, head, CHECK_AT));
	memcpy(head + CHECK_AT, check, 15);
	assert_int_equal(pwrite(fd, head, sizeof(head), (off_t) p->place.at), sizeof(head));
}

static void what_a_newer_version_wrote_into_the_log_is_neither_damage_nor_nothing(void **state)
{
	struct fixture *f = *state;
	struct put newer = put(f, "newer\n");

	make_newer(f, &newer);
	open_writer(f, SEGMENT);
	open_reader(f);
	assert_false(lies(f->reader, QUEUE_INCOMING, newer.id));
	queue_keep_intake(f->reader);
	assert_int_equal(files_in(f, "intake", "log-"), 1);
	assert_int_equal(files_in(f, "corrupt", ""), 0);
	assert_int_equal(said, 1);
}

static void nothing_in_a_body_passes_for_a_message(void **state)
{
	struct fixture *f = *state;
	struct put first = put(f, "first\n"), carrier;
	AUTO_FD fd = open_in_intake(f, &first, "log");
	char body[4 * QUEUE_HEAD_SIZE];

	/* a true head of this very segment, at every place where one could stand */
	for (int shift = 0; shift < QUEUE_HEAD_SIZE; shift += 64) {
		memset(body, ' ', sizeof(body));
		assert_int_equal(pread(fd, body + shift, 3 * QUEUE_HEAD_SIZE, 0), 3 * QUEUE_HEAD_SIZE);
		assert_int_equal(put_body(f, str_make(body, sizeof(body)), &carrier), 0);
	}
	damage(f, &first, 5);
	open_writer(f, SEGMENT);
	open_reader(f);
	assert_int_equal(map_count(f->reader->residents->by_id), QUEUE_HEAD_SIZE / 64);
	assert_false(lies(f->reader, QUEUE_INCOMING, first.id));
}

static void a_segment_is_used_again_and_its_past_is_forgotten(void **state)
{
	struct fixture *f = *state;
	struct put one = put(f, "one\n"), two = put(f, "two\n"), later;

	open_reader(f);
	queue_finish(f->reader, QUEUE_INCOMING, str_of(one.id));
	queue_keep_intake(f->reader);
	assert_int_equal(files_in(f, "intake", "free-"), 0);
	queue_finish(f->reader, QUEUE_INCOMING, str_of(two.id));
	queue_keep_intake(f->reader);
	assert_int_equal(files_in(f, "intake", "free-"), 0);	/* it has an owner */
	open_writer(f, SEGMENT);
	assert_int_equal(queue_keep_intake(f->reader), 0);
	assert_int_equal(files_in(f, "intake", "free-"), 1);
	assert_int_equal(files_in(f, "intake", "log-"), 0);
	assert_int_equal(files_in(f, "intake", "done-"), 0);
	later = put(f, "later\n");
	assert_int_equal(files_in(f, "intake", ""), 1);
	assert_true(strcmp(later.place.segment, one.place.segment) != 0);
	open_reader(f);
	assert_true(lies(f->reader, QUEUE_INCOMING, later.id));
	assert_int_equal(map_count(f->reader->residents->by_id), 1);
}

/*
 * Wherever the next use of the segment ends, what stands there looks like the beginning of a file
 * of Postfix.
 */
static void a_former_body_does_not_keep_a_segment(void **state)
{
	struct fixture *f = *state;
	static char body[(32 << 10) + 1];
	struct put former, later;

	for (size_t i = 0; i + 64 < sizeof(body); i += 64)
		snprintf(body + i, 65, "C>%62s", "");
	former = put(f, "to see where bodies begin\n");
	former = put(f, body + former.parts.body_at % 64);
	open_reader(f);
	for (struct map_at at = { 0 }; map_next(f->reader->residents->by_id, &at);)
		queue_finish(f->reader, QUEUE_INCOMING, at.key);
	open_writer(f, SEGMENT);
	queue_keep_intake(f->reader);
	assert_int_equal(files_in(f, "intake", "free-"), 1);
	later = put(f, "short\n");
	put(f, "not much more\n");
	assert_in_range(later.place.at + 2 * later.place.len, former.parts.body_at,
			former.place.at + former.place.len - 1);
	open_reader(f);
	for (struct map_at at = { 0 }; map_next(f->reader->residents->by_id, &at);)
		queue_finish(f->reader, QUEUE_INCOMING, at.key);
	open_writer(f, SEGMENT);
	assert_int_equal(queue_keep_intake(f->reader), 0);
	assert_int_equal(files_in(f, "intake", "log-"), 0);
	assert_int_equal(said, 0);
}

/* Until the new name is durable it is the ledger that says that all of it is through. */
static void a_ledger_is_synced_before_its_segment_is_freed(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");

	open_reader(f);
	open_writer(f, SEGMENT);
	queue_finish(f->reader, QUEUE_INCOMING, str_of(p.id));
	syncs = 0;
	assert_int_equal(queue_keep_intake(f->reader), 0);
	assert_int_equal(syncs, 1);
	assert_int_equal(files_in(f, "intake", "free-"), 1);
}

/* Killed, or on its way out, within the second. */
static void what_a_predecessor_wrote_into_a_ledger_is_synced(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");

	put(f, "y\n");
	open_reader(f);
	queue_finish(f->reader, QUEUE_INCOMING, str_of(p.id));
	open_reader(f);
	syncs = 0;
	assert_int_equal(queue_keep_intake(f->reader), 1);
	assert_int_equal(syncs, 1);
	assert_int_equal(queue_keep_intake(f->reader), 1);
	assert_int_equal(syncs, 1);
}

static void a_sealed_segment_is_not_freed_before_all_of_it_was_found(void **state)
{
	struct fixture *f = *state;
	struct put one = put(f, "one\n"), unheard;
	bool missed;

	open_reader(f);
	unheard = put(f, "its announcement was lost\n");
	assert_int_equal(queue_announced(f->reader, &one.place, str_of(one.id), &missed), 1);
	queue_finish(f->reader, QUEUE_INCOMING, str_of(one.id));
	open_writer(f, SEGMENT);
	assert_int_equal(queue_keep_intake(f->reader), 1);
	assert_int_equal(files_in(f, "intake", "free-"), 0);
	assert_true(lies(f->reader, QUEUE_INCOMING, unheard.id));
}

static void announcements_are_told_from_what_is_known(void **state)
{
	struct fixture *f = *state;
	struct put one = put(f, "1\n"), two = put(f, "2\n"), three = put(f, "3\n");
	bool missed;

	queue_close(f->reader);
	f->reader = open_queue(f);
	assert_int_equal(queue_open_intake(f->reader, f->s.dir, true, true), 0);
	assert_int_equal(queue_announced(f->reader, &one.place, str_of(one.id), &missed), 1);
	assert_false(missed);
	queue_finish(f->reader, QUEUE_INCOMING, str_of(one.id));
	assert_int_equal(queue_announced(f->reader, &one.place, str_of(one.id), &missed), 0);
	assert_int_equal(queue_announced(f->reader, &three.place, str_of(three.id), &missed), 1);
	assert_true(missed);
	assert_true(lies(f->reader, QUEUE_INCOMING, two.id));
	assert_int_equal(queue_announced(f->reader, &two.place, str_of(two.id), &missed), 1);
	assert_false(missed);
	memset(two.place.segment, 'f', sizeof(two.place.segment) - 1);
	assert_int_equal(queue_announced(f->reader, &two.place, str_of(two.id), &missed), -ENOENT);
}

static void a_gap_that_is_damaged_is_set_aside_at_once(void **state)
{
	struct fixture *f = *state;
	struct put one = put(f, "1\n"), two = put(f, "2\n"), three = put(f, "3\n"), four = put(f, "4\n");
	bool missed;

	damage(f, &one, 5);
	damage(f, &three, three.parts.body_at);
	queue_close(f->reader);
	f->reader = open_queue(f);
	assert_int_equal(queue_open_intake(f->reader, f->s.dir, true, true), 0);
	assert_int_equal(queue_announced(f->reader, &four.place, str_of(four.id), &missed), 1);
	assert_true(missed);
	assert_true(lies(f->reader, QUEUE_INCOMING, two.id));
	assert_int_equal(files_in(f, "corrupt", ""), 2);
}

static void a_lock_on_one_message_is_seen_by_others(void **state)
{
	struct fixture *f = *state;
	struct put one = put(f, "1\n"), two = put(f, "2\n");
	struct queue_lock lock = { 0 };
	struct queue_file a, b;

	open_reader(f);
	assert_int_equal(queue_lock(f->reader, QUEUE_INCOMING, str_of(one.id), &lock), 0);
	assert_int_equal(queue_open_intake(f->writer, f->s.dir, true, true), 0);
	assert_int_equal(residents_look(f->writer->residents), 0);
	assert_int_equal(queue_file_open(f->writer, QUEUE_INCOMING, str_of(one.id), false, false, &a), 0);
	assert_int_equal(queue_file_open(f->writer, QUEUE_INCOMING, str_of(two.id), false, false, &b), 0);
	assert_int_equal(queue_file_is_locked(&a), 1);
	assert_int_equal(queue_file_is_locked(&b), 0);
	queue_finish(f->reader, QUEUE_INCOMING, str_of(one.id));
	queue_unlock(f->reader, str_of(one.id), &lock);
	assert_int_equal(queue_file_is_locked(&a), 0);
	assert_int_equal(queue_file_is_current(f->writer, &b), 0);
	assert_false(lies(f->writer, QUEUE_INCOMING, one.id));
}

static void add_id(void *arg, struct str id)
{
	buf_add(arg, id);
}

static void what_a_predecessor_still_delivers_is_not_moved_away_from_its_lock(void **state)
{
	struct fixture *f = *state;
	struct put one = put(f, "1\n"), two = put(f, "2\n");
	struct queue_lock lock = { 0 };
	AUTO(buf) moving = BUF(1000);

	open_reader(f);
	assert_int_equal(queue_lock(f->reader, QUEUE_INCOMING, str_of(one.id), &lock), 0);
	open_writer(f, SEGMENT);		/* the segment has no owner any more */
	assert_int_equal(queue_open_intake(f->writer, f->s.dir, true, true), 0);
	assert_int_equal(residents_look(f->writer->residents), 0);
	queue_crowding(f->writer, 0, add_id, &moving);
	assert_string_equal(buf_text(&moving), two.id);
	queue_unlock(f->reader, str_of(one.id), &lock);
	queue_crowding(f->writer, 0, add_id, &moving);
	assert_int_equal(moving.len, 2 * strlen(two.id) + strlen(one.id));
}

static int lines_in_ledger(struct fixture *f, const struct put *p)
{
	AUTO_FD fd = open_in_intake(f, p, "done");
	struct str rest, line;
	char text[1024];
	ssize_t n;
	int count = 0;

	n = read(fd, text, sizeof(text));
	assert_true(n >= 0);
	for (rest = str_make(text, (size_t) n); str_cut(&rest, '\n', &line);)
		count++;
	return count;
}

/* The kernel may have dropped it, and no later sync writes it. */
static void what_a_ledgers_failed_sync_should_have_written_is_written_again(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");

	put(f, "stays\n");
	open_reader(f);
	note_outcome(f, &p, 1, OUTCOME_DELIVERED);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(p.id)), 0);
	failing_syncs = 1;
	queue_keep_intake(f->reader);
	assert_int_equal(lines_in_ledger(f, &p), 4);
	syncs = 0;
	queue_keep_intake(f->reader);
	assert_int_equal(syncs, 1);
	queue_keep_intake(f->reader);
	assert_int_equal(syncs, 1);
	assert_int_equal(lines_in_ledger(f, &p), 4);
	open_reader(f);
	assert_false(lies(f->reader, QUEUE_INCOMING, p.id));
}

/* It was open for reading only, as after a restart. */
static void a_ledger_that_is_being_synced_keeps_its_descriptor_when_it_is_written_to(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	struct ledger *l;
	int fd;

	open_reader(f);
	note_outcome(f, &p, 1, OUTCOME_DEFERRED);
	open_reader(f);
	l = &residents_find(f->reader->residents, str_of(p.id))->segment->ledger;
	fd = ledger_sync_begin(l);
	note_outcome(f, &p, 1, OUTCOME_DELIVERED);
	assert_int_not_equal(l->fd, fd);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	ledger_sync_end(l, 0);
	assert_true(fcntl(fd, F_GETFD) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LOG(what_a_ledgers_failed_sync_should_have_written_is_written_again),
		WITH_LOG(a_ledger_that_is_being_synced_keeps_its_descriptor_when_it_is_written_to),
		WITH_LOG(a_damaged_message_is_set_aside_and_hides_nobody),
		WITH_LOG(a_successor_takes_nothing_from_a_segment_that_its_predecessor_has_freed),
		WITH_LOG(a_damaged_head_is_set_aside_also_when_nobody_follows),
		WITH_LOG(a_segment_is_kept_while_what_is_damaged_in_it_cannot_be_set_aside),
		WITH_LOG(what_a_newer_version_wrote_into_the_log_is_neither_damage_nor_nothing),
		WITH_LOG(nothing_in_a_body_passes_for_a_message),
		WITH_LOG(a_segment_is_used_again_and_its_past_is_forgotten),
		WITH_LOG(a_former_body_does_not_keep_a_segment),
		WITH_LOG(a_ledger_is_synced_before_its_segment_is_freed),
		WITH_LOG(what_a_predecessor_wrote_into_a_ledger_is_synced),
		WITH_LOG(a_sealed_segment_is_not_freed_before_all_of_it_was_found),
		WITH_LOG(announcements_are_told_from_what_is_known),
		WITH_LOG(a_gap_that_is_damaged_is_set_aside_at_once),
		WITH_LOG(a_lock_on_one_message_is_seen_by_others),
		WITH_LOG(what_a_predecessor_still_delivers_is_not_moved_away_from_its_lock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
