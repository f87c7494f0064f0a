/* SPDX-License-Identifier: ISC */
/*
 * What lies on disk. At the start all of incoming/ is taken in and deferred/ is walked in the background:
 * only names and times are looked at, and new mail is relayed meanwhile. Later incoming/ is looked through
 * now and then, for a message whose announcement was lost.
 */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/log/log.h"
#include "qmgr/qmgr.h"

enum {
	PAUSE_EVERY = 200,		/* names between two looks at the rest of the world */
	CLOCK_STEP_S = 60,		/* less is not worth looking at all that sleeps */
};

struct walk {
	struct qmgr *q;
	enum queue_name where;
	int64_t older_than_s;
	int seen, found;
};

/*
 * Nothing waits longer: what says so is from before our clock was set back. In incoming/ it may be
 * the file system's clock that is ahead.
 */
static int64_t latest_us(const struct qmgr *q, enum queue_name where)
{
	return wall_us() + (where == QUEUE_DEFERRED ? longest_wait_s(q->conf) * 1000000 : 0);
}

static void wake_by_new_clock(void *arg, struct sleeper *sl)
{
	struct qmgr *q = arg;

	sleepers_set_due(q->sleepers, sl, MIN(sl->due.key, latest_us(q, (enum queue_name) sl->where)));
}

void scan_after_clock_step(struct qmgr *q)
{
	const int64_t ahead_us = wall_us() - mono_ms() * 1000;

	if (ahead_us < q->clock_ahead_us - CLOCK_STEP_S * INT64_C(1000000)) {
		log_info("the clock was set back: what waits for its time is looked at again");
		sleepers_each(q->sleepers, wake_by_new_clock, q);
	}
	q->clock_ahead_us = ahead_us;
	intake_wake(q);
}

static int take_name(void *arg, struct str id, int64_t mtime_s)
{
	struct walk *w = arg;
	struct qmgr *q = w->q;

	if (++w->seen % PAUSE_EVERY == 0) {
		intake_wake(q);
		co_pass();
	}
	if (q->leaving || co_is_cancelled())
		return -ECANCELED;
	if (mtime_s >= w->older_than_s || is_known(q, id))
		return 0;
	sleepers_add(q->sleepers, w->where, id, MIN(mtime_s * 1000000, latest_us(q, w->where)),
		     (uint32_t) ALL_SITES);
	w->found++;
	return 0;
}

static int walk(struct qmgr *q, enum queue_name where, int64_t older_than_s)
{
	struct walk w = { .q = q, .where = where, .older_than_s = older_than_s };
	int r = queue_scan(q->queue, where, take_name, &w);

	if (r < 0 && r != -ECANCELED) {
		log_warning("cannot read all of %s: %s", queue_name_text(where), error_text(r));
		q->missed_some |= where == QUEUE_INCOMING;
	}
	intake_wake(q);
	return w.found;
}

/*
 * Also what seems to be younger than this process, whatever clock says so: a message that is found
 * here and announced besides is known by then, and one that is not whole yet will be announced.
 */
void scan_at_start(struct qmgr *q)
{
	walk(q, QUEUE_INCOMING, INT64_MAX);
}

void scan_incoming(struct qmgr *q, int64_t older_than_s)
{
	int found = walk(q, QUEUE_INCOMING, older_than_s);

	if (found > 0)
		log_debug("%d messages in incoming had not been announced", found);
}

static void run_deferred_walk(void *arg)
{
	walk(arg, QUEUE_DEFERRED, INT64_MAX);
}

void scan_deferred_in_background(struct qmgr *q)
{
	if (scope_start(q->scope, "deferred walk", run_deferred_walk, q) < 0)
		walk(q, QUEUE_DEFERRED, INT64_MAX);
}

/* ---- files that are no messages ---- */

static void put_aside(struct qmgr *q, enum queue_name where, struct str id, int error)
{
	int r = queue_move(q->queue, where, QUEUE_CORRUPT, id);

	if (r < 0)
		log_mail(ROAD_ERROR, id, "damaged file in %s (%s) cannot be moved to corrupt: %s",
			 queue_name_text(where), error_text(error), error_text(r));
	else
		log_mail(ROAD_ERROR, id, "damaged file in %s (%s): moved to corrupt", queue_name_text(where),
			 error_text(error));
}

/*
 * Half a message of a process that was killed, or of one that is writing it right now. What was
 * deferred has been whole before: a person may want to know why it is not any more.
 */
static void sweep_debris(struct qmgr *q, enum queue_name where, struct str id)
{
	int64_t made_us, written_s;

	if (queue_id_time(id, &made_us) < 0)
		return;
	/* a client may take hours over a large message */
	if (wall_us() - made_us < (int64_t) QUEUE_DEBRIS_AGE_S * 1000000
	    || queue_last_written(q->queue, where, id, &written_s) < 0
	    || wall_s() - written_s < QUEUE_DEBRIS_AGE_S) {
		if (where == QUEUE_DEFERRED)	/* which is not looked through again */
			sleepers_add(q->sleepers, where, id,
				     wall_us() + QUEUE_DEBRIS_AGE_S * INT64_C(1000000) / 10,
					     (uint32_t) ALL_SITES);
		return;
	}
	if (where != QUEUE_INCOMING) {
		put_aside(q, where, id, -ENODATA);
		return;
	}
	log_mail(ROAD_INFO, id, "removing an unfinished file in %s: it was never accepted",
		 queue_name_text(where));
	queue_finish(q->queue, where, id);
}

/*
 * Removed; or a predecessor that finished its deliveries has moved it to where we have looked already,
 * or out of the intake log.
 */
static void look_elsewhere(struct qmgr *q, struct str id)
{
	static const enum queue_name places[] = { QUEUE_INCOMING, QUEUE_DEFERRED };

	for (size_t i = 0; i < COUNT_OF(places); i++) {
		AUTO(queue_file) f = { .fd = -1 };

		if (queue_file_open(q->queue, places[i], id, false, false, &f) < 0)
			continue;
		sleepers_add(q->sleepers, places[i], id, MIN(f.mtime_s * 1000000, latest_us(q, places[i])),
			     (uint32_t) ALL_SITES);
		return;
	}
}

/* Linked twice: what a power cut made of a rename. When one name is left, it is a message like any other. */
static void mend(struct qmgr *q, enum queue_name where, struct str id)
{
	int r = queue_mend(q->queue, where, id);

	if (r >= 0)
		sleepers_add(q->sleepers, where, id, wall_us(), (uint32_t) ALL_SITES);
	else if (r != -ENOENT)
		log_mail(ROAD_WARNING, id, "left alone in %s: the file has another name elsewhere",
			 queue_name_text(where));
}

void scan_troubled(struct qmgr *q, enum queue_name where, struct str id, int error)
{
	switch (error) {
	case -ENOENT:
		look_elsewhere(q, id);
		return;
	case -ENODATA:
		sweep_debris(q, where, id);
		return;
	case -EMLINK:
		mend(q, where, id);
		return;
	case -EBADMSG:
		put_aside(q, where, id, error);
		return;
	case -ENOTSUP:
		log_mail(ROAD_WARNING, id, "left alone in %s: written by Postfix, or by a newer version",
			 queue_name_text(where));
		return;
	case -EBADF:
	case -ELOOP:
		log_mail(ROAD_WARNING, id, "left alone in %s: not a regular file", queue_name_text(where));
		return;
	default:
		log_mail(ROAD_WARNING, id, "cannot be read from %s: %s; will try again",
			 queue_name_text(where), error_text(error));
		sleepers_add(q->sleepers, where, id, wall_us() + q->conf->minimal_backoff_time * 1000,
			     (uint32_t) ALL_SITES);
	}
}
