/* SPDX-License-Identifier: ISC */
/* See orders.h. */
#include "lib/queue/orders.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/disk/disk.h"
#include "lib/queue/residents.h"

/* ---- that wait ---- */

int queue_order(struct queue_file *f, enum journal_kind kind)
{
	const struct journal_record record = { .kind = kind };
	int r;

	if (f->resident == NULL)
		return journal_append(f, &record, 1);
	r = resident_order(f->resident, &record);
	/* a predecessor that said "done" before does not read it any more */
	return r == 0 && residents_refresh(f->resident) == -ENOENT ? -ENOENT : r;
}

struct standing {
	enum journal_kind kind;
	bool is_there;
};

static void see_order(void *arg, const struct journal_record *r)
{
	if (r->kind == JOURNAL_HELD || r->kind == JOURNAL_REQUEUED || r->kind == JOURNAL_RELEASED)
		*(struct standing *) arg = (struct standing){ r->kind, true };
}

int queue_standing_order(struct queue *q, enum queue_name where, struct str id, enum journal_kind *ret)
{
	AUTO(queue_file) f = { .fd = -1 };
	struct standing stands = { .is_there = false };
	int r = queue_file_open(q, where, id, false, false, &f);

	if (r == 0)
		r = queue_file_is_current(q, &f);
	if (r == 0)
		r = journal_read(&f, see_order, &stands);
	*ret = stands.kind;
	return r < 0 ? r : stands.is_there;
}

/* ---- release ---- */

/* 1: one to hold it stood. On a full disk what nobody had to wait for is released without a record, as it was held. */
static int take_order_back(struct queue *q, enum queue_name where, struct str id)
{
	AUTO(queue_file) f = { .fd = -1 };
	struct standing stands = { JOURNAL_RELEASED, true };
	int r = queue_file_open(q, where, id, true, false, &f);

	/* a predecessor may have moved it: nobody reads an order that is noted here then */
	if (r >= 0)
		r = queue_file_is_current(q, &f);
	if (r >= 0)
		r = journal_read(&f, see_order, &stands);
	/* what is to be handed in again and is not in hold/ is not held: that is no order to hold it */
	if (r < 0 || stands.kind == JOURNAL_RELEASED || (where != QUEUE_HOLD && stands.kind != JOURNAL_HELD))
		return MIN(r, 0);
	r = queue_order(&f, JOURNAL_RELEASED);
	return r < 0 ? r : 1;
}

/* Who is still being delivered is held later, or not at all: nobody has it in memory who could be told. */
static int take_waiting_order_back(struct queue *q, struct str id)
{
	static const enum queue_name places[] = { QUEUE_INCOMING, QUEUE_DEFERRED };
	int r = -ENOENT;

	for (size_t i = 0; i < COUNT_OF(places) && r == -ENOENT; i++)
		r = take_order_back(q, places[i], id);
	return r == 0 ? -ENOENT : r;
}

int queue_release(struct queue *q, struct str id)
{
	int r = take_order_back(q, QUEUE_HOLD, id);

	if (r == -ENOENT)
		return take_waiting_order_back(q, id);
	if (r >= 0)
		r = queue_move(q, QUEUE_HOLD, QUEUE_DEFERRED, id);
	if (r >= 0)
		queue_set_next_attempt(q, QUEUE_DEFERRED, id, wall_s());
	return MIN(r, 0);
}

/* ---- requeue ---- */

enum { MOST_MEMORY = 512 << 20, PIECE = 64 << 10 };

struct replay {
	struct envelope e;
	bool *is_left_out;		/* a recipient each */
	bool is_through;		/* it only waits for its removal */
};

static void leave_out(struct replay *p, uint32_t index)
{
	int at = envelope_position(&p->e, index);

	if (at >= 0)
		p->is_left_out[at] = true;
}

/* Who could not get it is left out only when the sender knows. */
static void replay_record(void *arg, const struct journal_record *r)
{
	struct replay *p = arg;

	if (r->kind == JOURNAL_DONE)
		p->is_through = true;
	else if (r->kind == JOURNAL_TOLD)
		leave_out(p, r->outcome.index);
	else if (r->kind == JOURNAL_OUTCOME && r->outcome.status != OUTCOME_DEFERRED
		 && r->outcome.status != OUTCOME_PENDING && r->outcome.status != OUTCOME_BOUNCED)
		leave_out(p, r->outcome.index);
}

static int copy_body(struct queue_file *f, struct queue_writer *w)
{
	AUTO_PTR char *piece = get_memory(PIECE);
	uint64_t done = 0;

	while (done < f->parts.body_len) {
		ssize_t n = queue_file_read(f, f->parts.body_at + done, piece,
					    (size_t) MIN(f->parts.body_len - done, (uint64_t) PIECE));
		int r = n < 0 ? (int) n : n == 0 ? -EIO : queue_write_body(w, str_make(piece, (size_t) n));

		if (r < 0)
			return r;
		done += (uint64_t) n;
	}
	return 0;
}

/*
 * Nobody else makes a file of that name there: it is the copy of a process that died. 1: whole, and durable
 * now; 0: there is none, or it was half of one and is gone; -errno.
 */
static int take_over_copy(struct queue *q, struct str id)
{
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_open(q, QUEUE_MAILDROP, id, false, true, &f);

	if (r == -ENODATA || r == -EBADMSG)
		return queue_finish(q, QUEUE_MAILDROP, id);
	if (r == 0 && fsync(f.fd) < 0)
		return -errno;
	return r == 0 ? 1 : r == -ENOENT ? 0 : r;
}

static int write_copy(struct queue *q, struct queue_file *f, const struct envelope *e, struct arena *a)
{
	AUTO(buf) packed = BUF((size_t) 16 << 20);
	char *headers = arena_get(a, f->parts.headers_len + 1);
	ssize_t n = queue_file_read(f, f->parts.headers_at, headers, f->parts.headers_len);
	struct queue_writer *w;
	struct queue_parts parts;
	int r = n < 0 ? (int) n : (uint64_t) n != f->parts.headers_len ? -EIO : envelope_pack(e, &packed);

	if (r >= 0)
		r = take_over_copy(q, str_of(f->id));
	if (r == 1)
		return 0;
	if (r >= 0)
		r = queue_create(q, QUEUE_MAILDROP, str_of(f->id), &w);
	if (r < 0)
		return r;
	if (f->parts.size == f->parts.headers_len)
		queue_no_empty_line(w);
	r = copy_body(f, w);
	if (r >= 0)
		r = queue_commit(w, e, buf_str(&packed), str_make(headers, f->parts.headers_len),
				 &parts, NULL);
	queue_writer_free(w);
	return r;
}

static int requeue_file(struct queue *q, struct queue_file *f, struct arena *a)
{
	struct replay p = { 0 };
	uint32_t kept = 0;
	int r = queue_file_envelope(f, a, &p.e);

	if (r < 0)
		return r;
	p.is_left_out = arena_get(a, p.e.recipient_count + 1);
	r = journal_read(f, replay_record, &p);
	if (r < 0)
		return r;
	for (size_t i = 0; i < p.e.recipient_count; i++)
		if (!p.is_through && !p.is_left_out[i]) {
			p.e.recipients[kept] = p.e.recipients[i];
			p.e.recipients[kept].index = kept;
			kept++;
		}
	p.e.recipient_count = kept;
	return kept == 0 ? 0 : write_copy(q, f, &p.e, a);
}

/*
 * Where the original cannot be removed it is the one that stays: else both would be delivered. Not
 * when it is gone after all, whatever the unlink said.
 */
static void take_copy_back(struct queue *q, const struct queue_file *original)
{
	struct stat st;

	if (fstat(original->fd, &st) == 0 && st.st_nlink > 0)
		queue_finish(q, QUEUE_MAILDROP, str_of(original->id));
}

int queue_requeue(struct queue *q, enum queue_name where, struct str id)
{
	AUTO(queue_file) f = { .fd = -1 };
	struct arena *a;
	int r = queue_file_open(q, where, id, false, false, &f);

	/* a predecessor may have delivered it since we read the ledger */
	if (r == 0)
		r = queue_file_is_current(q, &f);
	if (r < 0)
		return r;
	a = arena_new("requeued message", NULL, MOST_MEMORY);
	r = requeue_file(q, &f, a);
	arena_free(a);
	FAILPOINT("queue.requeue.copied");
	if (r < 0)
		return r;
	r = queue_finish(q, where, id);
	if (r < 0 && r != -ENOENT)
		take_copy_back(q, &f);
	return r;
}
