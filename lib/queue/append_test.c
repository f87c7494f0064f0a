/* SPDX-License-Identifier: ISC */
/* Group commit into the intake log: what is written where, and what a failed sync means. */
#include "lib/queue/intake_for_test.h"
#include "lib/queue/syncs_for_test.h"

static void a_small_message_is_found_in_the_log_with_all_its_parts(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "body\nof it\n");
	AUTO(queue_file) file = { .fd = -1 };
	AUTO(buf) content = BUF(1000);
	struct envelope e;

	assert_true(p.place.segment[0] != '\0');
	assert_int_equal(files_in(f, "incoming", ""), 0);
	open_reader(f);
	assert_int_equal(queue_file_open(f->reader, QUEUE_INCOMING, str_of(p.id), false, true, &file), 0);
	assert_memory_equal(&file.parts, &p.parts, sizeof(p.parts));
	assert_int_equal(queue_file_envelope(&file, f->s.a, &e), 0);
	assert_str(e.sender, "alice@example.org");
	assert_str(e.recipients[1].address, "carol@example.net");
	assert_int_equal(queue_content_open(f->reader, QUEUE_INCOMING, str_of(p.id), &content), -EISNAM);
	assert_str(buf_str(&content), "Subject: test\n\nbody\nof it\n");
}

static void what_is_large_or_wants_it_gets_a_file_of_its_own(void **state)
{
	struct fixture *f = *state;
	AUTO_PTR char *body = malloc(80 << 10);
	struct put p;

	memset(body, 'x', 80 << 10);
	assert_int_equal(put_body(f, str_make(body, 80 << 10), &p), 0);
	assert_int_equal(p.place.segment[0], '\0');
	assert_int_equal(files_in(f, "incoming", ""), 1);
}

static void when_the_log_is_full_messages_get_files_of_their_own(void **state)
{
	struct fixture *f = *state;
	AUTO_PTR char *body = malloc(40 << 10);
	struct put p;

	memset(body, 'x', 40 << 10);
	open_writer(f, 64 << 10);
	for (int i = 0; i < SEGMENTS; i++) {
		assert_int_equal(put_body(f, str_make(body, 40 << 10), &p), 0);
		assert_true(p.place.segment[0] != '\0');
	}
	assert_int_equal(put_body(f, str_make(body, 40 << 10), &p), 0);
	assert_int_equal(p.place.segment[0], '\0');
	assert_int_equal(files_in(f, "incoming", ""), 1);
	open_reader(f);
	assert_int_equal(map_count(f->reader->residents->by_id), SEGMENTS);
}

static void a_failed_sync_promises_nothing_and_ends_the_segment(void **state)
{
	struct fixture *f = *state;
	struct put before = put(f, "before\n"), failed, after;

	failing_syncs = 1;
	assert_int_equal(put_body(f, STR("failed\n"), &failed), -EIO);
	after = put(f, "after\n");
	assert_true(strcmp(before.place.segment, after.place.segment) != 0);
	open_reader(f);
	assert_true(lies(f->reader, QUEUE_INCOMING, before.id));
	assert_false(lies(f->reader, QUEUE_INCOMING, failed.id));
	assert_true(lies(f->reader, QUEUE_INCOMING, after.id));
}

/* ---- many at once ---- */

enum { MANY = 60 };

static struct fixture *loop_fixture;
static struct scope *many;
static int committed;

static void commit_one(void *arg)
{
	struct put p;

	(void) arg;
	if (put_body(loop_fixture, STR("one of many\n"), &p) == -ECANCELED && co_is_cancelled())
		return;
	assert_true(p.place.segment[0] != '\0');
	committed++;
}

static void commit_many(void *arg)
{
	(void) arg;
	many = scope_open("many");
	for (int i = 0; i < MANY; i++)
		assert_int_equal(scope_start(many, "commit", commit_one, NULL), 0);
	assert_int_equal(scope_wait(many, NEVER), 0);
	scope_close(many);
	loop_stop();
}

static void many_messages_share_a_sync(void **state)
{
	loop_fixture = *state;
	committed = 0;
	put(loop_fixture, "the segment is there\n");
	syncs = 0;
	loop_run(commit_many, NULL);
	assert_int_equal(committed, MANY);
	assert_true(syncs <= 3);
	open_reader(loop_fixture);
	assert_int_equal(map_count(loop_fixture->reader->residents->by_id), MANY + 1);
}

static void cancel_soon(void *arg)
{
	(void) arg;
	many = scope_open("many");
	for (int i = 0; i < MANY; i++)
		assert_int_equal(scope_start(many, "commit", commit_one, NULL), 0);
	co_pass();
	scope_cancel(many);
	scope_close(many);
	loop_stop();
}

/*
 * Whoever was promised something finds it; whoever was cancelled before the write leaves nothing
 * that waits.
 */
static void cancelled_ones_disturb_nobody(void **state)
{
	struct fixture *f = *state;

	loop_fixture = f;
	committed = 0;
	loop_run(cancel_soon, NULL);
	open_reader(f);
	assert_int_equal(map_count(f->reader->residents->by_id), committed);
	put(f, "still works\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LOG(a_small_message_is_found_in_the_log_with_all_its_parts),
		WITH_LOG(what_is_large_or_wants_it_gets_a_file_of_its_own),
		WITH_LOG(when_the_log_is_full_messages_get_files_of_their_own),
		WITH_LOG(a_failed_sync_promises_nothing_and_ends_the_segment),
		WITH_LOG(many_messages_share_a_sync),
		WITH_LOG(cancelled_ones_disturb_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
