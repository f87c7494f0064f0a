/* SPDX-License-Identifier: ISC */
/* The queue on a scratch directory: writing, reading, damage, full disks, moves, and what does not belong there. */
#include "tests/unit.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/queue/format.h"
#include "lib/queue/requeue.h"
#include "lib/queue/scratch_for_test.h"

struct fixture {
	struct scratch s;
	struct queue *q;
	char id[32];
};

static int said;

static void count_words(const char *words)
{
	(void) words;
	said++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_make(&f->s);
	f->q = scratch_open_queue(&f->s);
	queue_set_say(f->q, count_words);
	said = 0;
	queue_id_new(f->id);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	queue_close(f->q);
	scratch_remove(&f->s);
	free(f);
	return 0;
}

static const char headers[] = "Subject: test\nX-Folded: a\n b\n";

/* Writes a message of body_len bytes in pieces of odd size. */
static int write_message(struct fixture *f, enum queue_name where, const char *id, size_t body_len, struct queue_parts *ret)
{
	struct recipient to[] = { { .index = 0, .address = STR("bob@example.net") },
				  { .index = 1, .address = STR("carol@example.net") } };
	struct envelope e = { .sender = STR("alice@example.org"), .arrival_us = 1700000000000001, .recipient_count = 2,
			      .recipients = to };
	AUTO(buf) packed = BUF(4096);
	struct queue_writer *w;
	char *body = malloc(body_len + 1);
	int r;

	assert_non_null(body);
	for (size_t i = 0; i < body_len; i++)
		body[i] = (char) (i * 31 + i / 257);
	assert_int_equal(envelope_pack(&e, &packed), 0);
	assert_int_equal(queue_create(f->q, where, str_of(id), &w), 0);
	for (size_t at = 0; at < body_len; at += 7777)
		if (queue_write_body(w, str_make(body + at, MIN(body_len - at, (size_t) 7777))) < 0)
			break;
	r = queue_commit(w, &e, buf_str(&packed), str_of(headers), ret, NULL);
	queue_writer_free(w);
	free(body);
	return r;
}

static void a_message_reads_back_as_it_was_written(void **state)
{
	static const size_t sizes[] = { 0, 1, 4096, QUEUE_SMALL - 1, QUEUE_SMALL, QUEUE_SMALL + 1, 2 * QUEUE_SMALL, 3000001 };
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
		assert_int_equal(pread(file.fd, head, parts.headers_len, (off_t) parts.headers_at), strlen(headers));
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

static bool exists(struct fixture *f, const char *where, const char *name)
{
	char path[300];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s/%s", f->s.path, where, name);
	return lstat(path, &st) == 0;
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

/* ---- journal ---- */

struct seen {
	int count;
	uint32_t last_index;
	enum journal_kind last_kind;
	char text[200];
};

static void see(void *arg, const struct journal_record *r)
{
	struct seen *s = arg;

	s->count++;
	s->last_index = r->outcome.index;
	s->last_kind = r->kind;
	snprintf(s->text, sizeof(s->text), "%.*s", PSTR(r->kind == JOURNAL_OUTCOME ? r->outcome.text : r->text));
}

static struct journal_record outcome_of(uint32_t index, const char *text)
{
	return (struct journal_record){ .kind = JOURNAL_OUTCOME,
					.outcome = { .index = index, .status = OUTCOME_DEFERRED, .dsn = STR("4.0.0"),
						     .text = str_of(text), .at_us = 5 } };
}

static void the_journal_keeps_its_records_in_order(void **state)
{
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };
	AUTO(queue_file) again = { .fd = -1 };
	struct journal_record some[] = { outcome_of(0, "later"), outcome_of(1, "much later"),
					 { .kind = JOURNAL_TOLD, .outcome = { .index = 1 } },
					 { .kind = JOURNAL_ADD_RECIPIENT, .text = STR("to\t2\tx@y\t\t0\t") } };
	struct queue_parts parts;
	struct recipient added;
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
	assert_int_equal(seen.last_kind, JOURNAL_ADD_RECIPIENT);
	assert_int_equal(recipient_unpack(str_of(seen.text), &added), 0);
	assert_str(added.address, "x@y");
}

/* The message with these records is handed in again; how many recipients it has then. 0: nobody, and there is no copy. */
static size_t requeued_for(struct fixture *f, const struct journal_record *records, size_t n, struct envelope *ret)
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
	struct journal_record records[] = { outcome_of(0, "no"), outcome_of(1, "no"), { .kind = JOURNAL_TOLD, .outcome = { .index = 0 } },
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
	struct journal_record one = outcome_of(0, "first"), two = outcome_of(1, "second"), three = outcome_of(2, "third");
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
	for (uint64_t cut = whole - 2; cut > start; cut--) {
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
	struct queue_head h = { .id = "ABCDEF", .headers.at = 512, .body.at = 512, .envelope.at = 512, .journal_at = 512 }, back;
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
	static const char queued[] = "C\x5f             294             175               2               0             294               0T\x11" "1795347000 123456";
	struct queue_head back;

	(void) state;
	assert_int_equal(queue_head_parse(STR("C\x05  294T"), 8, &back), -ENOTSUP);
	assert_int_equal(queue_head_parse(STR("T\x0a" "1795347000A"), 13, &back), -ENOTSUP);
	assert_int_equal(queue_head_parse(str_make(queued, sizeof(queued) - 1), sizeof(queued) - 1, &back), -ENOTSUP);
	assert_int_equal(queue_head_parse(STR("C\x05  2x4T"), 8, &back), -ENODATA);
	assert_int_equal(queue_head_parse(STR("C\x50  294T"), 8, &back), -ENODATA);
	assert_int_equal(queue_head_parse(STR("C"), 1, &back), -ENODATA);
}

/* ---- directories ---- */

static void moves_make_hash_directories_and_keep_the_time(void **state)
{
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };
	struct queue_parts parts;
	char path[64];

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	assert_int_equal(queue_set_next_attempt(f->q, QUEUE_INCOMING, str_of(f->id), 2000000000), 0);
	assert_int_equal(queue_move(f->q, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(f->id)), 0);
	queue_path(f->q, QUEUE_DEFERRED, str_of(f->id), path);
	assert_int_equal(path[1], '/');
	assert_true(exists(f, "deferred", path));
	assert_int_equal(queue_file_find(f->q, str_of(f->id), true, &file), 0);
	assert_int_equal(file.where, QUEUE_DEFERRED);
	assert_int_equal(file.mtime_s, 2000000000);
	assert_int_equal(queue_finish(f->q, QUEUE_DEFERRED, str_of(f->id)), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_DEFERRED, str_of(f->id), false, false, &file), -ENOENT);
}

static void a_move_never_replaces_another_message(void **state)
{
	struct fixture *f = *state;
	struct queue_parts parts;

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	assert_int_equal(write_message(f, QUEUE_HOLD, f->id, 20, &parts), 0);
	assert_int_equal(queue_move(f->q, QUEUE_INCOMING, QUEUE_HOLD, str_of(f->id)), -EEXIST);
	assert_int_equal(queue_mend(f->q, QUEUE_INCOMING, str_of(f->id)), -EEXIST);
	assert_true(exists(f, "incoming", f->id));
}

static int count_messages(void *arg, struct str id, int64_t mtime_s)
{
	(void) id;
	(void) mtime_s;
	++*(int *) arg;
	return 0;
}

static void what_is_no_message_is_told_and_left_alone(void **state)
{
	struct fixture *f = *state;
	struct queue_file file;
	struct queue_parts parts;
	char path[128], other[128], id2[32], id3[32], id4[32];
	int n = 0;

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	queue_id_new(id2);
	queue_id_new(id3);
	queue_id_new(id4);
	snprintf(path, sizeof(path), "%s/incoming/%s", f->s.path, f->id);
	snprintf(other, sizeof(other), "%s/incoming/%s", f->s.path, id2);
	assert_int_equal(symlink(path, other), 0);
	snprintf(other, sizeof(other), "%s/incoming/%s", f->s.path, id3);
	assert_int_equal(mkfifo(other, 0600), 0);
	snprintf(other, sizeof(other), "%s/incoming/%s", f->s.path, id4);
	assert_int_equal(mkdir(other, 0700), 0);
	snprintf(other, sizeof(other), "%s/incoming/evil\nname", f->s.path);
	put_bytes(other, "x", 1);
	assert_int_equal(queue_scan(f->q, QUEUE_INCOMING, count_messages, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(said, 4);
	assert_true(queue_file_open(f->q, QUEUE_INCOMING, str_of(id2), false, false, &file) < 0);
	assert_true(queue_file_open(f->q, QUEUE_INCOMING, str_of(id3), false, false, &file) < 0);
	assert_true(queue_file_open(f->q, QUEUE_INCOMING, str_of(id4), false, false, &file) < 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, STR("../etc/passwd"), false, false, &file), -EINVAL);
}

static void a_rename_caught_half_way_leaves_one_name(void **state)
{
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };
	struct queue_parts parts;
	char from[128], to[256], path[64];

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	queue_path(f->q, QUEUE_DEFERRED, str_of(f->id), path);
	assert_int_equal(queue_make_hash_directories(f->q, QUEUE_DEFERRED, path), 0);
	snprintf(from, sizeof(from), "%s/incoming/%s", f->s.path, f->id);
	snprintf(to, sizeof(to), "%s/deferred/%s", f->s.path, path);
	assert_int_equal(link(from, to), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), false, false, &file), -EMLINK);
	assert_int_equal(queue_mend(f->q, QUEUE_INCOMING, str_of(f->id)), -ENOENT);
	assert_false(exists(f, "incoming", f->id));
	assert_int_equal(queue_file_open(f->q, QUEUE_DEFERRED, str_of(f->id), false, true, &file), 0);
}

static void a_link_from_elsewhere_is_refused(void **state)
{
	struct fixture *f = *state;
	struct queue_file file;
	struct queue_parts parts;
	char from[128], to[128];

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	snprintf(from, sizeof(from), "%s/incoming/%s", f->s.path, f->id);
	snprintf(to, sizeof(to), "%s/elsewhere", f->s.path);
	assert_int_equal(link(from, to), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), false, false, &file), -EMLINK);
	assert_int_equal(queue_mend(f->q, QUEUE_INCOMING, str_of(f->id)), -EMLINK);
	assert_true(exists(f, "incoming", f->id));
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

static void a_changed_hash_depth_is_followed(void **state)
{
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };
	AUTO(buf) why = BUF_WORDS;
	struct queue_parts parts;
	struct queue *deeper;
	int n = 0;

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	assert_int_equal(queue_move(f->q, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(f->id)), 0);
	assert_int_equal(queue_open(f->s.dir, 3, 1u << QUEUE_DEFERRED, &deeper, &why), 0);
	assert_int_equal(queue_file_open(deeper, QUEUE_DEFERRED, str_of(f->id), false, false, &file), -ENOENT);
	assert_int_equal(queue_scan(deeper, QUEUE_DEFERRED, count_messages, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(queue_file_open(deeper, QUEUE_DEFERRED, str_of(f->id), false, false, &file), 0);
	queue_close(deeper);
}

static void a_missing_directory_is_named(void **state)
{
	struct fixture *f = *state;
	AUTO(buf) why = BUF_WORDS;
	struct queue *q;

	assert_int_equal(unlinkat(f->s.dir, "hold", AT_REMOVEDIR), 0);
	assert_int_equal(queue_open(f->s.dir, 1, 1u << QUEUE_HOLD, &q, &why), -ENOENT);
	assert_non_null(strstr(buf_text(&why), "hold"));
}

/* ---- ids ---- */

static void ids_have_the_long_shape_and_tell_their_time(void **state)
{
	char id[32];
	int64_t us;

	(void) state;
	clock_set_for_test(1900000000123456, 1);
	queue_id_new(id);
	clock_set_for_test(-1, -1);
	assert_int_equal(strspn(id, "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"), strlen(id));
	assert_int_equal(strlen(id), 17);
	assert_int_equal(id[10], 'z');
	assert_null(strchr(id + 11, 'z'));
	assert_int_equal(queue_id_time(str_of(id), &us), 0);
	assert_int_equal(us, 1900000000123456);
	assert_int_equal(queue_id_time(STR("4F2A81234567"), &us), -EINVAL);
}

static void ids_differ_even_when_the_clock_stands_still_or_goes_back(void **state)
{
	char last[32] = "", id[32];

	(void) state;
	for (int i = 0; i < 10000; i++) {
		clock_set_for_test(1800000000000000 - i / 2, 1);
		queue_id_new(id);
		if (i > 0)
			assert_true(strcmp(last, id) < 0);
		memcpy(last, id, sizeof(last));
	}
	clock_set_for_test(-1, -1);
}

static void ids_of_a_forked_process_differ(void **state)
{
	char mine[32], theirs[32] = "";
	int pipes[2];
	pid_t child;

	(void) state;
	assert_int_equal(pipe(pipes), 0);
	queue_id_new(mine);
	child = fork();
	if (child == 0) {
		queue_id_new(theirs);
		_exit(write(pipes[1], theirs, sizeof(theirs)) != sizeof(theirs));
	}
	assert_int_equal(read(pipes[0], theirs, sizeof(theirs)), sizeof(theirs));
	waitpid(child, NULL, 0);
	close(pipes[0]);
	close(pipes[1]);
	assert_string_not_equal(mine + 11, theirs + 11);
}

static void only_harmless_names_are_ids(void **state)
{
	(void) state;
	assert_true(queue_id_is_valid(STR("4F2A81234")));
	assert_false(queue_id_is_valid(STR("")));
	assert_false(queue_id_is_valid(STR("short")));
	assert_false(queue_id_is_valid(STR("../../../etc")));
	assert_false(queue_id_is_valid(STR("abcdef.x")));
	assert_false(queue_id_is_valid(STR("abcdefghijabcdefghijabcdefghijab")));
}

#define QUEUE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
		QUEUE_TEST(a_journal_record_that_finds_no_room_is_not_half_there),
		QUEUE_TEST(the_journal_keeps_its_records_in_order),
		QUEUE_TEST(a_requeued_message_keeps_whom_its_sender_has_not_heard_of),
		QUEUE_TEST(many_records_are_read_across_piece_borders),
		QUEUE_TEST(a_torn_record_costs_only_itself),
		QUEUE_TEST(ten_thousand_damaged_files_never_pass_for_good_ones),
		QUEUE_TEST(moves_make_hash_directories_and_keep_the_time),
		QUEUE_TEST(a_move_never_replaces_another_message),
		QUEUE_TEST(what_is_no_message_is_told_and_left_alone),
		QUEUE_TEST(a_rename_caught_half_way_leaves_one_name),
		QUEUE_TEST(a_link_from_elsewhere_is_refused),
		QUEUE_TEST(a_file_in_the_middle_of_its_write_is_not_damaged_until_it_is_old),
		QUEUE_TEST(a_large_message_whose_file_was_removed_meanwhile_is_not_committed),
		QUEUE_TEST(a_renamed_file_is_damaged),
		QUEUE_TEST(a_changed_hash_depth_is_followed),
		QUEUE_TEST(a_missing_directory_is_named),
		cmocka_unit_test(a_record_of_another_message_does_not_count),
		cmocka_unit_test(a_newer_version_is_left_alone),
		cmocka_unit_test(files_of_postfix_are_neither_damaged_nor_debris),
		cmocka_unit_test(ids_have_the_long_shape_and_tell_their_time),
		cmocka_unit_test(ids_differ_even_when_the_clock_stands_still_or_goes_back),
		cmocka_unit_test(ids_of_a_forked_process_differ),
		cmocka_unit_test(only_harmless_names_are_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
