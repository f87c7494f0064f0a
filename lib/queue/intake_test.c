/* SPDX-License-Identifier: ISC */
/*
 * The intake log on a scratch directory: group commit, what a reader finds, ledgers, damage, moving
 * out, and using segments again.
 */
#include "tests/unit.h"

#include <dirent.h>
#include <errno.h>
#include <sys/syscall.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/queue/residents.h"
#include "lib/queue/scratch_for_test.h"

enum { SEGMENT = 1 << 20, SEGMENTS = 4 };

/* Ours instead of the C library's: how often, and whether it works. */
static int syncs, failing_syncs;

int fdatasync(int fd)
{
	syncs++;
	if (failing_syncs > 0) {
		failing_syncs--;
		errno = EIO;
		return -1;
	}
	return (int) syscall(SYS_fdatasync, fd);
}

struct fixture {
	struct scratch s;
	struct queue *writer, *reader;
};

static int said;

static void count_words(const char *words)
{
	(void) words;
	said++;
}

static struct queue *open_queue(struct fixture *f)
{
	struct queue *q = scratch_queue_open(&f->s);

	queue_set_say(q, count_words);
	return q;
}

static void open_writer(struct fixture *f, uint64_t segment_size)
{
	queue_close(f->writer);
	f->writer = open_queue(f);
	assert_int_equal(queue_append_to_intake(f->writer, f->s.dir, &(struct intake_limits){ segment_size,
			SEGMENTS }), 0);
}

/* As after a restart: what it knows is what lies on disk. */
static void open_reader(struct fixture *f)
{
	queue_close(f->reader);
	f->reader = open_queue(f);
	assert_int_equal(queue_open_intake(f->reader, f->s.dir, true, true), 0);
	assert_int_equal(residents_look(f->reader->residents), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_queue_make(&f->s);
	open_writer(f, SEGMENT);
	said = failing_syncs = 0;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	queue_close(f->writer);
	queue_close(f->reader);
	scratch_queue_remove(&f->s);
	free(f);
	return 0;
}

/* ---- helpers ---- */

struct put {
	char id[32];
	struct queue_parts parts;
	struct queue_place place;
};

static int put_body(struct fixture *f, struct str body, struct put *ret)
{
	struct recipient to[] = { { .index = 0, .address = STR("bob@example.net") },
				  { .index = 1, .address = STR("carol@example.net") } };
	struct envelope e = { .sender = STR("alice@example.org"), .arrival_us = wall_us(),
			      .recipient_count = 2, .recipients = to };
	AUTO(buf) packed = BUF(4096);
	struct queue_writer *w;
	int r;

	queue_id_new(ret->id);
	assert_int_equal(envelope_pack(&e, &packed), 0);
	assert_int_equal(queue_create(f->writer, QUEUE_INCOMING, str_of(ret->id), &w), 0);
	assert_int_equal(queue_write_body(w, body), 0);
	r = queue_commit(w, &e, buf_str(&packed), STR("Subject: test\n"), &ret->parts, &ret->place);
	queue_writer_free(w);
	return r;
}

static struct put put(struct fixture *f, const char *body)
{
	struct put p;

	assert_int_equal(put_body(f, str_of(body), &p), 0);
	return p;
}

static bool lies(struct queue *q, enum queue_name where, const char *id)
{
	AUTO(queue_file) file = { .fd = -1 };
	int r = queue_file_open(q, where, str_of(id), false, true, &file);

	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

static int files_in(struct fixture *f, const char *directory, const char *prefix)
{
	char path[128];
	struct dirent *entry;
	DIR *d;
	int n = 0;

	snprintf(path, sizeof(path), "%s/%s", f->s.path, directory);
	d = opendir(path);
	assert_non_null(d);
	while ((entry = readdir(d)) != NULL)
		n += entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
	closedir(d);
	return n;
}

static int open_log(struct fixture *f, const struct put *p)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "intake/log-%s", p->place.segment);
	fd = openat(f->s.dir, path, O_RDWR);
	assert_true(fd >= 0);
	return fd;
}

static void damage(struct fixture *f, const struct put *p, uint64_t at)
{
	AUTO_FD fd = open_log(f, p);
	char byte;

	assert_int_equal(pread(fd, &byte, 1, (off_t) (p->place.at + at)), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t) (p->place.at + at)), 1);
}

static void note_outcome(struct fixture *f, const struct put *p, uint32_t index, enum outcome_status status)
{
	AUTO(queue_file) file = { .fd = -1 };
	struct journal_record record = { .kind = JOURNAL_OUTCOME,
					 .outcome = { .index = index, .status = status, .dsn = STR("2.0.0"),
						      .relay = STR("none"), .text = STR("words") } };

	assert_int_equal(queue_file_open(f->reader, QUEUE_INCOMING, str_of(p->id), true, false, &file), 0);
	assert_int_equal(journal_append(&file, &record, 1), 0);
}

struct heard {
	int outcomes;
	uint32_t last;
};

static void hear(void *arg, const struct journal_record *r)
{
	struct heard *h = arg;

	h->outcomes += r->kind == JOURNAL_OUTCOME;
	h->last = r->outcome.index;
}

static struct heard journal_of(struct queue *q, enum queue_name where, const struct put *p)
{
	AUTO(queue_file) file = { .fd = -1 };
	struct heard h = { 0 };

	assert_int_equal(queue_file_open(q, where, str_of(p->id), false, true, &file), 0);
	assert_int_equal(journal_read(&file, hear, &h), 0);
	return h;
}

/* ---- tests ---- */

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
	assert_int_equal(queue_file_is_current(&file), -ELOOP);
	swap(f, "done", &through, false);
	assert_int_equal(queue_scan(f->reader, QUEUE_INCOMING, count_one, &count), 0);
	assert_int_equal(count, 1);
	assert_false(lies(f->reader, QUEUE_INCOMING, through.id));
}

static void a_ledger_line_that_was_torn_or_damaged_counts_for_nobody(void **state)
{
	struct fixture *f = *state;
	struct put one = put(f, "1\n"), two = put(f, "2\n");
	char path[64];

	open_reader(f);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(one.id)), 0);
	snprintf(path, sizeof(path), "intake/done-%s", one.place.segment);
	AUTO_FD fd = openat(f->s.dir, path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "ff", 2, (off_t) strlen(one.id) + 1), 2);
	assert_true(lseek(fd, 0, SEEK_END) > 0);
	assert_int_equal(write(fd, two.id, 5), 5);
	open_reader(f);
	assert_true(lies(f->reader, QUEUE_INCOMING, one.id));
	/* the next line is not written behind the torn one */
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(two.id)), 0);
	open_reader(f);
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
	open_reader(f);
	assert_false(lies(f->reader, QUEUE_INCOMING, p.id));
	assert_int_equal(journal_of(f->reader, QUEUE_DEFERRED, &p).outcomes, 1);
	close(x.fd);
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
	assert_int_equal(queue_exit_begin(f->reader, str_of(p.id), QUEUE_DEFERRED, &x), 0);
	assert_int_equal(queue_exit_write(&x), 0);
	assert_int_equal(ftruncate(x.fd, QUEUE_HEAD_SIZE + 10), 0);
	open_reader(f);
	assert_true(lies(f->reader, QUEUE_INCOMING, p.id));
	assert_int_equal(queue_move(f->reader, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(p.id)), 0);
	assert_true(lies(f->reader, QUEUE_DEFERRED, p.id));
	close(x.fd);
}

static void half_a_copy_of_a_predecessor_that_lives_is_left_to_it(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	struct queue_exit x, y;

	open_reader(f);
	assert_int_equal(queue_exit_begin(f->reader, str_of(p.id), QUEUE_DEFERRED, &x), 0);
	assert_int_equal(queue_exit_write(&x), 0);
	assert_int_equal(ftruncate(x.fd, QUEUE_HEAD_SIZE + 10), 0);
	assert_int_equal(queue_open_intake(f->writer, f->s.dir, true, true), 0);
	assert_int_equal(residents_look(f->writer->residents), 0);
	assert_int_equal(queue_exit_begin(f->writer, str_of(p.id), QUEUE_DEFERRED, &y), -EBUSY);
	assert_int_equal(faccessat(x.dir, x.path, F_OK, 0), 0);
	assert_int_equal(queue_exit_end(&x, -EIO), -EIO);
	assert_int_equal(queue_move(f->writer, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(p.id)), 0);
	assert_true(lies(f->writer, QUEUE_DEFERRED, p.id));
}

static void what_is_finished_while_it_moves_leaves_no_file(void **state)
{
	struct fixture *f = *state;
	struct put p = put(f, "x\n");
	struct queue_exit x;

	open_reader(f);
	assert_int_equal(queue_exit_begin(f->reader, str_of(p.id), QUEUE_DEFERRED, &x), 0);
	assert_int_equal(queue_exit_write(&x), 0);
	assert_int_equal(queue_finish(f->reader, QUEUE_INCOMING, str_of(p.id)), 0);
	assert_int_equal(queue_exit_end(&x, 0), -ENOENT);
	assert_false(lies(f->reader, QUEUE_DEFERRED, p.id));
}

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
	AUTO_FD fd = open_log(f, p);
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
	AUTO_FD fd = open_log(f, &first);
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
	queue_unlock(&lock);
	assert_int_equal(queue_file_is_locked(&a), 0);
	assert_int_equal(queue_file_is_current(&b), 0);
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
	queue_unlock(&lock);
	queue_crowding(f->writer, 0, add_id, &moving);
	assert_int_equal(moving.len, 2 * strlen(two.id) + strlen(one.id));
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

#define WITH_LOG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LOG(a_small_message_is_found_in_the_log_with_all_its_parts),
		WITH_LOG(what_is_large_or_wants_it_gets_a_file_of_its_own),
		WITH_LOG(what_is_done_stays_done),
		WITH_LOG(what_is_found_late_is_as_far_as_the_ledger_said_before),
		WITH_LOG(a_segment_that_cannot_be_opened_now_keeps_its_ledger),
		WITH_LOG(nobody_is_shown_whose_ledger_cannot_be_read),
		WITH_LOG(a_ledger_line_that_was_torn_or_damaged_counts_for_nobody),
		WITH_LOG(a_ledger_that_takes_nothing_for_a_while_is_written_later),
		WITH_LOG(results_are_in_the_ledger_and_go_along_to_a_file_of_its_own),
		WITH_LOG(a_move_that_a_crash_cut_short_is_completed),
		WITH_LOG(a_look_meanwhile_does_not_take_our_own_move_for_one_that_was_cut_short),
		WITH_LOG(half_a_copy_is_not_the_message),
		WITH_LOG(half_a_copy_of_a_predecessor_that_lives_is_left_to_it),
		WITH_LOG(what_is_finished_while_it_moves_leaves_no_file),
		WITH_LOG(a_damaged_message_is_set_aside_and_hides_nobody),
		WITH_LOG(a_damaged_head_is_set_aside_also_when_nobody_follows),
		WITH_LOG(a_segment_is_kept_while_what_is_damaged_in_it_cannot_be_set_aside),
		WITH_LOG(what_a_newer_version_wrote_into_the_log_is_neither_damage_nor_nothing),
		WITH_LOG(nothing_in_a_body_passes_for_a_message),
		WITH_LOG(a_segment_is_used_again_and_its_past_is_forgotten),
		WITH_LOG(a_former_body_does_not_keep_a_segment),
		WITH_LOG(a_sealed_segment_is_not_freed_before_all_of_it_was_found),
		WITH_LOG(announcements_are_told_from_what_is_known),
		WITH_LOG(a_gap_that_is_damaged_is_set_aside_at_once),
		WITH_LOG(when_the_log_is_full_messages_get_files_of_their_own),
		WITH_LOG(a_failed_sync_promises_nothing_and_ends_the_segment),
		WITH_LOG(a_lock_on_one_message_is_seen_by_others),
		WITH_LOG(what_a_predecessor_still_delivers_is_not_moved_away_from_its_lock),
		WITH_LOG(a_copy_for_people_is_the_file_that_it_would_be),
		WITH_LOG(many_messages_share_a_sync),
		WITH_LOG(cancelled_ones_disturb_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
