/* SPDX-License-Identifier: ISC */
/*
 * The end of an attempt: everybody has an outcome. Whoever must be told is told, and then the message is
 * removed, or sleeps until the next attempt. A notice that cannot be made now keeps the message: nothing is
 * removed before its sender knows.
 */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/log/log.h"
#include "lib/mail/mail_address.h"
#include "lib/queue/orders.h"
#include "qmgr/qmgr.h"

int64_t next_attempt_s(const struct qmgr_conf *conf, int64_t arrival_us, int64_t now_us)
{
	int64_t age_ms = (now_us - arrival_us) / 1000;

	return now_us / 1000000 + MIN(MAX(age_ms, conf->minimal_backoff_time) / 1000, longest_wait_s(conf));
}

int64_t longest_wait_s(const struct qmgr_conf *conf)
{
	return MAX(conf->maximal_backoff_time, conf->minimal_backoff_time) / 1000;
}

void forget(struct message *m)
{
	struct qmgr *q = m->q;

	map_remove(q->active, m->id);
	q->active_recipients -= is_crowd(q, m->env.recipient_count) ? m->env.recipient_count : 0;
	q->active_retries -= m->is_retry;
	message_free(m);
	intake_wake(q);
}

/* ---- where the file goes ---- */

void defer_in_place(struct message *m, enum queue_name where)
{
	struct qmgr *q = m->q;
	int64_t due = m->flushed ? wall_s() : next_attempt_s(q->conf, m->env.arrival_us, wall_us());
	int r = where == QUEUE_DEFERRED ? queue_set_next_attempt(q->queue, where, m->id, due) : 0;

	m->where = where;
	if (r != -ENOENT)
		sleepers_add(q->sleepers, where, m->id, due * 1000000, message_sites(m))->insist = m->flushed;
	forget(m);
}

/* If it cannot be moved (a full disk), it sleeps where it is. */
static void defer_message(struct message *m)
{
	int r = 0;

	if (queue_is_in_log(m->q->queue, m->where, m->id)) {
		move_out_of_log(m, QUEUE_DEFERRED);
		return;
	}
	if (m->where != QUEUE_DEFERRED)
		r = queue_move(m->q->queue, m->where, QUEUE_DEFERRED, m->id);
	FAILPOINT("qmgr.deferred.moved");
	if (r == -ENOENT) {
		forget(m);
		return;
	}
	if (r < 0)
		log_mail(ROAD_ERROR, m->id, "cannot be moved to deferred: %s", error_text(r));
	defer_in_place(m, r < 0 ? m->where : QUEUE_DEFERRED);
}

static void move_away(struct message *m, enum queue_name to)
{
	int r;

	if (queue_is_in_log(m->q->queue, m->where, m->id)) {
		move_out_of_log(m, to);
		return;
	}
	r = queue_move(m->q->queue, m->where, to, m->id);

	if (r < 0 && r != -ENOENT) {
		log_mail(ROAD_ERROR, m->id, "cannot be moved to %s: %s", queue_name_text(to), error_text(r));
		m->fate = STAYS;
		defer_message(m);
		return;
	}
	forget(m);
}

static void hand_in_again(void *arg)
{
	struct message *m = arg;
	struct qmgr *q = m->q;
	int r;

	r = queue_requeue(q->queue, m->where, m->id);
	put_down(q, m->id);
	m->to_do = 0;
	if (r < 0 && r != -ENOENT) {
		log_mail(ROAD_ERROR, m->id, "cannot be requeued: %s", error_text(r));
		m->fate = STAYS;
		defer_message(m);
	} else {
		forget(m);
	}
	end_of_work(q);
}

/*
 * In a coroutine of its own, because copying waits for the disk. to_do keeps others from concluding it
 * meanwhile; and an order that comes now waits: it would be recorded where nobody looks any more.
 */
static void start_handing_in(struct message *m)
{
	m->to_do = 1;
	m->q->under_way++;
	take_in_hand(m->q, m->id);
	if (scope_start(m->q->scope, "requeue", hand_in_again, m) < 0) {
		put_down(m->q, m->id);
		m->to_do = 0;
		m->fate = STAYS;
		defer_message(m);
		end_of_work(m->q);
	}
}

bool is_unfinished(const struct message *m)
{
	if (has_notes(&m->failures) || has_notes(&m->successes))
		return true;		/* somebody is still to be told */
	if (is_only_verified(m))
		return false;
	for (uint32_t i = 0; i < m->env.recipient_count; i++)
		if (recipient_is_open(m, i))
			return true;
	return false;
}

/* All that one notification had room for has been told, and there are others: that need not wait. */
static bool has_more_to_tell(const struct message *m)
{
	const bool is_cut = m->failures.is_cut || m->successes.is_cut
			    || (m->deferrals.is_cut && is_returned_untried(m));

	return is_cut && m->failures.count == 0 && m->successes.count == 0;
}

void end_attempt(struct message *m)
{
	switch (m->fate) {
	case GONE:
		forget(m);
		return;
	case HELD:
		if (!is_unfinished(m))
			break;		/* the hold came too late: it is delivered */
		move_away(m, QUEUE_HOLD);
		return;
	case REQUEUED:
		if (!is_unfinished(m))
			break;		/* likewise */
		start_handing_in(m);
		return;
	case STAYS:
		break;
	}
	m->flushed |= has_more_to_tell(m);
	if (is_unfinished(m))
		defer_message(m);
	else
		remove_message(m);
}

/* ---- notices ---- */

/* The journal remembers what is over and who was told, in case the message stays for others. */
static void record(struct message *m, const struct journal_record *records, size_t n)
{
	int r = message_record(m, records, n);

	if (r < 0 && r != -ENOENT)
		log_mail(ROAD_ERROR, m->id, "cannot record who was told: %s", error_text(r));
}

/* Too old: what would be tried again is returned instead. */
static void expire(struct message *m)
{
	struct str rest = buf_str(&m->deferrals.packed);
	AUTO(buf) sender = BUF(4096);
	struct journal_record *records = get_memory(MAX(m->deferrals.count, 1u) * sizeof(*records));
	struct outcome o;
	size_t n = 0;

	address_quote_822(&sender, m->env.sender);
	log_mail(ROAD_INFO, m->id, "from=<%s>, status=%s, returned to sender", buf_text(&sender),
		 m->force_expire ? "force-expired" : "expired");
	while (n < m->deferrals.count && outcome_unpack(&rest, &o) > 0) {
		int at = message_position(m, o.index);

		if (at >= 0)
			m->states[at].status = OUTCOME_BOUNCED;
		o.status = OUTCOME_BOUNCED;
		note_outcome(m, &m->failures, &o);
		records[n++] = (struct journal_record){ .kind = JOURNAL_OUTCOME, .outcome = o };
	}
	record(m, records, n);
	free(records);
	forget_notes(&m->deferrals);
}

static void tell(struct message *m, const char *kind, struct notes *notes)
{
	struct journal_record *records;
	struct str rest = buf_str(&notes->packed);
	struct outcome o;
	size_t n = 0;

	if (notes->count == 0 || notify(m, kind, notes, 0) < 0)
		return;
	FAILPOINT("qmgr.told");
	records = get_memory(notes->count * sizeof(*records));
	while (n < notes->count && outcome_unpack(&rest, &o) > 0) {
		int at = message_position(m, o.index);

		if (at >= 0)
			m->states[at].told = true;
		records[n++] = (struct journal_record){ .kind = JOURNAL_TOLD,
							.outcome = { .index = o.index } };
	}
	forget_notes(notes);
	if (is_unfinished(m))
		record(m, records, n);
	FAILPOINT("qmgr.told.recorded");
	free(records);
}

/* With VERP each failure goes to another address. What cannot be told now stays. */
static void tell_each(struct message *m, const char *kind, struct notes *notes)
{
	struct notes all = *notes, one = { .packed = BUF(FRAME_LIMIT / 2) };
	struct str rest = buf_str(&all.packed);
	struct outcome o;

	*notes = (struct notes){ .packed = BUF(all.packed.limit), .is_cut = all.is_cut };
	while (outcome_unpack(&rest, &o) > 0) {
		note_outcome(m, &one, &o);
		tell(m, kind, &one);
		if (one.count > 0)
			note_outcome(m, notes, &o);
		forget_notes(&one);
	}
	buf_free(&one.packed);
	buf_free(&all.packed);
}

static bool is_warning_due(const struct message *m)
{
	int64_t after_ms = m->q->conf->delay_warning_time;

	return m->deferrals.count > 0 && after_ms > 0 && !m->delay_warned && m->env.sender.len > 0
	       && wall_us() - m->env.arrival_us >= after_ms * 1000;
}

static void warn_of_delay(struct message *m)
{
	int64_t until_s = m->env.arrival_us / 1000000 + m->q->conf->maximal_queue_lifetime / 1000;

	if (notify(m, "delay", &m->deferrals, until_s) < 0)
		return;
	m->delay_warned = true;
	record(m, &(struct journal_record){ .kind = JOURNAL_DELAY_WARNED }, 1);
}

static void run_conclusion(void *arg)
{
	struct message *m = arg;
	struct qmgr *q = m->q;

	co_describe("%.*s", PSTR(m->id));
	if (is_returned_by_verp(m))
		tell_each(m, "failure", &m->failures);
	else
		tell(m, "failure", &m->failures);
	tell(m, is_only_verified(m) ? "trace" : "success", &m->successes);
	if (is_warning_due(m))
		warn_of_delay(m);
	m->to_do = 0;
	end_attempt(m);
	end_of_work(q);
}

/* Since the hand-over it is our successor who takes orders, and it has none but us to carry them out. */
static void heed_late_orders(struct message *m)
{
	enum journal_kind order;

	if (m->fate == GONE || queue_standing_order(m->q->queue, m->where, m->id, &order) <= 0)
		return;
	m->fate = order == JOURNAL_HELD ? HELD : order == JOURNAL_REQUEUED ? REQUEUED : STAYS;
}

void conclude(struct message *m)
{
	struct qmgr *q = m->q;

	if (m->lock.fd_plus_1 > 0)
		heed_late_orders(m);
	if (m->fate == STAYS && m->deferrals.count > 0 && message_is_old(m, wall_us()))
		expire(m);
	if (m->fate == GONE || m->fate == HELD || (!has_notes(&m->failures) && !has_notes(&m->successes)
						   && !is_warning_due(m))) {
		end_attempt(m);
		return;
	}
	m->to_do = 1;			/* so that nobody concludes it a second time meanwhile */
	q->under_way++;
	if (scope_start(q->scope, "conclude", run_conclusion, m) < 0) {
		m->to_do = 0;
		end_attempt(m);
		end_of_work(q);
	}
}
