/* SPDX-License-Identifier: ISC */
/*
 * A message in memory: made from cleanup's announcement, or from its file and what the journal says happened
 * since.
 */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/disk/disk.h"
#include "lib/log/log.h"
#include "lib/mail/mail_address.h"
#include "qmgr/qmgr.h"

enum {
	MOST_MEMORY = 1 << 30,
	/*
	 * of what one notification is about, so that it always fits into a request with the
	 * message's headers
	 */
	MOST_NOTES = 6 << 20, MOST_ADDRESSES = 4 << 20, MOST_NOTED = 20000,
};

static struct message *new_message(struct qmgr *q)
{
	struct arena *a = arena_new("message", NULL, MOST_MEMORY);
	struct message *m = ARENA_NEW(a, struct message);

	m->q = q;
	m->arena = a;
	m->active_us = wall_us();
	list_init(&m->jobs);
	list_init(&m->link);
	m->failures.packed = m->successes.packed = m->deferrals.packed = BUF(MOST_NOTES);
	return m;
}

void message_free(struct message *m)
{
	BUG_UNLESS(list_is_empty(&m->jobs));
	let_go(m);
	log_forget_content(m);
	list_remove(&m->link);
	buf_free(&m->failures.packed);
	buf_free(&m->successes.packed);
	buf_free(&m->deferrals.packed);
	arena_free(m->arena);		/* holds m */
}

static void make_states(struct message *m)
{
	m->states = arena_get(m->arena, m->env.recipient_count * sizeof(*m->states));
	m->env.queue_id = m->id;
}

int message_announced(struct qmgr *q, const struct qmgr_announce *from, struct message **ret)
{
	struct message *m = new_message(q);
	int r = queue_name_parse(from->queue, &m->where);

	m->id = arena_copy(m->arena, from->queue_id);
	m->parts = (struct queue_parts){ .size = from->size,
					 .headers_at = from->headers_at,
					 .headers_len = from->headers_len,
					 .body_at = from->body_at,
					 .body_len = from->body_len };
	if (r >= 0 && !queue_id_is_valid(m->id))
		r = -EBADMSG;
	if (r >= 0)
		r = envelope_unpack(arena_copy(m->arena, from->envelope), m->arena, &m->env);
	if (r < 0) {
		message_free(m);
		return r;
	}
	make_states(m);
	*ret = m;
	return 0;
}

/* ---- from the journal ---- */

int message_position(const struct message *m, uint32_t index)
{
	return envelope_position(&m->env, index);
}

static void replay_outcome(struct message *m, const struct outcome *o)
{
	int at = message_position(m, o->index);
	struct rcpt_state *s;

	if (at < 0)
		return;
	s = &m->states[at];
	m->is_retry = true;
	if (!outcome_counts_after((enum outcome_status) s->status, o->status))
		return;
	s->status = (unsigned char) o->status;
	s->reason = o->status == OUTCOME_DEFERRED ? crc32c(0, o->text.at, o->text.len) : 0;
}

static void replay_done(struct message *m)
{
	for (uint32_t i = 0; i < m->env.recipient_count; i++) {
		if (recipient_is_open(m, i))
			m->states[i].status = OUTCOME_DELIVERED;
		m->states[i].told = true;
	}
}

static void replay(void *arg, const struct journal_record *r)
{
	struct message *m = arg;
	int at;

	switch (r->kind) {
	case JOURNAL_OUTCOME:
		replay_outcome(m, &r->outcome);
		break;
	case JOURNAL_TOLD:
		at = message_position(m, r->outcome.index);
		if (at >= 0)
			m->states[at].told = true;
		break;
	case JOURNAL_DELAY_WARNED:
		m->delay_warned = true;
		break;
	case JOURNAL_EXPIRE:
		m->force_expire = true;
		break;
	case JOURNAL_HELD:
		m->fate = HELD;
		break;
	case JOURNAL_REQUEUED:
		m->fate = REQUEUED;
		break;
	case JOURNAL_RELEASED:
		m->fate = STAYS;
		break;
	case JOURNAL_DONE:
		replay_done(m);
		break;
	}
}

/* postsuper -e: the last reason of each who waits will do, nobody is tried any more. */
bool is_returned_untried(const struct message *m)
{
	return m->force_expire && m->fate == STAYS && !is_only_verified(m);
}

static struct notes *notes_for(struct message *m, int at, const struct outcome *o)
{
	if (is_only_verified(m))
		return o->status == OUTCOME_DEFERRED ? NULL : &m->successes;	/* they are asked about again */
	if (o->status == OUTCOME_BOUNCED)
		return &m->failures;
	if (o->status == OUTCOME_DEFERRED)
		return is_returned_untried(m) && m->states[at].reason == crc32c(0, o->text.at, o->text.len)
		       ? &m->deferrals : NULL;
	return wants_success_notice(&m->env.recipients[at], o->status) ? &m->successes : NULL;
}

/* The second time through: the words of what the sender is still to be told, also if they stand there twice. */
static void replay_untold(void *arg, const struct journal_record *r)
{
	struct message *m = arg;
	int at = r->kind == JOURNAL_OUTCOME ? message_position(m, r->outcome.index) : -1;
	struct notes *notes;

	if (at < 0 || m->states[at].told || m->states[at].is_noted || m->states[at].status != r->outcome.status)
		return;
	notes = notes_for(m, at, &r->outcome);
	if (notes == NULL)
		return;
	m->states[at].is_noted = true;
	note_outcome(m, notes, &r->outcome);
}

static bool has_untold(const struct message *m)
{
	for (size_t i = 0; i < m->env.recipient_count; i++) {
		const struct rcpt_state *s = &m->states[i];

		if (!s->told
		    && (s->status == OUTCOME_BOUNCED || is_only_verified(m)
			|| (s->status == OUTCOME_DEFERRED && is_returned_untried(m))
			|| wants_success_notice(&m->env.recipients[i], s->status)))
			return true;
	}
	return false;
}

static int read_journal(struct message *m, struct queue_file *f,
			void (*each)(void *arg, const struct journal_record *r))
{
	int r = journal_read(f, each, m);

	if (r >= 0)
		unwritten_read(m->q, m->id, each, m);
	return r;
}

static int fill_from_file(struct message *m, struct queue_file *f)
{
	int r = queue_file_envelope(f, m->arena, &m->env);

	if (r < 0)
		return r;
	m->id = arena_copy(m->arena, str_of(f->id));
	m->where = f->where;
	m->parts = f->parts;
	make_states(m);
	r = read_journal(m, f, replay);
	if (r >= 0 && has_untold(m))
		r = read_journal(m, f, replay_untold);
	return r;
}

int message_load(struct qmgr *q, enum queue_name where, struct str id, struct message **ret)
{
	AUTO(queue_file) f = { .fd = -1 };
	struct message *m;
	int r = queue_file_open(q->queue, where, id, false, false, &f);

	if (r < 0)
		return r;
	if (queue_file_is_locked(&f) > 0)
		return -EBUSY;
	if ((r = queue_file_is_current(q->queue, &f)) < 0)
		return r;
	m = new_message(q);
	r = fill_from_file(m, &f);
	if (r < 0) {
		message_free(m);
		return r;
	}
	m->is_retry |= where == QUEUE_DEFERRED;
	m->not_before_s = where == QUEUE_DEFERRED ? f.mtime_s : 0;
	*ret = m;
	return 0;
}

/* ---- questions ---- */

bool wants_success_notice(const struct recipient *r, enum outcome_status status)
{
	return (r->notify & NOTIFY_SUCCESS) != 0
	       && (status == OUTCOME_DELIVERED || status == OUTCOME_RELAYED || status == OUTCOME_EXPANDED);
}

bool is_only_verified(const struct message *m)
{
	return (m->env.flags & ENVELOPE_VERIFY) != 0;
}

bool recipient_is_open(const struct message *m, uint32_t position)
{
	return m->states[position].status == OUTCOME_PENDING
	       || m->states[position].status == OUTCOME_DEFERRED;
}

bool message_is_old(const struct message *m, int64_t now_us)
{
	int64_t lifetime_ms = m->env.sender.len > 0 ? m->q->conf->maximal_queue_lifetime
						    : m->q->conf->bounce_queue_lifetime;

	return m->force_expire || now_us - m->env.arrival_us >= lifetime_ms * 1000;
}

uint32_t message_sites(const struct message *m)
{
	uint32_t sites = 0;

	for (uint32_t i = 0; i < m->env.recipient_count; i++) {
		struct str address = m->env.recipients[i].address;

		if (recipient_is_open(m, i))
			sites |= site_bit(str_skip(address, (size_t) (str_find_last(address, '@') + 1)));
	}
	return sites;
}

bool is_returned_by_verp(const struct message *m)
{
	return m->env.verp.len > 0 && m->env.sender.len > 0 && !m->q->conf->disable_verp_bounces;
}

int message_pack(const struct message *m, const uint32_t *positions, size_t n, bool verp, struct buf *b)
{
	struct envelope e = m->env;
	struct arena *a = NULL;
	int r;

	if (verp && m->env.verp.len > 0 && n == 1) {
		const struct recipient *to = &m->env.recipients[positions[0]];

		a = arena_new("verp", NULL, 1 << 20);
		e.sender = verp_sender(a, e.sender, e.verp,
				       to->original.len > 0 ? to->original : to->address);
	}

	if (n < m->env.recipient_count) {
		e.recipients = get_memory(MAX(n, (size_t) 1) * sizeof(*e.recipients));
		e.recipient_count = n;
		for (size_t i = 0; i < n; i++)
			e.recipients[i] = m->env.recipients[positions[i]];
	}
	r = envelope_pack(&e, b);
	if (e.recipients != m->env.recipients)
		free(e.recipients);
	arena_free(a);
	return r;
}

int message_open_file(const struct message *m, bool writable, struct queue_file *ret)
{
	return queue_file_open(m->q->queue, m->where, m->id, writable, false, ret);
}

static size_t envelope_bytes(const struct message *m, const struct outcome *o)
{
	enum { NUMBERS = 40 };
	int at = message_position(m, o->index);
	const struct recipient *r = at < 0 ? NULL : &m->env.recipients[at];

	return r == NULL ? 0 : r->address.len + r->original.len + r->orcpt.len + NUMBERS;
}

/* What does not fit is for another notification: nobody is forgotten because others come first. */
void note_outcome(const struct message *m, struct notes *n, const struct outcome *o)
{
	const size_t addresses = n->addresses + envelope_bytes(m, o);

	if (n->is_cut || n->count >= MOST_NOTED || (addresses > MOST_ADDRESSES && n->count > 0)
	    || outcome_pack(o, &n->packed) < 0) {
		n->is_cut = true;
		return;
	}
	n->addresses = addresses;
	n->count++;
}

void forget_notes(struct notes *n)
{
	buf_clear(&n->packed);
	n->count = 0;
	n->addresses = 0;
}
