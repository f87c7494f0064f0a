/* SPDX-License-Identifier: ISC */
/* See list.h. */
#include "lib/queue/list.h"

#include <errno.h>

#include "lib/base/die.h"

enum {
	PAUSE_EVERY = 50,
	/*
	 * All of them travel in one frame (lib/ipc): reasons are told for as many recipients as
	 * there is room for.
	 */
	MOST_LISTED = 15 << 20, ENOUGH_WORDS = MOST_LISTED / 2,
	RESERVE = 2 * MOST_LISTED,
};

struct state {				/* of one recipient, replayed */
	struct outcome last;		/* its views are copied */
	bool told;
};

struct replay {
	struct arena *a;
	struct envelope e;
	struct state *states;		/* as many as recipients */
	bool forced_expire;
};

static struct state *find(struct replay *p, uint32_t index)
{
	int at = envelope_position(&p->e, index);

	return at < 0 ? NULL : &p->states[at];
}

/* Attempt after attempt says the same: no new copy then. Without room the former words stay. */
static void keep_words(struct arena *a, struct str *kept, struct str now)
{
	if (!str_is(*kept, now) && arena_left(a) > now.len + RESERVE)
		*kept = arena_copy(a, now);
}

static void keep_outcome(struct arena *a, struct outcome *kept, const struct outcome *now)
{
	kept->index = now->index;
	kept->status = now->status;
	kept->at_us = now->at_us;
	keep_words(a, &kept->dsn, now->dsn);
	keep_words(a, &kept->relay, now->relay);
	keep_words(a, &kept->text, now->text);
}

static void replay_record(void *arg, const struct journal_record *r)
{
	struct replay *p = arg;
	struct state *s = find(p, r->outcome.index);

	if (r->kind == JOURNAL_OUTCOME && s != NULL) {
		if (outcome_counts_after(s->last.status, r->outcome.status))
			keep_outcome(p->a, &s->last, &r->outcome);
	} else if (r->kind == JOURNAL_TOLD && s != NULL) {
		s->told = true;
	} else if (r->kind == JOURNAL_EXPIRE) {
		p->forced_expire = true;
	}
}

static bool is_finished(const struct state *s)
{
	return s->last.status == OUTCOME_DELIVERED || s->last.status == OUTCOME_EXPANDED
	       || s->last.status == OUTCOME_RELAYED || s->last.status == OUTCOME_HANDED_ON
	       || (s->last.status == OUTCOME_BOUNCED && s->told);
}

static void pack_unfinished(const struct replay *p, struct buf *b)
{
	for (size_t i = 0; i < p->e.recipient_count; i++) {
		const struct recipient *r = &p->e.recipients[i];
		struct outcome o = p->states[i].last;

		if (is_finished(&p->states[i]))
			continue;
		o.index = r->index;
		o.address = r->address;
		o.original = r->original;
		if (b->len > ENOUGH_WORDS)
			o.relay = o.text = STR_NONE;
		if (outcome_pack(&o, b) < 0)
			return;
	}
}

static int fill(struct queue_file *f, struct arena *a, struct listed_message *ret)
{
	struct replay p = { .a = a };
	AUTO(buf) packed = BUF(MOST_LISTED);
	int r = queue_file_envelope(f, a, &p.e);

	if (r < 0)
		return r;
	p.states = arena_get(a, (p.e.recipient_count + 1) * sizeof(*p.states));
	r = journal_read(f, replay_record, &p);
	if (r < 0)
		return r;
	pack_unfinished(&p, &packed);
	*ret = (struct listed_message){
		.queue = queue_name_text(f->where),
		.id = arena_copy(a, str_of(f->id)),
		.arrival_s = f->arrival_us / 1000000,
		.size = f->parts.size,
		.forced_expire = p.forced_expire,
		.sender = p.e.sender,
		.recipients = arena_copy(a, buf_str(&packed)),
	};
	/* none at all: pickup finds them in the headers */
	return packed.len == 0 && p.e.recipient_count > 0 ? -ENODATA : 0;
}

int list_message(struct queue *q, enum queue_name where, struct str id, struct arena *a,
		 struct listed_message *ret)
{
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_open(q, where, id, false, false, &f);

	return r < 0 ? r : fill(&f, a, ret);
}

struct walk {
	struct queue *q;
	enum queue_name where;
	const struct listing *l;
	int seen;
};

static int list_one(void *arg, struct str id, int64_t mtime_s)
{
	struct walk *w = arg;
	struct arena *a;
	struct listed_message m;
	int r = 0;

	(void) mtime_s;
	if (w->l->are_other != NULL && w->l->are_other(w->l->arg, id))
		return 0;
	a = arena_new("listed message", NULL, LISTED_MEMORY);
	if (list_message(w->q, w->where, id, a, &m) >= 0)
		r = w->l->each(w->l->arg, &m);
	arena_free(a);
	if (++w->seen % PAUSE_EVERY == 0 && co_self() != NULL)
		co_pass();
	return r;
}

int list_queue(struct queue *q, enum queue_name where, const struct listing *l)
{
	struct walk w = { q, where, l, 0 };

	return queue_scan(q, where, list_one, &w);
}
