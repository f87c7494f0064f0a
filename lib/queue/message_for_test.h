/* SPDX-License-Identifier: ISC */
/*
 * For this room's tests: a queue on a scratch directory for each case, messages of two recipients
 * in it, and what a journal says.
 */
#ifndef ROAD_QUEUE_MESSAGE_FOR_TEST_H
#define ROAD_QUEUE_MESSAGE_FOR_TEST_H

#include "lib/queue/scratch_for_test.h"

struct fixture {
	struct scratch s;
	struct queue *q;
	char id[32];
};

/* How many complaints about what lies in the queue there were. */
static int said;

static inline void count_words(const char *words)
{
	(void) words;
	said++;
}

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_queue_make(&f->s);
	f->q = scratch_queue_open(&f->s);
	queue_set_say(f->q, count_words);
	said = 0;
	queue_id_new(f->id);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	queue_close(f->q);
	scratch_queue_remove(&f->s);
	free(f);
	return 0;
}

static const char headers[] = "Subject: test\nX-Folded: a\n b\n";

/* Writes a message of body_len bytes in pieces of odd size. */
static inline int write_message(struct fixture *f, enum queue_name where, const char *id, size_t body_len,
				struct queue_parts *ret)
{
	struct recipient to[] = { { .index = 0, .address = STR("bob@example.net") },
				  { .index = 1, .address = STR("carol@example.net") } };
	struct envelope e = { .sender = STR("alice@example.org"), .arrival_us = 1700000000000001,
			      .recipient_count = 2,
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

static inline bool exists(struct fixture *f, const char *where, const char *name)
{
	char path[300];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s/%s", f->s.path, where, name);
	return lstat(path, &st) == 0;
}

/* What a journal holds: see() is told of each record. */
struct seen {
	int count;
	uint32_t last_index;
	enum journal_kind last_kind;
	char text[200];
};

static inline void see(void *arg, const struct journal_record *r)
{
	struct seen *s = arg;

	s->count++;
	s->last_index = r->outcome.index;
	s->last_kind = r->kind;
	snprintf(s->text, sizeof(s->text), "%.*s", PSTR(r->outcome.text));
}

static inline struct journal_record outcome_of(uint32_t index, const char *text)
{
	return (struct journal_record){ .kind = JOURNAL_OUTCOME,
					.outcome = { .index = index, .status = OUTCOME_DEFERRED,
						     .dsn = STR("4.0.0"),
						     .text = str_of(text), .at_us = 5 } };
}

#define QUEUE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
