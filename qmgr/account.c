/* SPDX-License-Identifier: ISC */
/*
 * What became of the recipients. The journal is written as soon as a delivery is through and the message
 * stays on disk for any reason; when the last recipients are delivered and nobody has to be told, removing
 * the file says it all.
 */
#include <errno.h>

#include "lib/agent/delays.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/log/log.h"
#include "lib/mail/mail_address.h"
#include "qmgr/qmgr.h"

enum { DELAY_DIGITS = 2 };

/* ---- the journal ---- */

static bool is_worth_recording(struct message *m, const struct outcome *o)
{
	int at = message_position(m, o->index);
	uint32_t reason = o->status == OUTCOME_DEFERRED ? crc32c(0, o->text.at, o->text.len) : 0;

	if (at < 0 || (o->status == OUTCOME_DEFERRED && m->states[at].reason == reason))
		return false;
	m->states[at].reason = reason;
	return true;
}

static void write_journal(struct message *m, const struct outcome *outcomes, size_t n)
{
	struct journal_record *records = get_memory(MAX(n, (size_t) 1) * sizeof(*records));
	size_t count = 0;
	int r;

	for (size_t i = 0; i < n; i++)
		if (is_worth_recording(m, &outcomes[i]))
			records[count++] = (struct journal_record){ .kind = JOURNAL_OUTCOME,
								    .outcome = outcomes[i] };
	r = message_record(m, records, count);
	if (r == -ENOENT)
		m->fate = GONE;
	else if (r < 0)		/* the message stays: after a crash somebody may get it twice */
		log_mail(ROAD_ERROR, m->id, "cannot record what was delivered: %s", error_text(r));
	free(records);
}

/* Will nothing but the removal of the file follow? Then the file need not be written to. */
static bool is_all_done(const struct message *m)
{
	return m->to_do == 1 && m->fate == STAYS && !is_unfinished(m);
}

/* ---- outcomes ---- */

static void apply(struct message *m, const struct outcome *o)
{
	int at = message_position(m, o->index);

	if (at < 0 || !recipient_is_open(m, (uint32_t) at)) {
		log_mail(ROAD_ERROR, m->id, "an agent reports on recipient %u, whom it was not given",
			 o->index);
		return;
	}
	m->states[at].status = (unsigned char) o->status;
	if (is_only_verified(m))
		note_outcome(m, &m->successes, o);		/* whatever it is, the sender hears it */
	else if (o->status == OUTCOME_DEFERRED)
		note_outcome(m, &m->deferrals, o);
	else if (o->status == OUTCOME_BOUNCED)
		note_outcome(m, &m->failures, o);
	else if (wants_success_notice(&m->env.recipients[at], o->status))
		note_outcome(m, &m->successes, o);
}

static void settle(struct message *m, const struct outcome *outcomes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		apply(m, &outcomes[i]);
	if (m->fate != GONE && !is_all_done(m))
		write_journal(m, outcomes, n);
}

/* One outcome for each of the entry's recipients, whatever the agent said. Returns how many it left out. */
static size_t collect(const struct message *m, const struct entry *e, struct str packed, struct outcome *ret)
{
	size_t missing = 0;
	struct outcome o;

	for (uint32_t i = 0; i < e->count; i++)
		ret[i] = (struct outcome){ .index = m->env.recipients[e->recipients[i]].index };
	for (uint32_t next = 0; outcome_unpack(&packed, &o) > 0; next++) {
		uint32_t at = next;

		/* agents report in the order of the request; who does not is searched for */
		if (at >= e->count || ret[at].index != o.index)
			for (at = 0; at < e->count && ret[at].index != o.index;)
				at++;
		if (at < e->count && ret[at].status == OUTCOME_PENDING && o.status != OUTCOME_PENDING)
			ret[at] = o;
	}
	for (uint32_t i = 0; i < e->count; i++)
		if (ret[i].status == OUTCOME_PENDING) {
			missing++;
			ret[i] = (struct outcome){ .index = ret[i].index,
						   .status = OUTCOME_DEFERRED,
						   .dsn = STR("4.3.0"),
						   .relay = STR("none"),
						   .text = STR("delivery agent gave no verdict"),
						   .at_us = wall_us() };
		}
	return missing;
}

static struct outcome *all_deferred(const struct message *m, const struct entry *e, struct str dsn,
				    struct str text)
{
	struct outcome *outcomes = get_memory(MAX(e->count, 1u) * sizeof(*outcomes));

	for (uint32_t i = 0; i < e->count; i++)
		outcomes[i] = (struct outcome){ .index = m->env.recipients[e->recipients[i]].index,
						.status = OUTCOME_DEFERRED,
						.dsn = dsn,
						.relay = STR("none"),
						.text = text,
						.at_us = wall_us() };
	return outcomes;
}

/*
 * What stands in line for a destination that has just died is deferred without being tried, for the same
 * reason.
 */
static void empty_dead_destination(struct qmgr *q, struct destination *d)
{
	struct entry *e;

	while ((e = destination_waiting(d)) != NULL) {
		struct message *m = e->job->owner;

		assign_retry(m, e->recipients, e->count, str_of(d->reason));
		entry_drop(e);
		entries_done(m, 1);
	}
	dispatch_soon(q);
}

static void feed_back(struct qmgr *q, struct entry *e, const struct deliver_reply *rep)
{
	struct destination *d = e->destination;
	AUTO(buf) reason = BUF(1024);	/* a next hop of the retry service */

	if (rep->site_dsn.len == 0) {
		entry_succeeded(e, mono_ms());
		return;
	}
	buf_addf(&reason, "%.*s delivery temporarily suspended: %.*s", PSTR(rep->site_dsn),
		 PSTR(str_head(rep->site_reason, 900)));
	if (entry_failed(e, buf_str(&reason), mono_ms()))
		empty_dead_destination(q, d);
}

void account_reply(struct qmgr *q, struct entry *e, const struct deliver_reply *rep)
{
	struct message *m = e->job->owner;
	struct outcome *outcomes = get_memory(MAX(e->count, 1u) * sizeof(*outcomes));
	size_t missing = collect(m, e, rep->outcomes, outcomes);

	if (missing > 0)
		log_mail(ROAD_WARNING, m->id, "transport %s gave no verdict for %zu recipients",
			 e->destination->transport->name, missing);
	FAILPOINT("qmgr.account.reply");
	settle(m, outcomes, e->count);
	FAILPOINT("qmgr.account.settled");
	free(outcomes);
	feed_back(q, e, rep);
	entries_done(m, 1);
}

/* The line that an agent would have written. */
static void log_deferral(const struct message *m, const struct recipient *r, struct str dsn, struct str text)
{
	const int64_t now = wall_us();
	const struct stations stations = {
		.arrival = m->env.arrival_us, .active = m->active_us, .dispatch = now, .done = now
	};
	AUTO(buf) line = BUF(8192);

	buf_add_text(&line, "to=<");
	address_quote_822(&line, r->address);
	if (r->original.len > 0 && !str_is_nocase(r->original, r->address)) {
		buf_add_text(&line, ">, orig_to=<");
		address_quote_822(&line, r->original);
	}
	buf_add_text(&line, ">, relay=none, ");
	delays_add(&line, &stations, DELAY_DIGITS);
	log_mail(ROAD_INFO, m->id, "%s, dsn=%.*s, status=deferred (%.*s)", buf_text(&line), PSTR(dsn),
		 PSTR(text));
}

static void settle_deferred(struct entry *e, struct str dsn, struct str text)
{
	struct message *m = e->job->owner;
	struct outcome *outcomes = all_deferred(m, e, dsn, text);

	for (uint32_t i = 0; i < e->count; i++)
		log_deferral(m, &m->env.recipients[e->recipients[i]], dsn, text);
	settle(m, outcomes, e->count);
	free(outcomes);
}

void account_deferral(struct qmgr *q, struct entry *e, struct str dsn, struct str text)
{
	struct message *m = e->job->owner;

	(void) q;
	settle_deferred(e, dsn, text);
	entry_forget(e);
	entries_done(m, 1);
}

void account_nothing(struct entry *e)
{
	struct message *m = e->job->owner;

	entry_forget(e);
	entries_done(m, 1);
}

void account_waiting(struct qmgr *q, struct entry *e, struct str dsn, struct str text)
{
	struct message *m = e->job->owner;

	(void) q;
	settle_deferred(e, dsn, text);
	entry_drop(e);
	entries_done(m, 1);
}

/* ---- the end of an attempt ---- */

void entries_done(struct message *m, uint32_t n)
{
	BUG_UNLESS(m->to_do >= n);
	m->to_do -= n;
	if (m->to_do == 0)
		conclude(m);
}

/* The message may be freed by this, unless the caller holds one of to_do. */
void drop_waiting_entries(struct message *m)
{
	uint32_t dropped = 0;

	m->to_do++;
	LIST_EACH(j, &m->jobs, struct job, in_owner)
		while (!list_is_empty(&j->waiting)) {
			struct entry *e = LIST_ENTRY(j->waiting.next, struct entry, in_job);
			bool last = j->references == 1;

			entry_drop(e);
			dropped++;
			if (last)
				break;		/* the job went with it */
		}
	entries_done(m, dropped + 1);
}
