/* SPDX-License-Identifier: ISC */
/* See promises_for_test.h. */
#include "lib/queue/promises_for_test.h"

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/queue/disk_for_test.h"

enum { MOST_TEXT = 1 << 20 };

struct promise *promise_of(struct promises *all, struct str id)
{
	for (size_t i = 0; i < all->count; i++)
		if (str_is(str_of(all->at[i].id), id))
			return &all->at[i];
	return NULL;
}

struct promise *promise_add(struct promises *all, uint64_t number, size_t body_len, unsigned to)
{
	struct promise *p = &all->at[all->count++];

	BUG_UNLESS(all->count <= MOST_PROMISES);
	*p = (struct promise){ .number = number, .body_len = body_len, .to = to,
			       .fates = 1 << NO_ORDER, .fates_after_cut = 1 << NO_ORDER };
	snprintf(p->id, sizeof(p->id), "4SVLC0%04zuz02qSWs", all->count);	/* of the walk's first minute */
	return p;
}

void promise_ordered(struct promise *p, enum fate fate, bool in_log)
{
	p->fates = 1u << fate;
	p->fates_after_cut |= 1u << fate;
	p->is_ordered_in_log = in_log;
}

unsigned promise_left_out(unsigned noted)
{
	return (noted / GOT | noted / TOLD) & ALL;
}

/* ---- content ---- */

void promise_headers(const struct promise *p, struct buf *to)
{
	buf_addf(to, "Subject: number %llu\nX-Folded: a\n b\n", (unsigned long long) p->number);
}

void promise_body(const struct promise *p, struct buf *to)
{
	uint64_t dice = p->number;
	char *at = buf_room(to, p->body_len);

	for (size_t i = 0; i < p->body_len; i += sizeof(dice)) {
		uint64_t bits = roll(&dice, UINT64_MAX);

		memcpy(at + i, &bits, MIN(sizeof(bits), p->body_len - i));
	}
	to->len += p->body_len;
}

void promise_envelope(const struct promise *p, struct arena *a, struct envelope *ret)
{
	*ret = (struct envelope){ .sender = arena_fmt(a, "s%llu@example.org", (unsigned long long) p->number),
				  .arrival_us = 1700000000000000 + (int64_t) p->number,
				  .recipients = arena_get(a, MOST_RECIPIENTS * sizeof(*ret->recipients)) };
	for (uint32_t i = 0; i < MOST_RECIPIENTS; i++)
		if ((p->to & 1u << i) != 0) {
			ret->recipients[ret->recipient_count] = (struct recipient){
				.index = (uint32_t) ret->recipient_count,
				.address = arena_fmt(a, "r%u@example.net", i) };
			ret->recipient_count++;
		}
}

/* ---- what was found ---- */

struct replay {
	const struct envelope *e;
	struct sight *s;
};

/* r3@example.net is the fourth bit */
static unsigned bit_of(const struct envelope *e, uint32_t index)
{
	int at = envelope_position(e, index);

	return at < 0 ? 0 : 1u << (e->recipients[at].address.at[1] - '0');
}

/* As qmgr's message.c. */
static void replay_outcome(struct replay *p, const struct outcome *o)
{
	const unsigned bit = bit_of(p->e, o->index);

	p->s->noted &= ~(bit * GOT | bit * FAILED);
	if (o->status == OUTCOME_DELIVERED)
		p->s->noted |= bit * GOT;
	else if (o->status == OUTCOME_BOUNCED)
		p->s->noted |= bit * FAILED;
}

static void replay_record(void *arg, const struct journal_record *r)
{
	struct replay *p = arg;

	switch (r->kind) {
	case JOURNAL_OUTCOME:
		replay_outcome(p, &r->outcome);
		break;
	case JOURNAL_TOLD:
		p->s->noted |= bit_of(p->e, r->outcome.index) * TOLD;
		break;
	case JOURNAL_DELAY_WARNED:
		p->s->noted |= WARNED;
		break;
	case JOURNAL_EXPIRE:
		p->s->noted |= EXPIRED;
		break;
	case JOURNAL_HELD:
		p->s->fate = ORDERED_TO_HOLD;
		break;
	case JOURNAL_REQUEUED:
		p->s->fate = ORDERED_TO_REQUEUE;
		break;
	case JOURNAL_RELEASED:
		p->s->fate = NO_ORDER;
		break;
	case JOURNAL_DONE:
		p->s->is_done = true;
		break;
	}
}

unsigned bits_of_envelope(const struct envelope *e)
{
	unsigned bits = 0;

	for (size_t i = 0; i < e->recipient_count; i++)
		bits |= bit_of(e, e->recipients[i].index);
	return bits;
}

int sight_replay(struct queue_file *f, const struct envelope *e, struct sight *ret)
{
	int r = journal_read(f, replay_record, &(struct replay){ e, ret });

	ret->open = ret->is_done ? 0 : bits_of_envelope(e) & ~(ret->noted / GOT | ret->noted / FAILED);
	return MIN(r, 0);
}

/* What cannot be read now says nothing. */
static bool is_part(const struct queue_file *f, uint64_t at, uint64_t len, const struct buf *expected)
{
	AUTO_PTR char *bytes = get_memory(len + 1);
	ssize_t n = queue_file_read(f, at, bytes, len);

	return n < 0 || (n == (ssize_t) expected->len && memcmp(bytes, expected->at, expected->len) == 0);
}

static void compare_content(const struct promise *p, const struct queue_file *f, struct buf *why)
{
	AUTO(buf) headers = BUF(MOST_TEXT), body = BUF(MOST_TEXT);

	promise_headers(p, &headers);
	promise_body(p, &body);
	if (!is_part(f, f->parts.headers_at, f->parts.headers_len, &headers)
	    || !is_part(f, f->parts.body_at, f->parts.body_len, &body))
		buf_addf(why, "%s in %s: other content; ", p->id, queue_name_text(f->where));
}

static void compare_envelope(const struct promise *p, const struct envelope *e, enum queue_name where,
			     struct buf *why)
{
	const unsigned to = bits_of_envelope(e);
	/* who got it is left out of what is handed in again; a copy that was taken back may come back */
	const bool is_right = where != QUEUE_MAILDROP ? to == p->to
			      : (to & ~p->to) == 0 && (p->to & ~promise_left_out(p->ever_noted) & ~to) == 0
				&& (!p->must_be_in_maildrop || (to & p->not_for) == 0);

	if (!is_right || e->arrival_us != 1700000000000000 + (int64_t) p->number)
		buf_addf(why, "%s in %s: other envelope; ", p->id, queue_name_text(where));
}

int sight_read(struct promises *all, struct queue *q, enum queue_name where, struct str id, struct sight *ret,
	       struct buf *why)
{
	AUTO(queue_file) f = { .fd = -1 };
	const struct promise *p = promise_of(all, id);
	struct arena *a;
	struct envelope e;
	struct sight s = { .where = where };
	int r = queue_file_open(q, where, id, false, true, &f);

	if (r < 0)
		return r;
	a = arena_new("sight", NULL, MOST_TEXT);
	r = queue_file_envelope(&f, a, &e);
	if (r == 0)
		r = sight_replay(&f, &e, &s);
	if (r == 0 && p == NULL) {
		buf_addf(why, "%.*s: nobody sent that; ", PSTR(id));
	} else if (r == 0) {
		compare_content(p, &f, why);
		compare_envelope(p, &e, where, why);
		memcpy(s.id, p->id, sizeof(s.id));
		*ret = s;
	}
	arena_free(a);
	return r;
}

/* What lies in the queue, and not in maildrop. */
static void compare_sight(const struct promise *p, const struct sight *s, struct buf *why)
{
	if (p->must_be_gone && !s->is_done)
		buf_addf(why, "%s is back, long after its end; ", p->id);
	if (s->is_done ? !p->may_be_gone : (p->to & ~(p->noted / GOT | p->noted / FAILED) & ~s->open) != 0)
		buf_addf(why, "%s: who did not get it is LOST; ", p->id);
	if ((s->noted & ~p->noted) != 0)
		buf_addf(why, "%s: %x is noted, and never happened; ", p->id, s->noted & ~p->noted);
	if (!s->is_done && (p->noted_for_certain & ~s->noted) != 0)
		buf_addf(why, "%s: %x was noted long ago and is forgotten; ", p->id,
			 p->noted_for_certain & ~s->noted);
	if ((p->fates_after_cut & 1u << s->fate) == 0)
		buf_addf(why, "%s: order %d stands, and should not; ", p->id, (int) s->fate);
}

static void compare_one(const struct promise *p, const struct sights *seen, struct buf *why)
{
	int in_queue = 0, in_maildrop = 0;

	for (size_t i = 0; i < seen->count; i++) {
		const struct sight *s = &seen->at[i];

		if (strcmp(s->id, p->id) != 0)
			continue;
		in_maildrop += s->where == QUEUE_MAILDROP;
		in_queue += s->where != QUEUE_MAILDROP;
		if (s->where != QUEUE_MAILDROP)
			compare_sight(p, s, why);
	}
	if (p->is_acknowledged && !p->may_be_gone && in_queue == 0
	    && !(p->may_be_in_maildrop && in_maildrop > 0))
		buf_addf(why, "%s is LOST; ", p->id);
	if (p->must_be_in_maildrop && in_maildrop == 0)
		buf_addf(why, "%s is LOST from maildrop; ", p->id);
	if (in_maildrop > 0 && !p->may_be_in_maildrop)
		buf_addf(why, "%s was not handed in again; ", p->id);
	if (in_queue > 1)
		buf_addf(why, "%s is there twice; ", p->id);
}

void promises_compare(struct promises *all, const struct sights *seen, struct buf *why)
{
	for (size_t i = 0; i < all->count; i++)
		compare_one(&all->at[i], seen, why);
}

void promises_compare_all(struct promises *all, const struct sights *seen, struct buf *why)
{
	promises_compare(all, seen, why);
	for (size_t i = 0; i < seen->count; i++) {
		const struct sight *s = &seen->at[i];
		const struct promise *p = promise_of(all, str_of(s->id));

		if (s->where == QUEUE_MAILDROP || s->is_done)
			continue;
		if (p->has_ended || (p->noted_written & ~s->noted) != 0)
			buf_addf(why, "%s in %s: what was written (%x) is forgotten; ", p->id,
				 queue_name_text(s->where), p->noted_written & ~s->noted);
		if ((p->fates & 1u << s->fate) == 0)
			buf_addf(why, "%s in %s: order %d stands, and another was answered; ", p->id,
				 queue_name_text(s->where), (int) s->fate);
	}
}

/* ---- what is durable by now ---- */

void promises_ledgers_written(struct promises *all)
{
	for (size_t i = 0; i < all->count; i++) {
		struct promise *p = &all->at[i];

		p->has_ended |= p->ends_in_log;
		p->noted_written |= p->noted_in_log;
	}
}

void promises_ledgers_synced(struct promises *all, bool well)
{
	for (size_t i = 0; i < all->count; i++) {
		struct promise *p = &all->at[i];

		if (!well) {
			p->has_ended &= !p->ends_in_log;
			p->noted_written &= ~p->noted_in_log;
			p->fates |= p->is_ordered_in_log ? p->fates_after_cut : 0;
			continue;
		}
		if (!p->ends_in_log || !p->had_copy)
			p->noted_for_certain |= p->noted_in_log;
		p->must_be_gone |= p->ends_in_log && !p->had_copy;
		if (p->is_ordered_in_log)
			p->fates_after_cut = p->fates;
		p->ends_in_log = p->is_ordered_in_log = false;
		p->noted_in_log = 0;
	}
}

void promises_ledgers_lost(struct promises *all)
{
	promises_ledgers_synced(all, false);
	for (size_t i = 0; i < all->count; i++) {
		struct promise *p = &all->at[i];

		p->ends_in_log = p->is_ordered_in_log = false;
		p->noted_in_log = 0;
	}
}

void promises_settled(struct promises *all)
{
	for (size_t i = 0; i < all->count; i++) {
		struct promise *p = &all->at[i];

		p->must_be_gone |= p->has_ended;
		p->noted_for_certain |= p->noted_written;
		p->fates_after_cut = p->fates;
		p->had_copy = false;
	}
	promises_ledgers_synced(all, true);
}

void promises_begin_anew(struct promises *all, const struct sights *seen)
{
	for (size_t i = 0; i < all->count; i++) {
		struct promise *p = &all->at[i];

		p->must_be_gone = p->has_ended = p->may_be_gone = true;
		p->may_be_in_maildrop = p->must_be_in_maildrop = p->is_acknowledged = p->ends_in_log = false;
		p->is_ordered_in_log = p->had_copy = false;
		p->noted_in_log = p->not_for = 0;
	}
	for (size_t i = 0; i < seen->count; i++) {
		const struct sight *s = &seen->at[i];
		struct promise *p = promise_of(all, str_of(s->id));

		p->is_acknowledged = true;
		if (s->where == QUEUE_MAILDROP) {
			p->may_be_in_maildrop = p->must_be_in_maildrop = true;
		} else {
			p->noted = p->noted_written = p->noted_for_certain = s->noted;
			p->fates = p->fates_after_cut = 1u << s->fate;
			p->may_be_gone = p->has_ended = p->must_be_gone = s->is_done;
		}
	}
}
