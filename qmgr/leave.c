/* SPDX-License-Identifier: ISC */
/*
 * What leaves the queue, or the intake log. An unlink waits for the file system's journal whenever
 * somebody syncs (measured: 0.6 ms each at 20 sessions), a file of its own needs a sync, and the
 * scheduler must not wait: so both are done in batches on a pool thread. While one batch is under
 * way the next gathers. A message stays in q->active until that is done, so that no scan takes it
 * for a new one.
 *
 * A message in the intake log needs neither to be removed: its ledger says that it is done.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/log/log.h"
#include "qmgr/qmgr.h"

enum { MOST_AT_ONCE = 200, BUSY_MS = 20 };

struct departure {
	struct message *m;
	int result;
	struct queue_exit exit;		/* unless it is removed */
};

struct batch {
	struct queue *queue;
	size_t count;
	struct departure at[MOST_AT_ONCE];
};

/*
 * On a pool thread: the loop does not touch the messages meanwhile. Files are written before the
 * first is synced, which carries the others along.
 */
static int carry_out(void *arg)
{
	struct batch *b = arg;

	for (size_t i = 0; i < b->count; i++) {
		struct departure *d = &b->at[i];

		if (d->m->leaves == TO_BE_REMOVED)
			d->result = queue_finish(b->queue, d->m->where, d->m->id);
		else if (d->result == 0)
			d->result = queue_exit_write(&d->exit);
	}
	for (size_t i = 0; i < b->count; i++)
		if (b->at[i].m->leaves != TO_BE_REMOVED && b->at[i].result == 0)
			b->at[i].result = queue_exit_sync(&b->at[i].exit);
	FAILPOINT("qmgr.removed");
	return 0;
}

/* It is through: as long as we know that, it must not be taken for one that is still to be delivered. */
static void stay_stuck(struct message *m, int result)
{
	struct qmgr *q = m->q;

	if (!m->is_stuck)
		log_mail(ROAD_ERROR, m->id, "cannot be removed from %s: %s; will try again",
			 queue_name_text(m->where), error_text(result));
	q->stuck_count += !m->is_stuck;
	m->is_stuck = true;
	m->to_do = 1;
	list_append(&q->stuck, &m->link);
	disk_lags(q);
}

static void removed(struct message *m, int result)
{
	if (result < 0 && result != -ENOENT) {
		stay_stuck(m, result);
		return;
	}
	log_mail(ROAD_INFO, m->id, "removed");
	m->q->stuck_count -= m->is_stuck;
	unwritten_forget(m->q, m->id);
	forget(m);
}

static enum queue_name target(const struct message *m)
{
	return m->leaves == TO_HOLD ? QUEUE_HOLD : QUEUE_DEFERRED;
}

/*
 * Its lock was in the log, and the successor may have found the file already: both would hand it in again.
 * Its journal has the order.
 */
static bool is_for_successor(const struct message *m)
{
	return m->q->leaving && m->fate == REQUEUED;
}

static void moved(struct departure *d)
{
	struct message *m = d->m;
	enum queue_name to = target(m);
	int r = d->result == 0 || d->exit.q != NULL ? queue_exit_end(&d->exit, d->result) : d->result;

	if (r < 0 && r != -ENOENT) {
		log_mail(ROAD_ERROR, m->id, "cannot be moved to %s: %s", queue_name_text(to), error_text(r));
		m->fate = STAYS;
		defer_in_place(m, m->where);
	} else if (r == -ENOENT || (to == QUEUE_HOLD && m->fate == HELD) || is_for_successor(m)) {
		forget(m);
	} else {
		m->where = to;
		end_attempt(m);		/* somebody may have held, released or requeued it meanwhile */
	}
}

static bool is_fresh_removal(const struct message *m)
{
	return m->leaves == TO_BE_REMOVED && !m->is_stuck;
}

static void end_departure(struct departure *d)
{
	struct qmgr *q = d->m->q;

	d->m->to_do = 0;
	list_remove(&d->m->link);
	q->removing -= is_fresh_removal(d->m);
	if (d->m->leaves == TO_BE_REMOVED)
		removed(d->m, d->result);
	else
		moved(d);
	end_of_work(q);
}

/* Who is being moved already, for its segment's sake, waits for the end of that. */
static void take_batch(struct qmgr *q, struct batch *b)
{
	b->count = 0;
	LIST_EACH(m, &q->leaving_messages, struct message, link) {
		struct departure *d = &b->at[b->count];

		if (b->count == MOST_AT_ONCE)
			break;
		*d = (struct departure){ .m = m };
		if (m->leaves != TO_BE_REMOVED)
			d->result = queue_exit_begin(q->queue, m->id, target(m), &d->exit);
		if (d->result == -EBUSY)
			continue;
		list_remove(&m->link);
		list_append(&q->departing, &m->link);
		b->count++;
	}
}

/* The process ends: all of it is on disk, where it was. */
static void abandon_batch(struct batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		if (b->at[i].exit.q != NULL)
			queue_exit_end(&b->at[i].exit, -ECANCELED);
}

static void run_leaver(void *arg)
{
	struct qmgr *q = arg;
	struct batch *b = get_memory(sizeof(*b));

	b->queue = q->queue;
	while (!list_is_empty(&q->leaving_messages)) {
		take_batch(q, b);
		if ((b->count == 0 && co_sleep(in(BUSY_MS)) < 0) || co_offload(carry_out, b) < 0) {
			abandon_batch(b);
			break;
		}
		for (size_t i = 0; i < b->count; i++)
			end_departure(&b->at[i]);
	}
	free(b);
	q->leaver_runs = false;
}

static void leave(struct message *m)
{
	struct qmgr *q = m->q;

	m->to_do = 1;			/* so that nobody concludes it a second time meanwhile */
	q->under_way++;
	q->removing += is_fresh_removal(m);
	list_append(&q->leaving_messages, &m->link);
	if (q->leaver_runs)
		return;
	q->leaver_runs = true;
	if (scope_start(q->scope, "leaver", run_leaver, q) < 0)
		run_leaver(q);
}

void remove_stuck(struct qmgr *q)
{
	struct message *last = LIST_ENTRY(q->stuck.prev, struct message, link), *m = NULL;

	while (m != last && !list_is_empty(&q->stuck)) {	/* not those that come back at once */
		m = LIST_FIRST(&q->stuck, struct message, link);
		list_remove(&m->link);
		leave(m);
	}
}

void remove_message(struct message *m)
{
	if (queue_is_in_log(m->q->queue, m->where, m->id)) {
		removed(m, queue_finish(m->q->queue, m->where, m->id));
		return;
	}
	/*
	 * Else who is killed before its turn comes would deliver it again. A disk that cannot take it says
	 * so when it is removed.
	 */
	queue_mark_done(m->q->queue, m->where, m->id);
	m->leaves = TO_BE_REMOVED;
	leave(m);
}

void move_out_of_log(struct message *m, enum queue_name to)
{
	m->leaves = to == QUEUE_HOLD ? TO_HOLD : TO_DEFERRED;
	leave(m);
}
