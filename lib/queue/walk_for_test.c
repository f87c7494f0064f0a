/* SPDX-License-Identifier: ISC */
/* See walk_for_test.h. */
#include "lib/queue/walk_for_test.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/queue/orders.h"

enum { MOST_AT_ONCE = MOST_LEAVING, LARGE = 80 << 10, MOST_TEXT = 1 << 20, A_WHILE_S = 400 };

static uint64_t now_s;

static void let_time_pass(int64_t seconds)
{
	now_s += (uint64_t) seconds;
	clock_set_for_test((int64_t) now_s * 1000000, (int64_t) now_s * 1000000);
}

static bool one_in(struct walk *w, uint64_t n)
{
	return roll(&w->dice, n) == 0;
}

static void count_step(void *arg)
{
	struct walk *w = arg;

	w->steps++;
	if (w->at_step != NULL && w->why.len == 0)
		w->at_step(w);
}

/* ---- processes ---- */

static void start_writer(struct walk *w, int i)
{
	const struct intake_limits limits = { KEEPER_SEGMENT_SIZE, KEEPER_SEGMENTS };

	queue_close(w->writers[i]);
	w->writers[i] = keeper_open_queue(w->root);
	if (w->writers[i] != NULL)
		queue_append_to_intake(w->writers[i], w->root, &limits);
}

/* What is written at the end of a turn is written. */
static void finish_turn(struct walk *w)
{
	co_pass();
	co_pass();
	if (w->keeper != NULL && queue_unwritten(w->keeper->q) == 0)
		promises_ledgers_written(&w->promises);
}

/* With who kept the queue. */
static void forget_leaving(struct walk *w)
{
	for (size_t i = 0; i < w->leaving.count; i++) {
		buf_free(&w->leaving.exits[i].journal);
		if (w->leaving.exits[i].fd >= 0)
			close(w->leaving.exits[i].fd);
	}
	w->leaving.count = 0;
}

static void start_keeper(struct walk *w)
{
	if (w->keeper != NULL)
		finish_turn(w);
	if (w->keeper != NULL && queue_unwritten(w->keeper->q) > 0)
		promises_ledgers_lost(&w->promises);
	forget_leaving(w);
	keeper_free(w->keeper);
	w->keeper = keeper_start(w->root, &w->promises, &w->why);
	w->inherits_ledgers = true;
}

static void start_all(struct walk *w)
{
	w->root = calls_mount(w->d);
	calls_watch((struct watch){ w->d, count_step, w });
	for (int i = 0; i < WRITERS; i++)
		start_writer(w, i);
	start_keeper(w);
}

static void stop_all(struct walk *w)
{
	for (int i = 0; i < WRITERS; i++) {
		queue_close(w->writers[i]);
		w->writers[i] = NULL;
	}
	forget_leaving(w);
	keeper_free(w->keeper);
	w->keeper = NULL;
	calls_close_all(w->d);
}

struct walk *walk_begin(enum disk_kind kind, uint64_t seed)
{
	struct walk *w = get_memory(sizeof(*w));

	w->d = disk_new(kind);
	w->dice = seed;
	w->why = BUF(MOST_TEXT);
	calls_dice = seed;
	now_s = 1700000000;
	let_time_pass(1);
	for (int i = 0; i < QUEUE_COUNT; i++)
		disk_make(w->d, DISK_ROOT, queue_name_text((enum queue_name) i), true);
	disk_make(w->d, DISK_ROOT, "intake", true);
	disk_settle(w->d);
	return w;
}

void walk_end(struct walk *w)
{
	calls_watch((struct watch){ 0 });
	stop_all(w);
	disk_free(w->d);
	buf_free(&w->why);
	free(w);
}

/* ---- cleanup ---- */

struct sending {
	struct walk *w;
	struct queue *q;
	struct promise *p;
	bool own_file, is_held;
};

static void announce(struct walk *w, const struct promise *p, const struct queue_place *place)
{
	bool missed = false;
	int r = 1;

	if (w->keeper == NULL || one_in(w, 8))
		return;			/* the announcement is lost */
	if (place->segment[0] != '\0')
		r = queue_announced(w->keeper->q, place, str_of(p->id), &missed);
	if (r > 0 && keeper_find(w->keeper, p->id) == NULL) {
		struct sight *s = &w->keeper->seen.at[w->keeper->seen.count++];

		*s = (struct sight){ .where = QUEUE_INCOMING, .open = p->to };
		memcpy(s->id, p->id, sizeof(s->id));
	}
	if (missed)
		keeper_scan(w->keeper);
}

static int commit(const struct sending *s, struct queue_writer *writer, struct queue_place *place)
{
	AUTO(buf) headers = BUF(MOST_TEXT), body = BUF(MOST_TEXT), packed = BUF(MOST_TEXT);
	struct arena *a = arena_new("envelope", NULL, MOST_TEXT);
	struct envelope e;
	struct queue_parts parts;
	int r;

	promise_headers(s->p, &headers);
	promise_body(s->p, &body);
	promise_envelope(s->p, a, &e);
	envelope_pack(&e, &packed);
	r = queue_write_body(writer, buf_str(&body));
	if (r == 0 && s->is_held)
		r = queue_place_in(writer, QUEUE_HOLD);
	if (r == 0)
		r = queue_commit(writer, &e, buf_str(&packed), buf_str(&headers), &parts,
				 s->own_file || s->is_held ? NULL : place);
	arena_free(a);
	return r;
}

static void send_one(void *arg)
{
	struct sending *s = arg;
	struct queue_writer *writer;
	struct queue_place place = { 0 };
	int r = queue_create(s->q, QUEUE_INCOMING, str_of(s->p->id), &writer);

	if (r < 0)
		return;
	r = commit(s, writer, &place);
	s->p->is_acknowledged = r == 0;
	queue_writer_free(writer);
	if (r == 0 && !s->is_held)
		announce(s->w, s->p, &place);
}

static size_t some_length(struct walk *w)
{
	if (one_in(w, 30))
		return LARGE;
	return roll(&w->dice, one_in(w, 4) ? 9000 : 900);
}

static void take_in(struct walk *w)
{
	struct queue *q = w->writers[roll(&w->dice, WRITERS)];
	struct sending sendings[MOST_AT_ONCE];
	int count = 1 + (int) roll(&w->dice, MOST_AT_ONCE);
	struct scope *scope;

	if (q == NULL || w->promises.count + MOST_AT_ONCE > MOST_PROMISES)
		return;
	scope = scope_open("clients");
	for (int i = 0; i < count; i++) {
		unsigned to = 1 + (unsigned) roll(&w->dice, (1 << MOST_RECIPIENTS) - 1);

		sendings[i] = (struct sending){ w, q, promise_add(&w->promises, roll(&w->dice, 1 << 30),
								  some_length(w), to),
						.own_file = one_in(w, 8), .is_held = one_in(w, 16) };
		scope_start(scope, "client", send_one, &sendings[i]);
	}
	scope_wait(scope, NEVER);
	scope_close(scope);
}

/* ---- qmgr ---- */

static struct sight *choose(struct walk *w)
{
	struct sight *s;

	if (w->keeper == NULL || w->keeper->seen.count == 0)
		return NULL;
	s = &w->keeper->seen.at[roll(&w->dice, w->keeper->seen.count)];
	return s->where == QUEUE_MAILDROP ? NULL : s;
}

/* One for each that a bit stands for, of those in p. Returns how many. */
static size_t records_of(const struct promise *p, unsigned bits, const struct journal_record *like,
			 struct journal_record *records)
{
	size_t n = 0;
	uint32_t index = 0;

	for (unsigned i = 0; i < MOST_RECIPIENTS; i++) {
		if ((bits & 1u << i) != 0) {
			records[n] = *like;
			records[n++].outcome.index = index;
		}
		index += (p->to & 1u << i) != 0;
	}
	return n;
}

/* It happened, and this is how it is written down. */
static int note(struct walk *w, struct sight *s, unsigned bits, const struct journal_record *records, size_t n)
{
	AUTO(queue_file) f = { .fd = -1 };
	struct promise *p = promise_of(&w->promises, str_of(s->id));
	int r;

	p->noted |= bits;
	p->ever_noted |= bits;
	s->noted |= bits;
	r = queue_file_open(w->keeper->q, s->where, str_of(s->id), true, false, &f);
	if (r == 0)
		r = journal_append(&f, records, n);
	if (r == 0 && f.resident != NULL)
		p->noted_in_log |= bits;
	else if (r == 0)
		p->noted_written |= bits;
	return r;
}

/* An attempt: each who is still to get it gets it, cannot get it at all, or not now. */
static void attempt(struct walk *w)
{
	static const enum outcome_status statuses[] = { OUTCOME_DELIVERED, OUTCOME_DELIVERED,
							OUTCOME_DEFERRED, OUTCOME_BOUNCED };
	struct journal_record records[MOST_RECIPIENTS];
	struct sight *s = choose(w);
	const struct promise *p = s == NULL ? NULL : promise_of(&w->promises, str_of(s->id));
	unsigned got = 0, failed = 0;
	size_t n = 0;

	for (unsigned i = 0; s != NULL && i < MOST_RECIPIENTS; i++) {
		enum outcome_status status = statuses[roll(&w->dice, COUNT_OF(statuses))];
		const struct journal_record like = { .kind = JOURNAL_OUTCOME, .outcome = {
			.status = status, .dsn = STR("2.0.0"), .text = STR("words"), .at_us = 5 } };

		if ((s->open & 1u << i) == 0 || one_in(w, 4))
			continue;
		n += records_of(p, 1u << i, &like, records + n);
		got |= status == OUTCOME_DELIVERED ? 1u << i : 0;
		failed |= status == OUTCOME_BOUNCED ? 1u << i : 0;
	}
	if (n == 0)
		return;
	note(w, s, got * GOT | failed * FAILED, records, n);
	s->open &= ~(got | failed);
}

static unsigned untold(const struct sight *s)
{
	return s->noted / FAILED & ~(s->noted / TOLD) & ALL;
}

/* The sender hears of it; of what is through after that nothing is noted. */
static void tell(struct walk *w, struct sight *s)
{
	struct journal_record records[MOST_RECIPIENTS];
	const unsigned bits = untold(s);
	size_t n = records_of(promise_of(&w->promises, str_of(s->id)), bits,
			      &(struct journal_record){ .kind = JOURNAL_TOLD }, records);

	if (s->open != 0)
		note(w, s, bits * TOLD, records, n);
}

static void warn(struct walk *w)
{
	struct sight *s = choose(w);

	if (s != NULL && s->open != 0 && (s->noted & WARNED) == 0)
		note(w, s, WARNED, &(struct journal_record){ .kind = JOURNAL_DELAY_WARNED }, 1);
}

/* As qmgr: in the log a line is all; a file says that it is through before its turn to be removed comes. */
static void end(struct walk *w, struct sight *s)
{
	struct promise *p = promise_of(&w->promises, str_of(s->id));
	bool in_log = queue_is_in_log(w->keeper->q, s->where, str_of(s->id));

	finish_turn(w);			/* it came out of the log in an earlier one */
	p->may_be_gone = true;
	if (!in_log && !s->is_done && queue_mark_done(w->keeper->q, s->where, str_of(s->id)) == 0)
		p->has_ended = s->is_done = true;
	if (s->is_done && one_in(w, 3))
		return;
	if (queue_finish(w->keeper->q, s->where, str_of(s->id)) < 0)
		return;
	p->has_ended |= !in_log;
	p->ends_in_log |= in_log;
	keeper_forget(w->keeper, s);
}

static int write_leaving(void *arg)
{
	struct leaving *l = arg;

	for (size_t i = 0; i < l->count; i++)
		l->results[i] = queue_exit_write(&l->exits[i]);
	for (size_t i = 0; i < l->count; i++)
		if (l->results[i] == 0)
			l->results[i] = queue_exit_sync(&l->exits[i]);
	return 0;
}

/* Some take longer: until end_leaving(). */
static void carry_out(struct walk *w)
{
	if (w->leaving.count > 0)
		co_offload(write_leaving, &w->leaving);
}

static void end_leaving(struct walk *w)
{
	struct leaving *l = &w->leaving;

	for (size_t i = 0; i < l->count; i++) {
		struct sight *s = keeper_find(w->keeper, l->exits[i].id);
		int r;

		promise_of(&w->promises, str_of(l->exits[i].id))->had_copy = true;
		r = queue_exit_end(&l->exits[i], l->results[i]);
		if (r == 0 && s != NULL)
			s->where = l->exits[i].to;
	}
	l->count = 0;
}

/* Several at once, if they are in the log. */
static void put_off(struct walk *w, struct sight *s)
{
	struct queue *q = w->keeper->q;
	struct leaving *l = &w->leaving;
	enum queue_name to = s->fate == ORDERED_TO_HOLD ? QUEUE_HOLD : QUEUE_DEFERRED;

	if (!queue_is_in_log(q, s->where, str_of(s->id))) {
		if (s->where != to && queue_move(q, s->where, to, str_of(s->id)) == 0)
			s->where = to;
		if (s->where == QUEUE_DEFERRED)
			queue_set_next_attempt(q, s->where, str_of(s->id), (int64_t) now_s + A_WHILE_S);
		return;
	}
	end_leaving(w);
	l->q = q;
	for (size_t i = 0; i < w->keeper->seen.count && l->count < MOST_AT_ONCE; i++) {
		const struct sight *other = &w->keeper->seen.at[i];

		if ((other == s || one_in(w, 3)) && queue_is_in_log(q, other->where, str_of(other->id))
		    && queue_exit_begin(q, str_of(other->id), to, &l->exits[l->count]) == 0)
			l->count++;
	}
	carry_out(w);
	if (!one_in(w, 3))
		end_leaving(w);
}

static void hand_in(struct walk *w, struct sight *s);

/* As qmgr's conclude() and end_attempt(). What is in hold/ stays there. */
static void conclude(struct walk *w)
{
	struct sight *s = choose(w);

	if (s == NULL || (s->where == QUEUE_HOLD && s->open != 0))
		return;
	if (untold(s) != 0 && !s->is_done)
		tell(w, s);
	if (s->open == 0)
		end(w, s);
	else if (s->fate == ORDERED_TO_REQUEUE)
		hand_in(w, s);
	else
		put_off(w, s);
}

static void note_lingering(void *arg, struct str id)
{
	struct leaving *l = arg;

	if (l->count < MOST_AT_ONCE && queue_exit_begin(l->q, id, QUEUE_INCOMING, &l->exits[l->count]) == 0)
		l->count++;
}

/* What qmgr does once a second. */
static void keep_log(struct walk *w)
{
	uint64_t failed;

	if (w->keeper == NULL)
		return;
	finish_turn(w);
	end_leaving(w);
	failed = calls_failed;
	queue_flush_ledgers(w->keeper->q);
	if (queue_unwritten(w->keeper->q) == 0) {
		promises_ledgers_written(&w->promises);
		queue_keep_intake(w->keeper->q);
		if (calls_failed != failed && w->inherits_ledgers)
			promises_ledgers_lost(&w->promises);
		else
			promises_ledgers_synced(&w->promises, calls_failed == failed);
		w->inherits_ledgers = false;
	} else {
		queue_keep_intake(w->keeper->q);
	}
	w->leaving.q = w->keeper->q;
	queue_crowding(w->keeper->q, KEEPER_SEGMENTS / 2, note_lingering, &w->leaving);
	carry_out(w);
	if (!one_in(w, 3))
		end_leaving(w);
}

static void flush_all(struct walk *w)
{
	if (w->keeper != NULL)
		queue_flush_ledgers(w->keeper->q);
}

/* ---- postsuper ---- */

static void release(struct walk *w, struct sight *s)
{
	struct promise *p = promise_of(&w->promises, str_of(s->id));
	const unsigned before = p->fates;

	promise_ordered(p, NO_ORDER, false);
	p->fates |= before;		/* it may be taken back, and stay there */
	if (queue_release(w->keeper->q, str_of(s->id)) < 0)
		return;
	s->where = QUEUE_DEFERRED;
	s->fate = NO_ORDER;
	if ((before & 1u << NO_ORDER) == 0)
		p->fates = 1u << NO_ORDER;
}

/* To what is being delivered, or moved, right now. */
static void order(struct walk *w)
{
	static const enum journal_kind kinds[] = { [NO_ORDER] = JOURNAL_RELEASED, [ORDERED_TO_HOLD] = JOURNAL_HELD,
						   [ORDERED_TO_REQUEUE] = JOURNAL_REQUEUED };
	AUTO(queue_file) f = { .fd = -1 };
	struct sight *s = choose(w);
	struct promise *p = s == NULL ? NULL : promise_of(&w->promises, str_of(s->id));
	enum fate fate = (enum fate) roll(&w->dice, COUNT_OF(kinds));
	unsigned before;

	if (s == NULL || s->is_done)
		return;
	if (s->where == QUEUE_HOLD) {
		release(w, s);
		return;
	}
	if (queue_file_open(w->keeper->q, s->where, str_of(s->id), true, false, &f) < 0)
		return;
	before = p->fates;
	p->fates |= 1u << fate;
	p->fates_after_cut |= 1u << fate;
	if (queue_order(&f, kinds[fate]) < 0) {
		p->fates = before;
		return;
	}
	promise_ordered(p, fate, f.resident != NULL);
	s->fate = fate;
}

static void order_expiry(struct walk *w)
{
	struct sight *s = choose(w);
	struct promise *p = s == NULL ? NULL : promise_of(&w->promises, str_of(s->id));
	AUTO(queue_file) f = { .fd = -1 };

	if (s == NULL || s->is_done || (s->noted & EXPIRED) != 0
	    || queue_file_open(w->keeper->q, s->where, str_of(s->id), true, false, &f) < 0)
		return;
	p->noted |= EXPIRED;
	if (queue_order(&f, JOURNAL_EXPIRE) < 0) {
		p->noted &= ~EXPIRED;
		return;
	}
	p->ever_noted |= EXPIRED;
	p->noted_written |= EXPIRED;
	p->noted_in_log |= f.resident != NULL ? EXPIRED : 0;
	s->noted |= EXPIRED;
}

static void hand_in(struct walk *w, struct sight *s)
{
	struct promise *p = promise_of(&w->promises, str_of(s->id));
	bool in_log;

	if (p->may_be_in_maildrop || s->open == 0)
		return;
	finish_turn(w);
	in_log = queue_is_in_log(w->keeper->q, s->where, str_of(s->id));
	p->may_be_in_maildrop = true;
	p->not_for = promise_left_out(p->noted_written | p->noted_in_log);
	if (queue_requeue(w->keeper->q, s->where, str_of(s->id)) < 0)
		return;
	p->may_be_gone = p->must_be_in_maildrop = true;
	p->has_ended |= !in_log;
	p->ends_in_log |= in_log;
	keeper_forget(w->keeper, s);
}

static void hand_in_some(struct walk *w)
{
	struct sight *s = choose(w);

	if (s != NULL)
		hand_in(w, s);
}

/* ---- pickup ---- */

static void pick_up_one(struct walk *w, struct promise *p)
{
	struct sending s = { .w = w, .q = w->writers[0] };
	struct sight found;
	int r = sight_read(&w->promises, s.q, QUEUE_MAILDROP, str_of(p->id), &found, &w->why);

	if (r < 0)
		return;
	s.p = promise_add(&w->promises, p->number, p->body_len, found.open);
	send_one(&s);
	if (!s.p->is_acknowledged)
		return;
	p->must_be_in_maildrop = false;
	queue_finish(s.q, QUEUE_MAILDROP, str_of(p->id));
}

static void pick_up(struct walk *w)
{
	for (size_t i = 0; i < w->promises.count; i++)
		if (w->promises.at[i].must_be_in_maildrop && w->promises.count < MOST_PROMISES
		    && w->writers[0] != NULL)
			pick_up_one(w, &w->promises.at[i]);
}

/* ---- what else happens ---- */

static void write_back(struct walk *w)
{
	finish_turn(w);
	if (w->keeper != NULL && queue_unwritten(w->keeper->q) > 0)
		return;
	disk_settle(w->d);
	promises_settled(&w->promises);
}

static void kill_writer(struct walk *w)
{
	start_writer(w, (int) roll(&w->dice, WRITERS));
}

static void kill_keeper(struct walk *w)
{
	start_keeper(w);
	if (w->keeper != NULL && calls_failed == 0)
		promises_compare_all(&w->promises, &w->keeper->seen, &w->why);
}

static void cut_power(struct walk *w)
{
	struct disk *after = disk_after_cut(w->d, (enum survival) roll(&w->dice, 3), &w->dice);
	const struct calls_trouble trouble = calls_trouble;

	calls_trouble = (struct calls_trouble){ 0 };
	stop_all(w);
	disk_free(w->d);
	w->d = after;
	w->is_after_cut = true;
	start_all(w);
	w->is_after_cut = false;
	calls_trouble = trouble;
	promises_compare(&w->promises, &w->keeper->seen, &w->why);
	promises_begin_anew(&w->promises, &w->keeper->seen);
}

static void fill_or_empty_disk(struct walk *w)
{
	calls_trouble.is_full = w->disk_fills && !calls_trouble.is_full;
}

static const struct {
	void (*run)(struct walk *w);
	uint64_t weight;
} operations[] = {
	{ take_in, 20 }, { attempt, 30 }, { conclude, 30 }, { keep_log, 10 }, { hand_in_some, 2 }, { pick_up, 2 },
	{ write_back, 2 }, { kill_writer, 2 }, { kill_keeper, 2 }, { cut_power, 1 }, { flush_all, 1 },
	{ order, 8 }, { order_expiry, 2 }, { warn, 3 }, { fill_or_empty_disk, 5 },
};

static void do_something(struct walk *w)
{
	uint64_t sum = 0, number;
	size_t i = 0;

	if (one_in(w, 2))
		finish_turn(w);

	if (w->keeper == NULL)		/* master tries again */
		start_keeper(w);
	for (int k = 0; k < WRITERS; k++)
		if (w->writers[k] == NULL)
			start_writer(w, k);
	for (size_t k = 0; k < COUNT_OF(operations); k++)
		sum += operations[k].weight;
	for (number = roll(&w->dice, sum); number >= operations[i].weight; i++)
		number -= operations[i].weight;
	operations[i].run(w);
}

void walk_run(void *walk)
{
	struct walk *w = walk;

	start_all(w);
	for (int i = 0; i < w->length && w->why.len == 0; i++) {
		let_time_pass(1);
		do_something(w);
	}
	finish_turn(w);
	loop_stop();
}
