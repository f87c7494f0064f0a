/* SPDX-License-Identifier: ISC */
/* The journal of a queue file: in order, torn, full disks, and what a requeued message makes of it. */
#include "tests/unit.h"

#include <errno.h>
#include <sys/resource.h>

#include "lib/queue/format.h"
#include "lib/queue/message_for_test.h"
#include "lib/queue/orders.h"

static void the_journal_keeps_its_records_in_order(void **state)
{
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };
	AUTO(queue_file) again = { .fd = -1 };
	struct journal_record some[] = { outcome_of(0, "later"), outcome_of(1, "much later"),
					 { .kind = JOURNAL_TOLD, .outcome = { .index = 1 } },
					 { .kind = JOURNAL_EXPIRE } };
	struct queue_parts parts;
	struct seen seen = { 0 };

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), true, false, &file), 0);
	assert_int_equal(journal_append(&file, some, 1), 0);
	assert_int_equal(journal_append(&file, some + 1, 3), 0);
	assert_int_equal(journal_read(&file, see, &seen), 0);
	assert_int_equal(seen.count, 4);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), true, true, &again), 0);
	seen.count = 0;
	assert_int_equal(journal_read(&again, see, &seen), 0);
	assert_int_equal(seen.count, 4);
	assert_int_equal(seen.last_kind, JOURNAL_EXPIRE);
}

/*
 * The message with these records is handed in again; how many recipients it has then. 0: nobody,
 * and there is no copy.
 */
static size_t requeued_for(struct fixture *f, const struct journal_record *records, size_t n,
			   struct envelope *ret)
{
	AUTO(queue_file) file = { .fd = -1 };
	struct queue_parts parts;

	queue_id_new(f->id);
	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), true, false, &file), 0);
	assert_int_equal(journal_append(&file, records, n), 0);
	assert_int_equal(queue_requeue(f->q, QUEUE_INCOMING, str_of(f->id)), 0);
	queue_file_auto(&file);
	if (queue_file_open(f->q, QUEUE_MAILDROP, str_of(f->id), false, false, &file) < 0)
		return 0;
	assert_int_equal(queue_file_envelope(&file, f->s.a, ret), 0);
	return ret->recipient_count;
}

static void a_requeued_message_keeps_whom_its_sender_has_not_heard_of(void **state)
{
	struct journal_record records[] = { outcome_of(0, "no"), outcome_of(1, "no"),
					    { .kind = JOURNAL_TOLD, .outcome = { .index = 0 } },
					    { .kind = JOURNAL_TOLD, .outcome = { .index = 1 } } };
	struct envelope e;

	records[0].outcome.status = records[1].outcome.status = OUTCOME_BOUNCED;
	assert_int_equal(requeued_for(*state, records, 2, &e), 2);
	assert_int_equal(requeued_for(*state, records, 3, &e), 1);
	assert_str(e.recipients[0].address, "carol@example.net");
	assert_int_equal(requeued_for(*state, records, 4, &e), 0);
	records[1].outcome.status = OUTCOME_DELIVERED;
	assert_int_equal(requeued_for(*state, records, 2, &e), 1);
	assert_str(e.recipients[0].address, "bob@example.net");
}

static void many_records_are_read_across_piece_borders(void **state)
{
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };
	struct queue_parts parts;
	struct seen seen = { 0 };
	char text[300];

	assert_int_equal(write_message(f, QUEUE_DEFERRED, f->id, 10, &parts), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_DEFERRED, str_of(f->id), true, false, &file), 0);
	for (uint32_t i = 0; i < 2000; i++) {
		struct journal_record r;

		snprintf(text, sizeof(text), "%0*u", 1 + (int) i % 250, i);
		r = outcome_of(i, text);
		assert_int_equal(journal_append(&file, &r, 1), 0);
	}
	assert_int_equal(journal_read(&file, see, &seen), 0);
	assert_int_equal(seen.count, 2000);
	assert_int_equal(seen.last_index, 1999);
}

static void a_torn_record_costs_only_itself(void **state)
{
	struct fixture *f = *state;
	struct queue_parts parts;
	struct journal_record one = outcome_of(0, "first"), two = outcome_of(1, "second"),
		three = outcome_of(2, "third");
	uint64_t start, whole;

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	{
		AUTO(queue_file) file = { .fd = -1 };

		assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), true, false, &file), 0);
		assert_int_equal(journal_append(&file, &one, 1), 0);
		start = file.file_size;
		assert_int_equal(journal_append(&file, &two, 1), 0);
		whole = file.file_size;
	}
	for (uint64_t cut = whole - 1; cut > start; cut--) {
		AUTO(queue_file) file = { .fd = -1 };
		struct seen seen = { 0 };

		assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), true, false, &file), 0);
		assert_int_equal(ftruncate(file.fd, (off_t) cut), 0);
		queue_file_close(&file);
		assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), true, false, &file), 0);
		assert_int_equal(journal_read(&file, see, &seen), 1);
		assert_int_equal(seen.count, 1);
		assert_int_equal(journal_append(&file, &three, 1), 0);
		seen.count = 0;
		assert_int_equal(journal_read(&file, see, &seen), 1);
		assert_int_equal(seen.count, 2);
		assert_int_equal(seen.last_index, 2);
		assert_int_equal(ftruncate(file.fd, (off_t) cut), 0);
	}
}

static void a_record_of_another_message_does_not_count(void **state)
{
	struct journal_record r;

	(void) state;
	assert_int_equal(journal_record_parse(STR("12345678 expire"), "ABCDEF", &r), -EBADMSG);
}

static void a_journal_record_that_finds_no_room_is_not_half_there(void **state)
{
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };
	struct journal_record record = { .kind = JOURNAL_EXPIRE };
	struct rlimit old, small;
	struct queue_parts parts;

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), true, false, &file), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit){ file.file_size + 5, old.rlim_max };
	setrlimit(RLIMIT_FSIZE, &small);
	assert_int_equal(journal_append(&file, &record, 1), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(lseek(file.fd, 0, SEEK_END), file.file_size);
	assert_int_equal(journal_append(&file, &record, 1), 0);
}

static void append_order(struct fixture *f, enum queue_name where, enum journal_kind kind)
{
	AUTO(queue_file) file = { .fd = -1 };

	assert_int_equal(queue_file_open(f->q, where, str_of(f->id), true, false, &file), 0);
	assert_int_equal(queue_order(&file, kind), 0);
}

static void note_kind(void *arg, const struct journal_record *r)
{
	*(enum journal_kind *) arg = r->kind;
}

static enum journal_kind last_kind(struct fixture *f, enum queue_name where)
{
	AUTO(queue_file) file = { .fd = -1 };
	enum journal_kind last = JOURNAL_OUTCOME;

	assert_int_equal(queue_file_open(f->q, where, str_of(f->id), false, false, &file), 0);
	assert_int_equal(journal_read(&file, note_kind, &last), 0);
	return last;
}

/* Nobody has it in memory: a predecessor delivers it. */
static void a_release_takes_back_an_order_to_hold_that_still_waits(void **state)
{
	struct fixture *f = *state;
	struct queue_parts parts;

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	assert_int_equal(queue_release(f->q, str_of(f->id)), -ENOENT);
	append_order(f, QUEUE_INCOMING, JOURNAL_REQUEUED);
	assert_int_equal(queue_release(f->q, str_of(f->id)), -ENOENT);
	append_order(f, QUEUE_INCOMING, JOURNAL_HELD);
	assert_int_equal(queue_release(f->q, str_of(f->id)), 1);
	assert_int_equal(last_kind(f, QUEUE_INCOMING), JOURNAL_RELEASED);
	assert_int_equal(queue_release(f->q, str_of(f->id)), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		QUEUE_TEST(the_journal_keeps_its_records_in_order),
		QUEUE_TEST(a_requeued_message_keeps_whom_its_sender_has_not_heard_of),
		QUEUE_TEST(many_records_are_read_across_piece_borders),
		QUEUE_TEST(a_torn_record_costs_only_itself),
		cmocka_unit_test(a_record_of_another_message_does_not_count),
		QUEUE_TEST(a_release_takes_back_an_order_to_hold_that_still_waits),
		QUEUE_TEST(a_journal_record_that_finds_no_room_is_not_half_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
