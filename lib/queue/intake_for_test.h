/* SPDX-License-Identifier: ISC */
/* For the tests of the intake log: one on a scratch directory, who writes there, and who reads. */
#ifndef ROAD_QUEUE_INTAKE_FOR_TEST_H
#define ROAD_QUEUE_INTAKE_FOR_TEST_H

#include "tests/unit.h"

#include <dirent.h>
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/queue/residents.h"
#include "lib/queue/scratch_for_test.h"

enum { SEGMENT = 1 << 20, SEGMENTS = 4 };

struct fixture {
	struct scratch s;
	struct queue *writer, *reader;
};

static int said;

static inline void count_words(const char *words)
{
	(void) words;
	said++;
}

static inline struct queue *open_queue(struct fixture *f)
{
	struct queue *q = scratch_queue_open(&f->s);

	queue_set_say(q, count_words);
	return q;
}

static inline void open_writer(struct fixture *f, uint64_t segment_size)
{
	queue_close(f->writer);
	f->writer = open_queue(f);
	assert_int_equal(queue_append_to_intake(f->writer, f->s.dir, &(struct intake_limits){ segment_size,
			SEGMENTS }), 0);
}

/* As after a restart: what it knows is what lies on disk. */
static inline void open_reader(struct fixture *f)
{
	queue_close(f->reader);
	f->reader = open_queue(f);
	assert_int_equal(queue_open_intake(f->reader, f->s.dir, true, true), 0);
	assert_int_equal(residents_look(f->reader->residents), 0);
}

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_queue_make(&f->s);
	open_writer(f, SEGMENT);
	said = 0;
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	queue_close(f->writer);
	queue_close(f->reader);
	scratch_queue_remove(&f->s);
	free(f);
	return 0;
}

struct put {
	char id[32];
	struct queue_parts parts;
	struct queue_place place;
};

static inline int put_body(struct fixture *f, struct str body, struct put *ret)
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

static inline struct put put(struct fixture *f, const char *body)
{
	struct put p;

	assert_int_equal(put_body(f, str_of(body), &p), 0);
	return p;
}

static inline bool lies(struct queue *q, enum queue_name where, const char *id)
{
	AUTO(queue_file) file = { .fd = -1 };
	int r = queue_file_open(q, where, str_of(id), false, true, &file);

	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

/* The first half of a move out of the log: the file is there, and not synced. */
static inline void write_move(struct queue *q, const struct put *p, enum queue_name to, struct queue_exit *ret)
{
	assert_int_equal(queue_exit_begin(q, str_of(p->id), to, ret), 0);
	assert_int_equal(queue_exit_write(ret), 0);
}

static inline int files_in(struct fixture *f, const char *directory, const char *prefix)
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

/* "log" or "done": the segment the message lies in, or its ledger. */
static inline int open_in_intake(struct fixture *f, const struct put *p, const char *kind)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "intake/%s-%s", kind, p->place.segment);
	fd = openat(f->s.dir, path, O_RDWR);
	assert_true(fd >= 0);
	return fd;
}

/* the byte there becomes another, whatever it was; once more: as before */
static inline void flip(int fd, off_t at)
{
	char byte;

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static inline void damage(struct fixture *f, const struct put *p, uint64_t at)
{
	AUTO_FD fd = open_in_intake(f, p, "log");

	flip(fd, (off_t) (p->place.at + at));
}

static inline void note_outcome(struct fixture *f, const struct put *p, uint32_t index, enum outcome_status status)
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

static inline void hear(void *arg, const struct journal_record *r)
{
	struct heard *h = arg;

	h->outcomes += r->kind == JOURNAL_OUTCOME;
	h->last = r->outcome.index;
}

static inline struct heard journal_of(struct queue *q, enum queue_name where, const struct put *p)
{
	AUTO(queue_file) file = { .fd = -1 };
	struct heard h = { 0 };

	assert_int_equal(queue_file_open(q, where, str_of(p->id), false, true, &file), 0);
	assert_int_equal(journal_read(&file, hear, &h), 0);
	return h;
}

#define WITH_LOG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
