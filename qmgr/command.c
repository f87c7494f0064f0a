/* SPDX-License-Identifier: ISC */
/*
 * What administrators ask for: postqueue, postsuper, `postroad flush`. Takes effect at once, wherever the
 * message is: in memory, asleep, or in hold/. A message that is being delivered right now finishes that
 * delivery first.
 */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/daemon/daemon.h"
#include "lib/log/log.h"
#include "lib/queue/orders.h"
#include "qmgr/qmgr.h"

enum {
	PAUSE_EVERY = 100,
	LOOKS = 3,			/* a predecessor moves a message twice at most: out of the log, and to hold/ */
};

/* ---- on one message. 0 done, -ENOENT not there, -errno ---- */

static int delete_there(struct qmgr *q, enum queue_name where, struct str id)
{
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_open(q->queue, where, id, false, false, &f);

	if (r == -ENOENT || (r == 0 && queue_file_is_current(q->queue, &f) == -ENOENT))
		return -ENOENT;
	return queue_finish(q->queue, where, id);
}

/*
 * It may not be where it was when it went to sleep: a predecessor moved it, or moves it now, and in this
 * order. Or the walk after the start has not come to it yet.
 */
static int delete_from_disk(struct qmgr *q, struct str id)
{
	static const enum queue_name places[] = { QUEUE_INCOMING, QUEUE_DEFERRED, QUEUE_HOLD };
	int r = -ENOENT;

	for (size_t i = 0; i < COUNT_OF(places); i++) {
		int here = delete_there(q, places[i], id);

		r = here == -ENOENT || r < -ENOENT ? r : here;
	}
	return r;
}

static int delete_one(struct qmgr *q, struct str id)
{
	struct message *m = map_get(q->active, id);
	struct sleeper *sl = sleepers_find(q->sleepers, id);
	int r;

	if (m != NULL) {
		if (m->fate == GONE)
			return -ENOENT;
		r = queue_finish(q->queue, m->where, id);
		if (r < 0 && r != -ENOENT)
			return r;
		m->fate = GONE;
		drop_waiting_entries(m);
		return r;
	}
	r = delete_from_disk(q, id);
	if (sl != NULL && (r >= 0 || r == -ENOENT))
		sleepers_remove(q->sleepers, sl);
	return r;
}

/* Neither in memory nor, from now on, asleep. */
static int carry_away(struct qmgr *q, struct str id, enum queue_name from, enum fate fate)
{
	struct sleeper *sl = sleepers_find(q->sleepers, id);
	int r;

	if (sl != NULL)
		sleepers_remove(q->sleepers, sl);
	take_in_hand(q, id);
	r = fate == REQUEUED ? queue_requeue(q->queue, from, id) : queue_move(q->queue, from, QUEUE_HOLD, id);
	put_down(q, id);
	if (r < 0 && r != -ENOENT && from != QUEUE_HOLD)
		sleepers_add(q->sleepers, from, id, wall_us() + q->conf->minimal_backoff_time * 1000,
			     (uint32_t) ALL_SITES);
	return r;
}

/* For whoever has the message when this delivery ends, or loads it after a death. */
static int record_fate(struct qmgr *q, enum queue_name where, struct str id, enum fate fate)
{
	static const enum journal_kind kinds[] = {
		[STAYS] = JOURNAL_RELEASED, [HELD] = JOURNAL_HELD, [REQUEUED] = JOURNAL_REQUEUED
	};
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_open(q->queue, where, id, true, false, &f);

	return r < 0 ? r : queue_order(&f, kinds[fate]);
}

/* A predecessor still delivers it. -ENOENT: it has removed it meanwhile, or moved it without the order. */
static int leave_to_predecessor(struct qmgr *q, struct queue_file *f, enum fate fate)
{
	int r = record_fate(q, f->where, str_of(f->id), fate);

	return r >= 0 && queue_file_is_current(q->queue, f) == -ENOENT ? -ENOENT : r;
}

static int change_fate(struct message *m, enum fate fate)
{
	int r = record_fate(m->q, m->where, m->id, fate);

	if (r >= 0)
		m->fate = fate;
	return r;
}

static int set_aside_on_disk(struct qmgr *q, struct str id, enum fate fate)
{
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_find(q->queue, id, false, &f);

	if (r < 0)
		return r == -ENODATA || r == -ENOTSUP ? -ENOENT : r;	/* no message, or none of ours */
	if (f.where != QUEUE_INCOMING && f.where != QUEUE_DEFERRED
	    && (f.where != QUEUE_HOLD || fate != REQUEUED))
		return -ENOENT;
	if (queue_file_is_locked(&f) > 0)
		return leave_to_predecessor(q, &f, fate);
	return carry_away(q, id, f.where, fate);
}

static int set_aside(struct qmgr *q, struct str id, enum fate fate)
{
	struct message *m = map_get(q->active, id);
	int r = -ENOENT;

	if (m != NULL) {
		if (m->fate == GONE)
			return -ENOENT;
		r = change_fate(m, fate);
		if (r >= 0)
			drop_waiting_entries(m);
		return r;
	}
	for (int look = 0; look < LOOKS && r == -ENOENT; look++)
		r = set_aside_on_disk(q, id, fate);
	return r;
}

static int hold_one(struct qmgr *q, struct str id)
{
	return set_aside(q, id, HELD);
}

static int requeue_one(struct qmgr *q, struct str id)
{
	return set_aside(q, id, REQUEUED);
}

static int release_one(struct qmgr *q, struct str id)
{
	struct message *m = map_get(q->active, id);
	int r;

	if (m != NULL && m->fate == HELD) {	/* was not held yet */
		r = change_fate(m, STAYS);
		/* who was dropped from the line need not wait for the next attempt's time */
		m->flushed |= r >= 0;
		return r;
	}
	if (m != NULL)
		return -ENOENT;			/* what lies in hold/ is half of a move that began before */
	r = queue_release(q->queue, id);
	if (r == 0)
		sleepers_add(q->sleepers, QUEUE_DEFERRED, id, wall_us(), (uint32_t) ALL_SITES);
	return r;
}

/* Out of the intake log: it is as good as deferred. */
static bool is_on_its_way_to_deferred(const struct message *m)
{
	return !list_is_empty(&m->link) && m->leaves == TO_DEFERRED;
}

static int expire_one(struct qmgr *q, struct str id)
{
	struct message *m = map_get(q->active, id);
	struct sleeper *sl = sleepers_find(q->sleepers, id);
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_find(q->queue, id, true, &f);

	if (r >= 0)
		r = queue_order(&f, JOURNAL_EXPIRE);
	if (r < 0)
		return r;
	if (m != NULL) {
		m->force_expire = true;
		m->flushed |= is_on_its_way_to_deferred(m);
	}
	if (sl != NULL) {
		queue_set_next_attempt(q->queue, (enum queue_name) sl->where, id, wall_s());
		sleepers_set_due(q->sleepers, sl, wall_us());
	}
	return 0;
}

static int flush_one(struct qmgr *q, struct str id)
{
	struct sleeper *sl = sleepers_find(q->sleepers, id);
	struct message *m = sl == NULL ? map_get(q->active, id) : NULL;

	if (m != NULL)
		m->flushed |= is_on_its_way_to_deferred(m);
	if (sl == NULL)
		return m != NULL ? 0 : -ENOENT;
	sleepers_set_due(q->sleepers, sl, wall_us());
	sl->insist = true;
	return 0;
}

/* ---- which messages ---- */

enum where { IN_MEMORY = 1, ASLEEP = 2, IN_HOLD = 4 };

static int add_id(void *arg, struct str id, int64_t mtime_s)
{
	(void) mtime_s;
	return buf_addf(arg, "%.*s\n", PSTR(id));
}

static void add_sleeper(void *arg, struct sleeper *sl)
{
	buf_addf(arg, "%s\n", sl->id);
}

static void collect_ids(struct qmgr *q, unsigned where, struct buf *ids)
{
	struct map_at at = { 0 };

	if (where & IN_MEMORY)
		while (map_next(q->active, &at))
			buf_addf(ids, "%.*s\n", PSTR(at.key));
	if (where & ASLEEP)
		sleepers_each(q->sleepers, add_sleeper, ids);
	if (where & IN_HOLD)
		queue_scan(q->queue, QUEUE_HOLD, add_id, ids);
}

/* ---- commands ---- */

struct command {
	const char *name;
	unsigned all;				/* what an empty argument means */
	bool for_everybody;			/* whom authorized_flush_users names */
	int (*one)(struct qmgr *q, struct str id);
	void (*run)(struct qmgr *q, struct str argument, struct qmgr_command_reply *rep,
		    struct buf *text) MAY_YIELD;
};

static void run_on_each(struct qmgr *q, const struct command *c, struct str argument,
			struct qmgr_command_reply *rep, struct buf *text)
{
	AUTO(buf) ids = BUF((size_t) 256 << 20);
	struct str rest, id;
	int seen = 0;

	if (!c->for_everybody)
		intake_put_to_sleep(q);
	if (str_trim(argument).len == 0)
		collect_ids(q, c->all, &ids);
	else
		buf_add(&ids, argument);
	rest = buf_str(&ids);
	while (str_token(&rest, "\n", &id)) {
		int r = queue_id_is_valid(id) ? wait_until_put_down(q, id) : -EINVAL;

		if (q->leaving) {
			/* our successor may have it, and it would see to it that this is done twice, or undone */
			rep->code = EAGAIN;
			log_warning("%s: not for all, as another queue manager takes over", c->name);
			break;
		}
		if (r >= 0)
			r = c->one(q, id);
		if (r >= 0) {
			rep->count++;
			buf_addf(text, "%.*s\n", PSTR(id));
		} else if (r != -ENOENT) {
			rep->code = (uint64_t) -r;
			log_mail(ROAD_WARNING, id, "%s: %s", c->name, error_text(r));
		}
		if (++seen % PAUSE_EVERY == 0)
			co_pass();
	}
	intake_wake(q);
}

static bool goes_to(const struct message *m, struct str site)
{
	for (uint32_t i = 0; i < m->env.recipient_count; i++) {
		struct str address = m->env.recipients[i].address;

		if (recipient_is_open(m, i)
		    && str_is_nocase(str_skip(address, (size_t) (str_find_last(address, '@') + 1)), site))
			return true;
	}
	return false;
}

/* site NULL: wherever they go. Returns how many. */
static unsigned flush_leaving(struct list *messages, const struct str *site)
{
	unsigned n = 0;

	LIST_EACH(m, messages, struct message, link)
		if (is_on_its_way_to_deferred(m) && (site == NULL || goes_to(m, *site))) {
			m->flushed = true;
			n++;
		}
	return n;
}

/* Everything at once, and all that is dead gets another chance. */
static void run_flush(struct qmgr *q, struct str argument, struct qmgr_command_reply *rep, struct buf *text)
{
	AUTO(buf) ids = BUF((size_t) 256 << 20);
	struct str rest, id;

	(void) argument;
	(void) text;
	schedule_revive_all(q->schedule);
	sleepers_each(q->sleepers, add_sleeper, &ids);
	flush_leaving(&q->leaving_messages, NULL);
	flush_leaving(&q->departing, NULL);
	rest = buf_str(&ids);
	while (str_token(&rest, "\n", &id))
		rep->count += flush_one(q, id) == 0;
	q->look_soon = true;
	bell_ring(&q->look);
	intake_wake(q);
	dispatch_soon(q);
}

struct site_search { uint32_t bit; struct buf *ids; };

static void collect_if_possible(void *arg, struct sleeper *sl)
{
	struct site_search *s = arg;

	if (sl->sites & s->bit)
		buf_addf(s->ids, "%s\n", sl->id);
}

/* The signature of a sleeper says which may go there; its file says whether it does. */
static void run_flush_site(struct qmgr *q, struct str argument, struct qmgr_command_reply *rep,
			   struct buf *text)
{
	AUTO(buf) ids = BUF((size_t) 256 << 20);
	struct str site = str_trim(argument), rest, id;
	struct site_search search = { site_bit(site), &ids };
	int seen = 0;

	if (gate_enter(&q->search_gate, NEVER) < 0)
		return;
	sleepers_each(q->sleepers, collect_if_possible, &search);
	rep->count += flush_leaving(&q->leaving_messages, &site) + flush_leaving(&q->departing, &site);
	rest = buf_str(&ids);
	while (str_token(&rest, "\n", &id)) {
		struct sleeper *sl = sleepers_find(q->sleepers, id);
		struct message *m;

		if (sl != NULL && message_load(q, (enum queue_name) sl->where, id, &m) >= 0) {
			sl->sites = message_sites(m);
			if (goes_to(m, site) && flush_one(q, id) == 0) {
				rep->count++;
				buf_addf(text, "%.*s\n", PSTR(id));
			}
			message_free(m);
		}
		if (++seen % PAUSE_EVERY == 0)
			co_pass();
	}
	gate_leave(&q->search_gate);
	intake_wake(q);
}

static void run_active(struct qmgr *q, struct str argument, struct qmgr_command_reply *rep, struct buf *text)
{
	(void) argument;
	collect_ids(q, IN_MEMORY, text);
	rep->count = map_count(q->active);
}

static const struct command commands[] = {
	{ .name = "flush", .for_everybody = true, .run = run_flush },
	{ .name = "flush_id", .for_everybody = true, .one = flush_one },
	{ .name = "flush_site", .for_everybody = true, .run = run_flush_site },
	{ .name = "delete", .all = IN_MEMORY | ASLEEP | IN_HOLD, .one = delete_one },
	{ .name = "hold", .all = IN_MEMORY | ASLEEP, .one = hold_one },
	{ .name = "release", .all = IN_HOLD, .one = release_one },
	{ .name = "requeue", .all = IN_MEMORY | ASLEEP | IN_HOLD, .one = requeue_one },
	{ .name = "expire", .all = IN_MEMORY | ASLEEP | IN_HOLD, .one = expire_one },
	{ .name = "active", .run = run_active },
};

/* ---- who may ---- */

/* authorized_flush_users: names and tables, "!" negates, static:anyone is everybody. */
static bool may_flush(const struct visitor *v, struct arena *a)
{
	struct qmgr *q = v->q;
	struct account account;

	if (v->is_trusted || strcmp(q->conf->authorized_flush_users, "static:anyone") == 0)
		return true;
	return account_by_uid(a, v->uid, &account) > 0 && match_domain(q->flushers, a, account.name) > 0;
}

static const struct command *find_command(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		if (str_is(name, str_of(commands[i].name)))
			return &commands[i];
	return NULL;
}

static void carry_out(const struct visitor *v, struct arena *a, const struct qmgr_command *m,
		      struct qmgr_command_reply *rep, struct buf *text)
{
	const struct command *c = find_command(m->command);

	if (c == NULL) {
		rep->code = EINVAL;
		buf_addf(text, "unknown command");
	} else if (!v->is_trusted && !(c->for_everybody && may_flush(v, a))) {
		rep->code = EPERM;
		buf_addf(text, "not permitted");
		log_warning("%s refused to uid %u", c->name, (unsigned) v->uid);
	} else if (c->run != NULL) {
		c->run(v->q, m->argument, rep, text);
	} else {
		run_on_each(v->q, c, m->argument, rep, text);
	}
}

void serve_command(struct server_call *call)
{
	struct visitor *v = call->state;
	struct qmgr_command_reply rep = { 0 };
	AUTO(buf) text = BUF(FRAME_LIMIT - 4096);
	AUTO(buf) why = BUF_WORDS;
	struct qmgr_command m;

	if (get_qmgr_command(call->frame, &m, &why) < 0) {
		log_warning("malformed command: %s", buf_text(&why));
		rep.code = EBADMSG;
	} else {
		carry_out(v, call->arena, &m, &rep, &text);
	}
	rep.text = buf_str(&text);
	REPLY(call, qmgr_command_reply, &rep);
}
