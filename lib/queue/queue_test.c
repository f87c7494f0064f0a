/* SPDX-License-Identifier: ISC */
/* A message in a file of its own: writing, reading, full disks and damage. */
#include "tests/unit.h"

#include <errno.h>
#include <sys/resource.h>

#include "lib/queue/format.h"
#include "lib/queue/message_for_test.h"

static void a_message_reads_back_as_it_was_written(void **state)
{
	static const size_t sizes[] = { 0, 1, 4096, QUEUE_SMALL - 1, QUEUE_SMALL, QUEUE_SMALL + 1,
					2 * QUEUE_SMALL, 3000001 };
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		AUTO(queue_file) file = { .fd = -1 };
		struct queue_parts parts;
		struct envelope e;
		char *content = malloc(sizes[i] + 1), head[sizeof(headers)];

		queue_id_new(f->id);
		assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, sizes[i], &parts), 0);
		assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), false, true, &file), 0);
		assert_int_equal(parts.size, strlen(headers) + 1 + sizes[i]);
		assert_memory_equal(&parts, &file.parts, sizeof(parts));
		assert_int_equal(parts.headers_len, strlen(headers));
		assert_int_equal(pread(file.fd, head, parts.headers_len, (off_t) parts.headers_at),
				 strlen(headers));
		assert_memory_equal(head, headers, strlen(headers));
		assert_int_equal(pread(file.fd, content, sizes[i], (off_t) parts.body_at), sizes[i]);
		for (size_t k = 0; k < sizes[i]; k++)
			if (content[k] != (char) (k * 31 + k / 257))
				fail_msg("byte %zu of %zu differs", k, sizes[i]);
		assert_int_equal(queue_file_envelope(&file, f->s.a, &e), 0);
		assert_str(e.sender, "alice@example.org");
		assert_str(e.queue_id, f->id);
		assert_str(e.recipients[1].address, "carol@example.net");
		assert_int_equal(file.arrival_us, 1700000000000001);
		free(content);
	}
}

static void a_small_message_can_be_read_with_one_call(void **state)
{
	struct fixture *f = *state;
	struct queue_parts parts;

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 5000, &parts), 0);
	assert_int_equal(parts.body_at, parts.headers_at + parts.headers_len + 1);
}

static void what_a_user_drops_is_readable_for_the_mail_owner_whatever_his_umask(void **state)
{
	struct fixture *f = *state;
	struct queue_parts parts;
	struct stat st;
	mode_t old = umask(077);

	assert_int_equal(write_message(f, QUEUE_MAILDROP, f->id, 10, &parts), 0);
	umask(old);
	{
		AUTO(queue_file) file = { .fd = -1 };

		assert_int_equal(queue_file_open(f->q, QUEUE_MAILDROP, str_of(f->id), false, true, &file), 0);
		assert_int_equal(fstat(file.fd, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0644);
	}
}

static void a_writer_that_gives_up_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct queue_writer *w;
	static char big[3 * QUEUE_SMALL];

	assert_int_equal(queue_create(f->q, QUEUE_INCOMING, str_of(f->id), &w), 0);
	assert_int_equal(queue_write_body(w, str_make(big, sizeof(big))), 0);
	assert_true(exists(f, "incoming", f->id));
	queue_writer_free(w);
	assert_false(exists(f, "incoming", f->id));
}

static void an_unfinished_file_is_debris_and_not_damage(void **state)
{
	struct fixture *f = *state;
	struct queue_file file;
	struct queue_writer *w;
	static char big[3 * QUEUE_SMALL];

	memset(big, 'x', sizeof(big));
	assert_int_equal(queue_create(f->q, QUEUE_INCOMING, str_of(f->id), &w), 0);
	assert_int_equal(queue_write_body(w, str_make(big, sizeof(big))), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), false, false, &file), -ENODATA);
	queue_writer_free(w);
}

static void an_id_that_is_taken_is_never_overwritten(void **state)
{
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };
	struct queue_parts parts;

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 100, &parts), 0);
	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 200, &parts), -EEXIST);
	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 200000, &parts), -EEXIST);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), false, true, &file), 0);
	assert_int_equal(file.parts.body_len, 100);
}

/* ---- full disk ---- */

static int write_with_limit(struct fixture *f, size_t body_len, rlim_t limit)
{
	struct rlimit old, small;
	struct queue_parts parts;
	int r;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit){ limit, old.rlim_max };
	setrlimit(RLIMIT_FSIZE, &small);
	r = write_message(f, QUEUE_INCOMING, f->id, body_len, &parts);
	setrlimit(RLIMIT_FSIZE, &old);
	return r;
}

static void no_room_is_an_error_and_leaves_no_file(void **state)
{
	struct fixture *f = *state;

	for (rlim_t limit = 0; limit < 5700; limit += 300) {
		assert_int_equal(write_with_limit(f, 5000, limit), limit < 5700 ? -EFBIG : 0);
		assert_false(exists(f, "incoming", f->id));
	}
	for (rlim_t limit = 1; limit < 500000; limit += 60000) {
		assert_int_equal(write_with_limit(f, 500000, limit), -EFBIG);
		assert_false(exists(f, "incoming", f->id));
	}
	assert_int_equal(write_with_limit(f, 5000, RLIM_INFINITY), 0);
}

/* ---- damage ---- */

static char *slurp(const char *path, size_t *ret_len)
{
	struct stat st;
	char *bytes;
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	fstat(fd, &st);
	bytes = malloc((size_t) st.st_size + 1);
	*ret_len = (size_t) st.st_size;
	assert_int_equal(read(fd, bytes, *ret_len), *ret_len);
	close(fd);
	return bytes;
}

static void put_bytes(const char *path, const char *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Changes, cuts or stretches a copy; returns its new length. */
static size_t mutate(char *bytes, size_t len, size_t room, uint32_t *seed)
{
	int changes = 1 + (int) (next_random(seed) % 4);

	switch (next_random(seed) % 8) {
	case 0:
		return next_random(seed) % (len + 1);
	case 1:
		memset(bytes + len, (int) (next_random(seed) & 255), room - len);
		return room;
	case 2: {
		size_t from = next_random(seed) % len, n = MIN(len - from, (size_t) next_random(seed) % 600);

		memset(bytes + from, 0, n);
		return len;
	}
	default:
		while (changes-- > 0)
			bytes[next_random(seed) % len] ^= (char) (1 << next_random(seed) % 8);
		return len;
	}
}

/* Reads everything; whatever passes the checks must be what was written. */
static bool read_mutated(struct fixture *f, const char *original)
{
	AUTO(queue_file) file = { .fd = -1 };
	struct seen seen = { 0 };
	struct envelope e;
	char body[300];
	bool good = true;

	arena_reset(f->s.a);
	if (queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), false, true, &file) < 0)
		return false;
	assert_int_equal(pread(file.fd, body, 300, (off_t) file.parts.body_at), 300);
	assert_memory_equal(body, original + file.parts.body_at, 300);
	if (queue_file_envelope(&file, f->s.a, &e) < 0)
		good = false;
	else
		assert_str(e.recipients[1].address, "carol@example.net");
	assert_true(journal_read(&file, see, &seen) >= 0);
	assert_true(seen.count <= 2);
	if (seen.count == 2)
		assert_string_equal(seen.text, "second");
	return good;
}

static void ten_thousand_damaged_files_never_pass_for_good_ones(void **state)
{
	struct fixture *f = *state;
	struct journal_record both[] = { outcome_of(0, "first"), outcome_of(1, "second") };
	struct queue_parts parts;
	char path[128], *original, *copy;
	uint32_t seed = 20261122;
	size_t len;
	int unnoticed = 0;

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 300, &parts), 0);
	{
		AUTO(queue_file) file = { .fd = -1 };

		assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), true, false, &file), 0);
		assert_int_equal(journal_append(&file, both, 2), 0);
	}
	snprintf(path, sizeof(path), "%s/incoming/%s", f->s.path, f->id);
	original = slurp(path, &len);
	copy = malloc(len + 700);
	for (int i = 0; i < 10000; i++) {
		size_t n;

		memcpy(copy, original, len);
		n = mutate(copy, len, len + 700, &seed);
		put_bytes(path, copy, n);
		unnoticed += read_mutated(f, original);
	}
	/* damage in the journal or behind it leaves the message readable */
	assert_in_range(unnoticed, 1, 6000);
	free(original);
	free(copy);
}

static void a_newer_version_is_left_alone(void **state)
{
	struct queue_head h = { .id = "ABCDEF", .headers.at = 512, .body.at = 512, .envelope.at = 512,
				.journal_at = 512 }, back;
	char head[QUEUE_HEAD_SIZE], check[20];

	(void) state;
	queue_head_print(&h, head);
	assert_int_equal(queue_head_parse(str_make(head, sizeof(head)), 512, &back), 0);
	assert_int_equal(queue_head_parse(str_make(head, sizeof(head)), 511, &back), -EBADMSG);
	head[20] = '2';
	assert_int_equal(queue_head_parse(str_make(head, sizeof(head)), 512, &back), -EBADMSG);
	snprintf(check, sizeof(check), "check %08x\n", crc32c(0, head, QUEUE_HEAD_SIZE - 15));
	memcpy(head + QUEUE_HEAD_SIZE - 15, check, 15);
	assert_int_equal(queue_head_parse(str_make(head, sizeof(head)), 512, &back), -ENOTSUP);
}

static void files_of_postfix_are_neither_damaged_nor_debris(void **state)
{
	static const char queued[] =
		"C\x5f             294             175               2               0             294               0T\x11" "1795347000 123456";
	struct queue_head back;

	(void) state;
	assert_int_equal(queue_head_parse(STR("C\x05  294T"), 8, &back), -ENOTSUP);
	assert_int_equal(queue_head_parse(STR("T\x0a" "1795347000A"), 13, &back), -ENOTSUP);
	assert_int_equal(queue_head_parse(str_make(queued, sizeof(queued) - 1), sizeof(queued) - 1, &back),
			 -ENOTSUP);
	assert_int_equal(queue_head_parse(STR("C\x05  2x4T"), 8, &back), -ENODATA);
	assert_int_equal(queue_head_parse(STR("C\x50  294T"), 8, &back), -ENODATA);
	assert_int_equal(queue_head_parse(STR("C"), 1, &back), -ENODATA);
}

static void a_file_in_the_middle_of_its_write_is_not_damaged_until_it_is_old(void **state)
{
	const struct timespec long_ago[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	struct fixture *f = *state;
	struct queue_file file;
	struct queue_parts parts;
	char path[128];

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10000, &parts), 0);
	snprintf(path, sizeof(path), "%s/incoming/%s", f->s.path, f->id);
	assert_int_equal(truncate(path, 4096), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), false, false, &file), -ENODATA);
	assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), false, false, &file), -EBADMSG);
}

static void a_large_message_whose_file_was_removed_meanwhile_is_not_committed(void **state)
{
	static char body[3 * QUEUE_SMALL];
	struct fixture *f = *state;
	struct envelope e = { .arrival_us = 1 };
	AUTO(buf) packed = BUF(4096);
	struct queue_writer *w;
	struct queue_parts parts;
	char path[128];

	assert_int_equal(envelope_pack(&e, &packed), 0);
	assert_int_equal(queue_create(f->q, QUEUE_INCOMING, str_of(f->id), &w), 0);
	assert_int_equal(queue_write_body(w, str_make(body, sizeof(body))), 0);
	snprintf(path, sizeof(path), "%s/incoming/%s", f->s.path, f->id);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(queue_commit(w, &e, buf_str(&packed), str_of(headers), &parts, NULL), -ESTALE);
	queue_writer_free(w);
}

static void a_renamed_file_is_damaged(void **state)
{
	struct fixture *f = *state;
	struct queue_file file;
	struct queue_parts parts;
	char from[128], to[128], id[32];

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	queue_id_new(id);
	snprintf(from, sizeof(from), "%s/incoming/%s", f->s.path, f->id);
	snprintf(to, sizeof(to), "%s/incoming/%s", f->s.path, id);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(id), false, false, &file), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		QUEUE_TEST(a_message_reads_back_as_it_was_written),
		QUEUE_TEST(a_small_message_can_be_read_with_one_call),
		QUEUE_TEST(what_a_user_drops_is_readable_for_the_mail_owner_whatever_his_umask),
		QUEUE_TEST(a_writer_that_gives_up_leaves_nothing),
		QUEUE_TEST(an_unfinished_file_is_debris_and_not_damage),
		QUEUE_TEST(an_id_that_is_taken_is_never_overwritten),
		QUEUE_TEST(no_room_is_an_error_and_leaves_no_file),
		QUEUE_TEST(ten_thousand_damaged_files_never_pass_for_good_ones),
		cmocka_unit_test(a_newer_version_is_left_alone),
		cmocka_unit_test(files_of_postfix_are_neither_damaged_nor_debris),
		QUEUE_TEST(a_file_in_the_middle_of_its_write_is_not_damaged_until_it_is_old),
		QUEUE_TEST(a_large_message_whose_file_was_removed_meanwhile_is_not_committed),
		QUEUE_TEST(a_renamed_file_is_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
