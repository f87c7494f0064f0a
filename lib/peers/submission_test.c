/* SPDX-License-Identifier: ISC */
/* What sendmail says to postdrop, and what postdrop makes of it. */
#include "tests/unit.h"
#include "tests/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/peers/submission.h"

/* The bytes as postdrop would read them: from a file. */
static void feed(struct input *in, struct str bytes)
{
	int fd = memfd_create("submission", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes.at, bytes.len), bytes.len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	input_begin(in, fd);
}

static void done(struct input *in)
{
	close(in->fd);
	input_free(in);
}

static int read_all(struct str bytes, struct buf *content)
{
	AUTO(buf) why = BUF_WORDS;
	struct str packed, piece;
	struct input in;
	size_t left = 0;
	int r;

	feed(&in, bytes);
	r = submission_read_envelope(&in, arena, &packed, &why);
	while (r == 0 && (r = submission_read_piece(&in, &left, &piece)) > 0) {
		buf_add(content, piece);
		r = 0;
	}
	done(&in);
	return r;
}

static void test_a_whole_submission_is_read(void **state)
{
	AUTO(buf) content = BUF(1000);

	(void) state;
	assert_int_equal(read_all(STR("postroad-submission 1\nenvelope 3\nabcdata 5\nhello data 0\ndata 2\nx\nend\n"),
				  &content), -EBADMSG);
	buf_clear(&content);
	assert_int_equal(read_all(STR("postroad-submission 1\nenvelope 3\nabcdata 5\nhellodata 0\ndata 2\nx\nend\n"),
				  &content), 0);
	assert_str(buf_str(&content), "hellox\n");
}

static void test_a_submission_without_its_end_is_none(void **state)
{
	const struct str whole = STR("postroad-submission 1\nenvelope 3\nabcdata 5\nhelloend\n");

	(void) state;
	for (size_t n = 0; n < whole.len; n++) {
		AUTO(buf) content = BUF(1000);
		int r = read_all(str_head(whole, n), &content);

		if (r != -EPIPE && r != -EBADMSG)
			fail_msg("%zu bytes: %d", n, r);
	}
}

static void test_addresses_have_a_measure(void **state)
{
	struct recipient to[] = { { .address = STR("a@example.org") }, { .address = STR("b@example.org") } };
	struct envelope e = { .sender = STR("c@example.org"), .recipient_count = 2, .recipients = to };
	struct str *const each[] = { &e.sender, &e.envid, &to[1].address, &to[1].orcpt };

	(void) state;
	assert_true(submission_is_bounded(&e));
	for (size_t i = 0; i < COUNT_OF(each); i++) {
		struct str before = *each[i];

		*each[i] = arena_fmt(arena, "%0*d", SUBMISSION_LONGEST + 1, 0);
		assert_false(submission_is_bounded(&e));
		*each[i] = before;
	}
}

static void test_nonsense_and_absurd_lengths_are_refused(void **state)
{
	AUTO(buf) content = BUF(100000);

	(void) state;
	assert_int_equal(read_all(STR("postroad-submission 2\n"), &content), -EBADMSG);
	assert_int_equal(read_all(STR("postroad-submission 1\nenvelope -3\nabc"), &content), -EBADMSG);
	assert_int_equal(read_all(STR("postroad-submission 1\nenvelope 99999999999999999999\n"), &content),
			 -EBADMSG);
	assert_int_equal(read_all(STR("postroad-submission 1\nenvelope 999999999\n"), &content), -EMSGSIZE);
	assert_int_equal(read_all(STR("postroad-submission 1\nenvelope 0\ndata 65537\n"), &content), -EBADMSG);
	assert_int_equal(read_all(STR("postroad-submission 1\nenvelope 0\ndata\n"), &content), -EBADMSG);
}

/* ---- sendmail's side, with a shell script as postdrop ---- */

static const char *script(const char *text)
{
	static char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/submission_test.XXXXXX");
	close(mkstemp(path));
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", text);
	fclose(f);
	assert_int_equal(chmod(path, 0755), 0);
	return path;
}

static int submit(const char *program, size_t size, char id[32])
{
	struct recipient to = { .address = STR("bob@example.org") };
	struct envelope e = { .sender = STR("alice@example.org"), .recipient_count = 1, .recipients = &to };
	AUTO(buf) why = BUF_WORDS;
	struct submission *s;

	if (submission_begin(program, NULL, &e, &s, &why) < 0)
		fail_msg("%s", buf_text(&why));
	for (size_t i = 0; i < size; i++)
		submission_write(s, STR("0123456789\n"));
	return submission_end(s, id);
}

static void test_success_needs_status_and_id(void **state)
{
	const char *program = script("cat >/dev/null; echo 4fXyZz12345");
	char id[32];

	(void) state;
	assert_int_equal(submit(program, 1, id), 0);
	assert_string_equal(id, "4fXyZz12345");
	assert_int_equal(submit(program, 100000, id), 0);
	unlink(program);
	program = script("cat >/dev/null");
	assert_int_equal(submit(program, 1, id), EX_SOFTWARE);
	unlink(program);
	program = script("cat >/dev/null; echo 4fXyZz12345; exit 75");
	assert_int_equal(submit(program, 1, id), EX_TEMPFAIL);
	unlink(program);
}

static void test_a_postdrop_that_dies_early_is_an_error(void **state)
{
	const char *program = script("exit 69");
	char id[32];

	(void) state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(submit(program, 1000000, id), EX_UNAVAILABLE);
	unlink(program);
	program = script("kill -9 $$");
	assert_int_equal(submit(program, 1000000, id), EX_TEMPFAIL);
	unlink(program);
}

static void test_what_is_written_is_what_is_read(void **state)
{
	const char *program = script("cat >\"$0.out\"; echo 4fXyZz12345");
	AUTO(buf) content = BUF(4 << 20);
	AUTO(buf) why = BUF_WORDS;
	char path[100], id[32];
	struct str packed, piece;
	struct envelope e;
	struct input in;
	size_t left = 0;

	(void) state;
	assert_int_equal(submit(program, 20000, id), 0);
	snprintf(path, sizeof(path), "%s.out", program);
	input_begin(&in, open(path, O_RDONLY));
	assert_int_equal(submission_read_envelope(&in, arena, &packed, &why), 0);
	assert_int_equal(envelope_unpack(packed, arena, &e), 0);
	assert_str(e.sender, "alice@example.org");
	while (submission_read_piece(&in, &left, &piece) > 0)
		buf_add(&content, piece);
	assert_int_equal(content.len, 20000 * 11);
	done(&in);
	unlink(path);
	unlink(program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_whole_submission_is_read),
		cmocka_unit_test(test_a_submission_without_its_end_is_none),
		cmocka_unit_test(test_addresses_have_a_measure),
		cmocka_unit_test(test_nonsense_and_absurd_lengths_are_refused),
		cmocka_unit_test(test_success_needs_status_and_id),
		cmocka_unit_test(test_a_postdrop_that_dies_early_is_an_error),
		cmocka_unit_test(test_what_is_written_is_what_is_read),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
