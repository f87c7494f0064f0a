/* SPDX-License-Identifier: ISC */
/*
 * What goes into a message's journal, and what the disk does not take: it is full, or read-only for
 * a while. That is remembered here, so that nobody gets a message again at each attempt, or is told
 * of it again, as long as this process lives; and it is written as soon as it can be. How much of
 * it there may be is bounded, since it is what comes twice when this process dies.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/log/log.h"
#include "lib/queue/format.h"
#include "qmgr/qmgr.h"

enum {
	MOST_LINES = 64 << 20,		/* bytes, of one message */
	MOST_DEFERRALS = 1 << 20,	/* of these, what is not worth more */
	MOST_MESSAGES = 4000,		/* in which nothing but deferrals is unwritten */
	MOST_UNRECORDED = 100,
	TRY_AGAIN_MS = 2000,
};

struct lines {
	struct buf text;
	bool are_final;			/* some of them: somebody got it, or was told */
};

static void free_lines(void *lines)
{
	buf_free(&((struct lines *) lines)->text);
	free(lines);
}

static bool is_final(const struct journal_record *r)
{
	return r->kind != JOURNAL_OUTCOME
	       || (r->outcome.status != OUTCOME_DEFERRED && r->outcome.status != OUTCOME_PENDING);
}

static struct lines *new_lines(struct qmgr *q, struct str id)
{
	struct lines *lines = get_memory(sizeof(*lines));

	lines->text = BUF(MOST_LINES);
	map_put(q->unwritten, id, lines);
	return lines;
}

static void keep_one(struct message *m, const struct journal_record *record)
{
	struct qmgr *q = m->q;
	struct lines *lines = map_get(q->unwritten, m->id);
	AUTO(buf) line = BUF(MOST_LINES);

	if (!is_final(record) && (lines == NULL ? map_count(q->unwritten) >= MOST_MESSAGES
				  : lines->text.len >= MOST_DEFERRALS))
		return;
	if (lines == NULL)
		lines = new_lines(q, m->id);
	if (journal_record_print(&line, m->id.at, record) >= 0)
		buf_add(&lines->text, buf_str(&line));		/* all of it, or nothing */
	q->unwritten_finals += is_final(record) && !lines->are_final;
	lines->are_final |= is_final(record);
}

static void keep(struct message *m, const struct journal_record *records, size_t n)
{
	for (size_t i = 0; i < n; i++)
		keep_one(m, &records[i]);
	if (n > 0)
		disk_lags(m->q);
}

void unwritten_read(const struct qmgr *q, struct str id,
		    void (*each)(void *arg, const struct journal_record *r), void *arg)
{
	const struct lines *lines = map_get(q->unwritten, id);
	struct str rest = lines == NULL ? STR_NONE : buf_str(&lines->text), line;
	struct journal_record record;

	while (rest.len > 0) {
		str_cut(&rest, '\n', &line);
		if (journal_record_parse(line, id.at, &record) == 0)
			each(arg, &record);
	}
}

void unwritten_free(struct qmgr *q)
{
	map_free(q->unwritten, free_lines);
}

void unwritten_forget(struct qmgr *q, struct str id)
{
	struct lines *lines = map_remove(q->unwritten, id);

	if (lines == NULL)
		return;
	q->unwritten_finals -= lines->are_final;
	free_lines(lines);
}

struct writing {
	struct queue_file *f;
	int result;
};

static void write_one(void *arg, const struct journal_record *record)
{
	struct writing *w = arg;

	if (w->result >= 0)
		w->result = journal_append(w->f, record, 1);
}

/* Twice in the journal does no harm: what failed half-way starts from its beginning. */
static int write_kept(struct qmgr *q, struct str id, struct queue_file *f)
{
	struct writing w = { .f = f };

	unwritten_read(q, id, write_one, &w);
	if (w.result >= 0)
		unwritten_forget(q, id);
	return w.result;
}

int message_record(struct message *m, const struct journal_record *records, size_t n)
{
	AUTO(queue_file) f = { .fd = -1 };
	int r;

	if (n == 0 && map_get(m->q->unwritten, m->id) == NULL)
		return 0;
	r = message_open_file(m, true, &f);
	if (r >= 0)
		r = write_kept(m->q, m->id, &f);
	if (r >= 0 && n > 0)
		r = journal_append(&f, records, n);
	if (r < 0 && r != -ENOENT)
		keep(m, records, n);
	return r;
}

/* False: the disk takes nothing, so the others need not be tried. What is gone needs no record any more. */
static bool flush_one(struct qmgr *q, struct str id)
{
	static const enum queue_name places[] = { QUEUE_DEFERRED, QUEUE_INCOMING, QUEUE_HOLD };
	int r = -ENOENT;

	for (size_t i = 0; i < COUNT_OF(places) && r == -ENOENT; i++) {
		AUTO(queue_file) f = { .fd = -1 };

		r = queue_file_open(q->queue, places[i], id, true, false, &f);
		if (r >= 0 && (r = write_kept(q, str_of(f.id), &f)) < 0)
			return false;
	}
	if (r == -ENOENT)
		unwritten_forget(q, id);
	return true;
}

void unwritten_flush(struct qmgr *q)
{
	struct map_at at = { 0 };

	while (map_next(q->unwritten, &at) && flush_one(q, at.key))
		continue;
}

/* ---- how much of it there may be ---- */

size_t unrecorded(const struct qmgr *q)
{
	/* where one cannot be removed, the others that are about to be will not either */
	return q->unwritten_finals + q->stuck_count + (q->stuck_count > 0
						       ? q->removing : 0) + queue_unwritten(q->queue);
}

static void run_disk_wait(void *arg)
{
	struct qmgr *q = arg;

	while (co_sleep(in(TRY_AGAIN_MS)) >= 0 && (unrecorded(q) > 0 || map_count(q->unwritten) > 0)) {
		unwritten_flush(q);
		queue_flush_ledgers(q->queue);
		remove_stuck(q);
		q->let_through = true;
		dispatch_soon(q);
	}
	q->disk_wait = false;
}

void disk_lags(struct qmgr *q)
{
	if (!q->disk_wait)
		q->disk_wait = scope_start(q->scope, "waiting for the disk", run_disk_wait, q) == 0;
}

bool may_deliver(struct qmgr *q)
{
	const size_t known_here = unrecorded(q);
	const bool was_held_up = q->is_held_up;

	if (known_here > 0)
		disk_lags(q);
	q->is_held_up = known_here >= MOST_UNRECORDED;
	if (q->is_held_up && !was_held_up)
		log_error("what became of %zu messages cannot be written to the queue: deliveries wait until it can",
			  known_here);
	else if (was_held_up && !q->is_held_up)
		log_info("the queue can be written to: deliveries go on");
	return !q->is_held_up || q->let_through;
}
