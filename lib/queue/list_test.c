/* SPDX-License-Identifier: ISC */
/* What listings and requeued messages make of a queue file and its journal. */
#include "tests/unit.h"

#include <errno.h>

#include "lib/queue/list.h"
#include "lib/queue/orders.h"
#include "lib/queue/scratch_for_test.h"

struct fixture {
	struct scratch s;
	struct queue *q;
	char id[32];
};

/* As sendmail -t leaves it in maildrop. */
static void write_message_for_those_in_its_headers(struct fixture *f)
{
	struct envelope e = { .sender = STR("alice@example.org"), .arrival_us = INT64_C(1700000000000001),
			      .flags = ENVELOPE_EXTRACT };
	AUTO(buf) packed = BUF(4096);
	struct queue_parts parts;
	struct queue_writer *w;

	queue_id_new(f->id);
	assert_int_equal(envelope_pack(&e, &packed), 0);
	assert_int_equal(queue_create(f->q, QUEUE_MAILDROP, str_of(f->id), &w), 0);
	assert_int_equal(queue_write_body(w, STR("To: bob\n\nbody\n")), 0);
	assert_int_equal(queue_commit(w, &e, buf_str(&packed), STR_NONE, &parts, NULL), 0);
	queue_writer_free(w);
}

static void write_message(struct fixture *f, enum queue_name where)
{
	struct recipient to[] = { { .index = 0, .address = STR("ann@example.net") },
				  { .index = 1, .address = STR("bob@example.net"),
				    .original = STR("b@example.net") },
				  { .index = 2, .address = STR("carol@example.net") } };
	struct envelope e = { .sender = STR("alice@example.org"), .arrival_us = INT64_C(1700000000000001),
			      .recipient_count = COUNT_OF(to), .recipients = to };
	AUTO(buf) packed = BUF(4096);
	struct queue_parts parts;
	struct queue_writer *w;

	queue_id_new(f->id);
	assert_int_equal(envelope_pack(&e, &packed), 0);
	assert_int_equal(queue_create(f->q, where, str_of(f->id), &w), 0);
	assert_int_equal(queue_write_body(w, STR("body\n")), 0);
	assert_int_equal(queue_commit(w, &e, buf_str(&packed), STR("Subject: x\n"), &parts, NULL), 0);
	queue_writer_free(w);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_queue_make(&f->s);
	f->q = scratch_queue_open(&f->s);
	write_message(f, QUEUE_INCOMING);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	queue_close(f->q);
	scratch_queue_remove(&f->s);
	free(f);
	return 0;
}

static void record(struct fixture *f, const struct journal_record *r)
{
	AUTO(queue_file) file = { .fd = -1 };

	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), true, false, &file), 0);
	assert_int_equal(journal_append(&file, r, 1), 0);
}

static void outcome(struct fixture *f, uint32_t index, enum outcome_status status, const char *text)
{
	struct journal_record r = { .kind = JOURNAL_OUTCOME,
				    .outcome = { .index = index, .status = status, .dsn = STR("4.0.0"),
						 .relay = STR("none"), .text = str_of(text), .at_us = 1 } };

	record(f, &r);
}

static struct str listed(struct fixture *f, struct listed_message *ret)
{
	AUTO(buf) b = BUF(10000);
	struct outcome o;
	struct str rest;

	assert_int_equal(list_message(f->q, QUEUE_INCOMING, str_of(f->id), f->s.a, ret), 0);
	rest = ret->recipients;
	while (outcome_unpack(&rest, &o) > 0)
		buf_addf(&b, "%.*s(%.*s):%.*s;", PSTR(o.address), PSTR(o.original), PSTR(o.text));
	return arena_copy(f->s.a, buf_str(&b));
}

static void a_message_whose_recipients_are_not_known_yet_is_listed(void **state)
{
	struct fixture *f = *state;
	struct listed_message m;

	write_message_for_those_in_its_headers(f);
	assert_int_equal(list_message(f->q, QUEUE_MAILDROP, str_of(f->id), f->s.a, &m), 0);
	assert_str(m.sender, "alice@example.org");
	assert_str(m.recipients, "");
}

static void a_new_message_lists_all_recipients_without_reasons(void **state)
{
	struct fixture *f = *state;
	struct listed_message m;

	assert_str(listed(f, &m), "ann@example.net():;bob@example.net(b@example.net):;carol@example.net():;");
	assert_string_equal(m.queue, "incoming");
	assert_str(m.id, f->id);
	assert_str(m.sender, "alice@example.org");
	assert_int_equal(m.arrival_s, 1700000000);
	assert_int_equal(m.size, 11 + 1 + 5);
	assert_false(m.forced_expire);
}

static void finished_recipients_are_left_out_and_the_last_reason_counts(void **state)
{
	struct fixture *f = *state;
	struct listed_message m;

	outcome(f, 0, OUTCOME_DELIVERED, "fine");
	outcome(f, 1, OUTCOME_DEFERRED, "first");
	outcome(f, 1, OUTCOME_DEFERRED, "second");
	outcome(f, 2, OUTCOME_BOUNCED, "nobody");
	record(f, &(struct journal_record){ .kind = JOURNAL_EXPIRE });
	assert_str(listed(f, &m), "bob@example.net(b@example.net):second;carol@example.net():nobody;");
	assert_true(m.forced_expire);
	record(f, &(struct journal_record){ .kind = JOURNAL_TOLD, .outcome = { .index = 2 } });
	assert_str(listed(f, &m), "bob@example.net(b@example.net):second;");
	outcome(f, 1, OUTCOME_DELIVERED, "at last");
	outcome(f, 1, OUTCOME_DEFERRED, "written again");
	assert_int_equal(list_message(f->q, QUEUE_INCOMING, str_of(f->id), f->s.a, &m), -ENODATA);
}

/* Thousands of attempts, each with other words: more than the arena has room for beside its reserve. */
static void words_of_many_attempts_do_not_use_up_the_memory(void **state)
{
	enum { AT_ONCE = 500, TIMES = 20, LENGTH = 4000 };
	static char text[2][LENGTH];
	static struct journal_record r[AT_ONCE];
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };
	struct arena *a = arena_new("small", NULL, (size_t) 36 << 20);
	struct listed_message m;

	memset(text[0], 'a', LENGTH);
	memset(text[1], 'b', LENGTH);
	for (size_t i = 0; i < AT_ONCE; i++)
		r[i] = (struct journal_record){ .kind = JOURNAL_OUTCOME,
						.outcome = { .index = 1, .status = OUTCOME_DEFERRED,
							     .dsn = STR("4.0.0"),
							     .relay = STR("none"), .text =
							     str_make(text[i % 2], LENGTH), .at_us = 1 } };
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), true, false, &file), 0);
	for (int i = 0; i < TIMES; i++)
		assert_int_equal(journal_append(&file, r, AT_ONCE), 0);
	outcome(f, 0, OUTCOME_DELIVERED, "fine");
	assert_int_equal(list_message(f->q, QUEUE_INCOMING, str_of(f->id), a, &m), 0);
	assert_true(m.recipients.len > LENGTH);
	arena_free(a);
}

struct seen { int count; bool claimed; };

static bool is_claimed(void *arg, struct str id)
{
	(void) id;
	return ((struct seen *) arg)->claimed;
}

static int count(void *arg, const struct listed_message *m)
{
	(void) m;
	((struct seen *) arg)->count++;
	return 0;
}

static void a_listing_leaves_out_what_is_claimed_and_what_is_no_message(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	const struct listing l = { is_claimed, count, &seen };

	close(openat(f->s.dir, "incoming/4jXBBBBBBBBz00HbYb", O_CREAT | O_WRONLY, 0600));
	assert_int_equal(list_queue(f->q, QUEUE_INCOMING, &l), 0);
	assert_int_equal(seen.count, 1);
	seen.claimed = true;
	assert_int_equal(list_queue(f->q, QUEUE_INCOMING, &l), 0);
	assert_int_equal(seen.count, 1);
}

static void a_requeued_message_has_the_recipients_that_are_left(void **state)
{
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };
	struct envelope e;
	char content[40];

	outcome(f, 0, OUTCOME_DELIVERED, "fine");
	outcome(f, 1, OUTCOME_DEFERRED, "later");
	assert_int_equal(queue_requeue(f->q, QUEUE_INCOMING, str_of(f->id)), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), false, false, &file), -ENOENT);
	assert_int_equal(queue_file_open(f->q, QUEUE_MAILDROP, str_of(f->id), false, true, &file), 0);
	assert_int_equal(queue_file_envelope(&file, f->s.a, &e), 0);
	assert_int_equal(e.recipient_count, 2);
	for (size_t i = 0; i < e.recipient_count; i++) {
		assert_int_equal(e.recipients[i].index, i);
		assert_false(str_is(e.recipients[i].address, STR("ann@example.net")));
	}
	assert_str(e.sender, "alice@example.org");
	assert_int_equal(file.parts.body_len, 5);
	assert_int_equal(pread(file.fd, content, 5, (off_t) file.parts.body_at), 5);
	assert_memory_equal(content, "body\n", 5);
	assert_int_equal(pread(file.fd, content, 11, (off_t) file.parts.headers_at), 11);
	assert_memory_equal(content, "Subject: x\n", 11);
}

/* Of a process that died in the middle of it. */
static void half_a_requeued_copy_is_made_anew(void **state)
{
	struct fixture *f = *state;
	AUTO(buf) path = BUF(100);

	buf_addf(&path, "maildrop/%s", f->id);
	AUTO_FD fd = openat(f->s.dir, buf_text(&path), O_RDWR | O_CREAT | O_EXCL, 0600);
	assert_int_equal(write(fd, "postroad-", 9), 9);
	assert_int_equal(queue_requeue(f->q, QUEUE_INCOMING, str_of(f->id)), 0);
	assert_true(queue_last_written(f->q, QUEUE_MAILDROP, str_of(f->id), &(int64_t){ 0 }) == 0);
	assert_int_equal(queue_requeue(f->q, QUEUE_INCOMING, str_of(f->id)), -ENOENT);
}

static void requeueing_what_everybody_has_only_removes_it(void **state)
{
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };

	for (uint32_t i = 0; i < 3; i++)
		outcome(f, i, OUTCOME_DELIVERED, "fine");
	assert_int_equal(queue_requeue(f->q, QUEUE_INCOMING, str_of(f->id)), 0);
	assert_int_equal(queue_file_find(f->q, str_of(f->id), false, &file), -ENOENT);
	assert_int_equal(queue_requeue(f->q, QUEUE_INCOMING, str_of(f->id)), -ENOENT);
}

/* Killed between its last delivery and the removal of the file: no outcome says so then. */
static void requeueing_what_waits_for_its_removal_only_removes_it(void **state)
{
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };

	outcome(f, 0, OUTCOME_DELIVERED, "fine");
	assert_int_equal(queue_mark_done(f->q, QUEUE_INCOMING, str_of(f->id)), 0);
	assert_int_equal(queue_requeue(f->q, QUEUE_INCOMING, str_of(f->id)), 0);
	assert_int_equal(queue_file_find(f->q, str_of(f->id), false, &file), -ENOENT);
}

static void a_message_that_ends_with_its_headers_still_does_when_it_is_requeued(void **state)
{
	struct recipient to = { .address = STR("ann@example.net") };
	struct envelope e = { .sender = STR("alice@example.org"), .recipient_count = 1, .recipients = &to };
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };
	AUTO(buf) packed = BUF(4096);
	struct queue_parts parts;
	struct queue_writer *w;

	queue_id_new(f->id);
	assert_int_equal(envelope_pack(&e, &packed), 0);
	assert_int_equal(queue_create(f->q, QUEUE_HOLD, str_of(f->id), &w), 0);
	queue_no_empty_line(w);
	assert_int_equal(queue_commit(w, &e, buf_str(&packed), STR("Subject: x\n"), &parts, NULL), 0);
	queue_writer_free(w);
	assert_int_equal(queue_requeue(f->q, QUEUE_HOLD, str_of(f->id)), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_MAILDROP, str_of(f->id), false, true, &file), 0);
	assert_int_equal(file.parts.size, parts.size);
}

#define ON_A_MESSAGE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_A_MESSAGE(a_message_whose_recipients_are_not_known_yet_is_listed),
		ON_A_MESSAGE(a_new_message_lists_all_recipients_without_reasons),
		ON_A_MESSAGE(finished_recipients_are_left_out_and_the_last_reason_counts),
		ON_A_MESSAGE(words_of_many_attempts_do_not_use_up_the_memory),
		ON_A_MESSAGE(a_listing_leaves_out_what_is_claimed_and_what_is_no_message),
		ON_A_MESSAGE(a_requeued_message_has_the_recipients_that_are_left),
		ON_A_MESSAGE(a_message_that_ends_with_its_headers_still_does_when_it_is_requeued),
		ON_A_MESSAGE(requeueing_what_everybody_has_only_removes_it),
		ON_A_MESSAGE(requeueing_what_waits_for_its_removal_only_removes_it),
		ON_A_MESSAGE(half_a_requeued_copy_is_made_anew),
	};

	return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
