/* SPDX-License-Identifier: ISC */
/*
 * Random walks: people give orders, several at a time, for messages that arrive, are delivered, leave the
 * intake log, are requeued, removed, or still delivered by a predecessor meanwhile. At the end everybody who
 * was not deleted or returned has got his message once, or is in the copy that was handed in again; what was
 * held is in hold/, and nothing lies where nobody looks.
 *
 *   walk_test [SEED WALKS STEPS]
 */
#include "qmgr/scene.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/clock.h"

enum { MOST_MAILS = 12, MOST_RCPTS = 3, MOST_LOCKS = 2 };

static uint64_t dice;
static int steps = 100;

static unsigned throw(unsigned sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (unsigned) (dice >> 20) % sides;
}

/* Ours instead of the C library's: on a pool thread a sync takes as long as the walk likes. */
int fsync(int fd)
{
	while (disk_is_held_up && gettid() != getpid())
		usleep(500);
	return (int) syscall(SYS_fsync, fd);
}

static const char *const names[] = { "hold", "release", "requeue", "delete", "expire", "flush_id" };
enum { HOLD, RELEASE, REQUEUE, DELETE, EXPIRE, FLUSH, NONE };

struct mail {
	char id[32];
	char to[MOST_RCPTS][32];
	int count;
	int orders_under_way;
	bool is_deleted, is_expired, is_unclear;	/* unclear: orders crossed each other */
	unsigned last;			/* HOLD, RELEASE or REQUEUE: where it shall lie; else none of them */
};

struct walk {
	struct scene *s;
	struct mail mails[MOST_MAILS];
	int count, orders, favourite;	/* things get difficult when many orders are for one mail */
	struct queue *predecessor;
	struct queue_lock locks[MOST_LOCKS];
	int locked[MOST_LOCKS];		/* which mail; -1: none */
};

/* ---- orders ---- */

struct order {
	struct walk *w;
	unsigned what;
	int mail;			/* -1: all */
};

static uint64_t command(struct scene *s, const char *name, const char *argument, struct buf *ret_ids)
{
	struct qmgr_command m = { .command = str_of(name), .argument = str_of(argument) };
	struct qmgr_command_reply rep;
	struct visitor v = { &s->q, geteuid(), true };
	struct frame f, reply;
	struct server_call call = { .frame = &f, .state = &v };
	struct channel *ours;
	struct frame_out out;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ours = channel_new(pair[0]);
	call.ch = channel_new(pair[1]);
	assert_true(put_qmgr_command(channel_buf(ours), 7, &m, &out) >= 0);
	assert_int_equal(channel_send(ours, &out), 0);
	assert_int_equal(channel_receive(call.ch, &f, in(5000)), 1);
	call.arena = arena_new("call", NULL, 1 << 20);
	serve_command(&call);
	arena_free(call.arena);
	assert_int_equal(channel_receive(ours, &reply, in(5000)), 1);
	assert_true(get_qmgr_command_reply(&reply, &rep, NULL) >= 0);
	buf_add(ret_ids, rep.text);
	channel_free(ours);
	channel_free(call.ch);
	return rep.code;
}

static void note_order(struct mail *m, unsigned what)
{
	m->is_deleted |= what == DELETE;
	m->is_expired |= what == EXPIRE;
	if (what == HOLD || what == RELEASE || what == REQUEUE)
		m->last = what;
}

static void carry_out(void *arg)
{
	struct order *o = arg;
	struct walk *w = o->w;
	AUTO(buf) done = BUF(1 << 16);
	uint64_t code;

	for (int i = 0; i < w->count; i++)
		if (o->mail < 0 || o->mail == i) {
			w->mails[i].is_unclear |= w->mails[i].orders_under_way > 0;
			w->mails[i].orders_under_way++;
		}
	code = command(w->s, names[o->what], o->mail < 0 ? "" : w->mails[o->mail].id, &done);
	if (code != 0)
		fail_msg("%s: %llu", names[o->what], (unsigned long long) code);
	for (int i = 0; i < w->count; i++) {
		if (o->mail < 0 || o->mail == i)
			w->mails[i].orders_under_way--;
		if (str_find_str(buf_str(&done), str_of(w->mails[i].id)) >= 0)
			note_order(&w->mails[i], o->what);
	}
	w->orders--;
	free(o);
}

static int choose_mail(struct walk *w)
{
	if (throw(8) == 0 || w->favourite >= w->count)
		w->favourite = (int) throw((unsigned) w->count);
	return throw(3) == 0 ? (int) throw((unsigned) w->count) : w->favourite;
}

static void give_order(struct walk *w)
{
	struct order *o = calloc(1, sizeof(*o));

	*o = (struct order){ w, throw(8) == 0 ? FLUSH : throw(EXPIRE + 1), choose_mail(w) };
	if (throw(3) > 0 && (o->what == DELETE || o->what == EXPIRE))
		o->what = throw(2) == 0 ? HOLD : RELEASE;
	if (throw(15) == 0 && (o->what == HOLD || o->what == RELEASE))
		o->mail = -1;
	w->orders++;
	assert_int_equal(scope_start(w->s->players, "order", carry_out, o), 0);
}

/* ---- what happens meanwhile ---- */

static void announce_one(struct walk *w)
{
	static const char *const words[] = { "ok", "hang", "defer", "hang", "defer" };
	struct mail *m = &w->mails[w->count];
	AUTO(buf) to = BUF(1000);

	if (w->count == MOST_MAILS)
		return;
	m->count = 1 + (int) throw(MOST_RCPTS);
	m->last = NONE;
	for (int i = 0; i < m->count; i++) {
		snprintf(m->to[i], sizeof(m->to[i]), "%s.%d.%d@%c", words[throw(5)], w->count, i,
			 'w' + (int) throw(4));
		buf_addf(&to, "%s%s", i == 0 ? "" : " ", m->to[i]);
	}
	disk_is_held_up = false;		/* of its own file */
	announce(w->s, m->id, buf_text(&to));
	w->count++;
}

static void release_those_who_hang(struct scene *s)
{
	s->hanging_released = true;
	bell_ring(&s->release);
	for (unsigned i = throw(20); i > 0; i--)
		co_pass();
	s->hanging_released = false;
}

static void wake_one(struct walk *w)
{
	struct sleeper *sl = sleepers_find(w->s->q.sleepers, str_of(w->mails[choose_mail(w)].id));

	if (sl == NULL)
		return;
	if (sl->where == QUEUE_DEFERRED)
		queue_set_next_attempt(w->s->q.queue, QUEUE_DEFERRED, str_of(sl->id), wall_s());
	sleepers_set_due(w->s->q.sleepers, sl, wall_us());
	intake_wake(&w->s->q);
}

/* As one that still delivers it: only what this one does not work on. */
static void lock_or_unlock(struct walk *w)
{
	const unsigned i = throw(MOST_LOCKS);
	const int which = choose_mail(w);
	const struct sleeper *sl = sleepers_find(w->s->q.sleepers, str_of(w->mails[which].id));

	if (w->locked[i] >= 0) {
		queue_unlock(w->predecessor, str_of(w->mails[w->locked[i]].id), &w->locks[i]);
		w->locked[i] = -1;
	} else if (sl != NULL && sl->where == QUEUE_DEFERRED
		   && queue_lock(w->predecessor, QUEUE_DEFERRED, str_of(sl->id), &w->locks[i]) == 0) {
		w->locked[i] = which;
	}
}

static void pass_time(void)
{
	for (unsigned i = throw(6); i > 0; i--)
		co_pass();
	if (throw(4) == 0)
		co_sleep(in(throw(3)));
}

static void step(struct walk *w)
{
	switch (throw(12)) {
	case 0: case 1:
		announce_one(w);
		break;
	case 2:
		release_those_who_hang(w->s);
		break;
	case 3:
		disk_is_held_up = !disk_is_held_up;
		break;
	case 4: case 5:
		wake_one(w);
		break;
	case 6:
		lock_or_unlock(w);
		break;
	case 7:
		if (throw(3) > 0)
			scan_deferred_in_background(&w->s->q);
		else if (throw(2) == 0)
			scan_incoming(&w->s->q, INT64_MAX);
		break;
	default:
		give_order(w);
	}
	pass_time();
}

/* ---- the end ---- */

static bool is_anyone_due(const struct qmgr *q)
{
	const struct sleeper *fresh = sleepers_first(q->sleepers, QUEUE_INCOMING, true),
			     *retry = sleepers_first(q->sleepers, QUEUE_DEFERRED, true);

	return (fresh != NULL && fresh->due.key <= wall_us()) || (retry != NULL && retry->due.key <= wall_us());
}

/* Nothing is under way any more; the scene's settle() waits to see whether something happens. */
static void come_to_an_end(struct qmgr *q)
{
	while (q->under_way > 0 || q->arrival_count > 0 || map_count(q->active) > 0 || map_count(q->in_hand) > 0
	       || is_anyone_due(q))
		co_sleep(in(1));
}

static void come_to_rest(struct walk *w)
{
	struct scene *s = w->s;

	disk_is_held_up = false;
	s->hanging_released = true;
	bell_ring(&s->release);
	while (w->orders > 0)
		co_sleep(in(1));
	for (int i = 0; i < MOST_LOCKS; i++)
		if (w->locked[i] >= 0)
			queue_unlock(w->predecessor, str_of(w->mails[w->locked[i]].id), &w->locks[i]);
	come_to_an_end(&s->q);
}

static void add_sleeper(void *arg, struct sleeper *sl)
{
	buf_addf(arg, "%s\n", sl->id);
}

static void wake_all(struct walk *w)
{
	AUTO(buf) ids = BUF(1 << 16);
	struct str rest, id;

	sleepers_each(w->s->q.sleepers, add_sleeper, &ids);
	rest = buf_str(&ids);
	while (str_token(&rest, "\n", &id)) {
		struct sleeper *sl = sleepers_find(w->s->q.sleepers, id);

		queue_set_next_attempt(w->s->q.queue, (enum queue_name) sl->where, id, wall_s());
		sleepers_set_due(w->s->q.sleepers, sl, wall_us());
		sl->insist = true;
	}
	intake_wake(&w->s->q);
	come_to_an_end(&w->s->q);
}

static int times_received(const struct scene *s, const char *address)
{
	struct str rest = buf_str((struct buf *) (uintptr_t) &s->received), one;
	int n = 0;

	while (str_token(&rest, ";", &one))
		n += str_is(one, str_of(address));
	return n;
}

static bool is_handed_in_again(struct scene *s, const struct mail *m, int recipient)
{
	AUTO(queue_file) f = { .fd = -1 };
	struct arena *a = arena_new("envelope", NULL, 1 << 20);
	struct envelope e;
	bool found = false;

	if (queue_file_open(s->q.queue, QUEUE_MAILDROP, str_of(m->id), false, true, &f) == 0
	    && queue_file_envelope(&f, a, &e) == 0)
		for (size_t i = 0; i < e.recipient_count; i++)
			found |= str_is(e.recipients[i].address, str_of(m->to[recipient]));
	arena_free(a);
	return found;
}

/* Whatever is ordered has been done, and what is not known is not there. */
static void check_places(struct walk *w)
{
	for (int i = 0; i < w->count; i++) {
		const struct mail *m = &w->mails[i];
		const bool is_asleep = sleepers_find(w->s->q.sleepers, str_of(m->id)) != NULL;
		const bool waits = lies_in(w->s, QUEUE_INCOMING, m->id) || lies_in(w->s, QUEUE_DEFERRED, m->id);

		if (waits != is_asleep)
			fail_msg("%s (%d) is %s", m->id, i, waits ? "where nobody looks" : "expected where it is not");
		if (m->is_deleted && lies_anywhere(w->s, m->id))
			fail_msg("%s (%d) was deleted and is there", m->id, i);
		if (m->is_unclear || m->is_deleted || m->is_expired)
			continue;
		if (m->last == RELEASE && lies_in(w->s, QUEUE_HOLD, m->id))
			fail_msg("%s (%d) was released and is in hold/", m->id, i);
		if ((m->last == HOLD || m->last == REQUEUE) && waits)
			fail_msg("%s (%d): %s has not been carried out", m->id, i, names[m->last]);
		if (m->last == REQUEUE && lies_in(w->s, QUEUE_HOLD, m->id))
			fail_msg("%s (%d) was requeued and is in hold/", m->id, i);
	}
}

static void check_recipients(struct walk *w)
{
	for (int i = 0; i < w->count; i++)
		for (int r = 0; r < w->mails[i].count; r++) {
			const struct mail *m = &w->mails[i];
			const int n = times_received(w->s, m->to[r]) + is_handed_in_again(w->s, m, r);

			if (n > 1)
				fail_msg("%s (%d): %s has got it %d times", m->id, i, m->to[r], n);
			if (n == 0 && !m->is_deleted && !m->is_expired)
				fail_msg("%s (%d): %s has not got it", m->id, i, m->to[r]);
		}
}

static void forget_orders(struct walk *w)
{
	for (int i = 0; i < w->count; i++)
		w->mails[i].last = NONE;
}

static void play_walk(struct scene *s)
{
	struct walk w = { .s = s, .locked = { -1, -1 } };
	AUTO(buf) ids = BUF(1 << 16);

	if (throw(3) > 0)
		use_log(s);
	assert_int_equal(queue_open(s->dir, 1, (1u << QUEUE_COUNT) - 1, &w.predecessor, NULL), 0);
	announce_one(&w);
	for (int i = 0; i < steps; i++)
		step(&w);
	come_to_rest(&w);
	wake_all(&w);			/* orders that wait for a predecessor */
	check_places(&w);
	forget_orders(&w);
	s->all_is_well = true;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(command(s, "release", "", &ids), 0);
		assert_int_equal(command(s, "flush", "", &ids), 0);
		wake_all(&w);
	}
	check_places(&w);
	check_recipients(&w);
	assert_int_equal(map_count(s->q.active), 0);
	assert_int_equal(map_count(s->q.in_hand), 0);
	queue_close(w.predecessor);
}

static void walk(uint64_t seed)
{
	void *scene;

	fprintf(stderr, "seed %llu\n", (unsigned long long) seed);
	dice = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	throw(2);
	assert_int_equal(scene_begin(&scene), 0);
	play(&scene, play_walk);
	assert_int_equal(scene_end(&scene), 0);
}

static uint64_t first_seed = 1, walks = 30;

static void whatever_is_ordered_at_any_stage_nobody_is_forgotten_and_nobody_gets_it_twice(void **state)
{
	(void) state;
	for (uint64_t i = 0; i < walks; i++)
		walk(first_seed + i);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_is_ordered_at_any_stage_nobody_is_forgotten_and_nobody_gets_it_twice),
	};

	if (argc > 3) {
		first_seed = strtoull(argv[1], NULL, 10);
		walks = strtoull(argv[2], NULL, 10);
		steps = (int) strtol(argv[3], NULL, 10);
	}
	return cmocka_run_group_tests_name("qmgr walk", tests, NULL, NULL);
}
