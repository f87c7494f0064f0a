/* SPDX-License-Identifier: ISC */
/* See walk_for_test.h. */
#include "lib/queue/walk_for_test.h"

#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/queue/orders.h"

enum { MOST_AT_ONCE = 4, LARGE = 80 << 10, MOST_TEXT = 1 << 20, A_WHILE_S = 400 };

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
static void finish_turn(void)
{
	co_pass();
	co_pass();
}

static void start_keeper(struct walk *w)
{
	if (w->keeper != NULL)
		finish_turn();
	if (w->keeper != NULL && queue_unwritten(w->keeper->q) > 0)
		promises_ledgers_synced(&w->promises, false);
	keeper_free(w->keeper);
	w->keeper = keeper_start(w->root, &w->promises, &w->why);
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

/* An attempt: each who is still to get it gets it, or not. */
static size_t outcomes_of(struct walk *w, const struct sight *s, const struct promise *p,
			  struct journal_record *records, unsigned *ret_got)
{
	size_t n = 0;
	uint32_t index = 0;

	for (unsigned i = 0; i < MOST_RECIPIENTS; i++) {
		unsigned bit = 1u << i;

		if ((s->open & bit) != 0 && !one_in(w, 4)) {
			bool gets = !one_in(w, 3);

			records[n++] = (struct journal_record){ .kind = JOURNAL_OUTCOME, .outcome = {
				.index = index, .status = gets ? OUTCOME_DELIVERED : OUTCOME_DEFERRED,
				.dsn = STR("2.0.0"), .text = STR("words"), .at_us = 5 } };
			*ret_got |= gets ? bit : 0;
		}
		index += (p->to & bit) != 0;
	}
	return n;
}

static void attempt(struct walk *w)
{
	AUTO(queue_file) f = { .fd = -1 };
	struct journal_record records[MOST_RECIPIENTS];
	struct sight *s = choose(w);
	struct promise *p = s == NULL ? NULL : promise_of(&w->promises, str_of(s->id));
	unsigned got = 0;
	size_t n;

	if (s == NULL || queue_file_open(w->keeper->q, s->where, str_of(s->id), true, false, &f) < 0)
		return;
	n = outcomes_of(w, s, p, records, &got);
	p->got |= got;
	p->ever_got |= got;
	if (journal_append(&f, records, n) == 0) {
		p->got_written |= got;
		p->got_in_log |= f.resident != NULL ? got : 0;
	}
	s->open &= ~got;
}

static void end(struct walk *w, struct sight *s)
{
	struct promise *p = promise_of(&w->promises, str_of(s->id));
	bool in_log = queue_is_in_log(w->keeper->q, s->where, str_of(s->id));

	p->may_be_gone = true;
	if (queue_finish(w->keeper->q, s->where, str_of(s->id)) < 0)
		return;
	p->has_ended = true;
	p->ends_in_log = in_log;
	keeper_forget(w->keeper, s);
}

struct leaving {
	struct queue_exit exits[MOST_AT_ONCE];
	int results[MOST_AT_ONCE];
	size_t count;
	struct queue *q;
};

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

static void carry_out(struct walk *w, struct leaving *l)
{
	if (l->count > 0)
		co_offload(write_leaving, l);
	for (size_t i = 0; i < l->count; i++) {
		struct sight *s = keeper_find(w->keeper, l->exits[i].id);

		if (queue_exit_end(&l->exits[i], l->results[i]) == 0 && s != NULL)
			s->where = l->exits[i].to;
	}
}

/* Several at once, if they are in the log. */
static void put_off(struct walk *w, struct sight *s)
{
	struct leaving l = { .q = w->keeper->q };
	enum queue_name to = one_in(w, 4) ? QUEUE_HOLD : QUEUE_DEFERRED;

	if (!queue_is_in_log(l.q, s->where, str_of(s->id))) {
		if (queue_move(l.q, s->where, to, str_of(s->id)) == 0)
			s->where = to;
		if (s->where == QUEUE_DEFERRED)
			queue_set_next_attempt(l.q, s->where, str_of(s->id), (int64_t) now_s + A_WHILE_S);
		return;
	}
	for (size_t i = 0; i < w->keeper->seen.count && l.count < MOST_AT_ONCE; i++) {
		const struct sight *other = &w->keeper->seen.at[i];

		if ((other == s || one_in(w, 3)) && queue_is_in_log(l.q, other->where, str_of(other->id))
		    && queue_exit_begin(l.q, str_of(other->id), to, &l.exits[l.count]) == 0)
			l.count++;
	}
	carry_out(w, &l);
}

static void conclude(struct walk *w)
{
	struct sight *s = choose(w);

	if (s != NULL && s->open == 0)
		end(w, s);
	else if (s != NULL)
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
	struct leaving l = { 0 };
	uint64_t failed;

	if (w->keeper == NULL)
		return;
	finish_turn();
	failed = calls_failed;
	queue_keep_intake(w->keeper->q);
	if (queue_unwritten(w->keeper->q) == 0)
		promises_ledgers_synced(&w->promises, calls_failed == failed);
	l.q = w->keeper->q;
	queue_crowding(l.q, KEEPER_SEGMENTS / 2, note_lingering, &l);
	carry_out(w, &l);
}

static void flush_all(struct walk *w)
{
	if (w->keeper != NULL)
		queue_flush_ledgers(w->keeper->q);
}

/* ---- postsuper -r, and pickup ---- */

static void hand_in(struct walk *w)
{
	struct sight *s = choose(w);
	struct promise *p = s == NULL ? NULL : promise_of(&w->promises, str_of(s->id));
	bool in_log;

	if (s == NULL || p->may_be_in_maildrop || s->open == 0)
		return;
	in_log = queue_is_in_log(w->keeper->q, s->where, str_of(s->id));
	p->may_be_in_maildrop = true;
	if (queue_requeue(w->keeper->q, s->where, str_of(s->id)) < 0)
		return;
	p->may_be_gone = p->has_ended = p->must_be_in_maildrop = true;
	p->ends_in_log = in_log;
	keeper_forget(w->keeper, s);
}

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
	finish_turn();
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
	start_all(w);
	calls_trouble = trouble;
	promises_compare(&w->promises, &w->keeper->seen, &w->why);
	promises_begin_anew(&w->promises, &w->keeper->seen);
}

static const struct {
	void (*run)(struct walk *w);
	uint64_t weight;
} operations[] = {
	{ take_in, 20 }, { attempt, 30 }, { conclude, 30 }, { keep_log, 10 }, { hand_in, 2 }, { pick_up, 2 },
	{ write_back, 2 }, { kill_writer, 2 }, { kill_keeper, 2 }, { cut_power, 1 }, { flush_all, 1 },
};

static void do_something(struct walk *w)
{
	uint64_t sum = 0, number;
	size_t i = 0;

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
	finish_turn();
	loop_stop();
}
