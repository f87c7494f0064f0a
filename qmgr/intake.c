/* SPDX-License-Identifier: ISC */
/*
 * Messages come into memory: announced by cleanup with their envelope, or loaded from disk when they are due.
 * Their recipients are resolved (which may wait for a table server) and handed to the scheduler.
 *
 * Workers are coroutines that take one message after the other; usually one is started per batch of
 * announcements and never waits. Only when all of them are stuck in the middle of a message does another one
 * start.
 */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/log/log.h"
#include "lib/mail/mail_address.h"
#include "qmgr/qmgr.h"

enum { MOST_WORKERS = 20, BATCH = 16, TRY_AGAIN_S = 60, CHECKED_AT_ONCE = 64 << 10 };

/* ---- one message: from recipients to jobs ---- */

struct path {				/* where a recipient goes */
	struct str transport, nexthop, key;
};

static struct path retry_path(struct arena *a, const char *dsn, const char *why)
{
	struct str nexthop = arena_fmt(a, "%s %s", dsn, why);

	return (struct path){ STR("retry"), nexthop, nexthop };
}

/* Where one recipient at a time is delivered, a destination is the recipient, whatever its extension. */
static struct str recipient_key(struct qmgr *q, struct arena *a, const struct resolution *res)
{
	struct str local, domain, user, extension;

	if (!address_split(res->recipient, &local, &domain))
		local = res->recipient;
	if (!local_part_split(local, str_of(q->common->recipient_delimiter), &user, &extension))
		user = local;
	return arena_fmt(a, "%.*s@%.*s", PSTR(user), PSTR(res->nexthop));
}

/*
 * A notification to postmaster about an undeliverable notification ends here, or it would go round for ever.
 */
static bool is_double_bounce(const struct qmgr *q, const struct resolution *res)
{
	struct str local, domain;

	return res->class == CLASS_LOCAL && address_split(res->recipient, &local, &domain)
	       && str_is_nocase(local, q->double_bounce_sender);
}

/*
 * content_filter or a FILTER action, "transport:nexthop": gets the address as it is. What becomes
 * of it is asked when the filter has handed the mail back. Not for sendmail -bv: it asks just that.
 */
static struct path filter_path(const struct message *m, struct arena *a, struct str recipient)
{
	struct str rest = m->env.filter_transport;
	struct path p;

	str_cut(&rest, ':', &p.transport);
	if (rest.len == 0)
		rest = str_of(m->q->conf->default_filter_nexthop);
	if (rest.len == 0)
		rest = str_skip(recipient, (size_t) (str_find_last(recipient, '@') + 1));
	p.nexthop = p.key = arena_copy(a, rest);
	return p;
}

static struct path resolve_path(struct message *m, struct recipient *r, struct arena *a)
{
	struct qmgr *q = m->q;
	struct resolution res;

	if (resolve_address(q->route, a, m->env.sender, r->address, &res) < 0) {
		log_mail(ROAD_WARNING, m->id, "cannot resolve <%.*s>: %s", PSTR(r->address),
			 route_why(q->route));
		return retry_path(a, "4.3.0", "address resolver failure");
	}
	if (is_double_bounce(q, &res))
		return (struct path){ STR("discard"),
				      STR("2.0.0 undeliverable postmaster notification discarded"),
				      STR("double bounce") };
	if (res.recipient.len > 0 && !str_is(res.recipient, r->address)) {
		if (r->original.len == 0)
			r->original = r->address;
		r->address = arena_copy(m->arena, res.recipient);
	}
	return (struct path){ res.transport, res.nexthop, res.nexthop };
}

enum { MOST_TRANSPORT = 128, MOST_NEXTHOP = 1024 };	/* of a deliver_request */

/*
 * A table may say more than a request holds, and an agent that gets such a request ends the
 * connection, with all others' mail on it. Where the next hop is a text to be told, its beginning
 * will do.
 */
static struct path made_to_fit(const struct message *m, struct arena *a, struct path p)
{
	if (str_is(p.transport, STR("error")) || str_is(p.transport, STR("retry")))
		p.nexthop = p.key = str_head(p.nexthop, MOST_NEXTHOP);
	if (p.transport.len <= MOST_TRANSPORT && p.nexthop.len <= MOST_NEXTHOP)
		return p;
	log_mail(ROAD_WARNING, m->id, "too long for a transport and next hop: %.*s:%.*s",
		 PSTR(str_head(p.transport, 100)), PSTR(str_head(p.nexthop, 100)));
	return retry_path(a, "4.3.5", "mail system configuration error");
}

static struct path choose_path(struct message *m, uint32_t position, struct arena *a)
{
	struct recipient *r = &m->env.recipients[position];
	const bool is_filtered = m->env.filter_transport.len > 0 && !is_only_verified(m);
	struct path p = made_to_fit(m, a, is_filtered ? filter_path(m, a, r->address) : resolve_path(m, r, a));

	if (!m->insist && str_lists(str_of(m->q->conf->defer_transports), p.transport))
		return retry_path(a, "4.3.2", "deferred transport");
	return p;
}

/* The transport, or the retry service in its place while it is dead; likewise the destination. */
static struct destination *find_destination(struct qmgr *q, struct arena *a, struct path *p,
					    const struct message *m, uint32_t position)
{
	struct transport *t = schedule_transport(q->schedule, p->transport);
	struct destination *d;

	if (t->standing == DEAD && m->insist)
		transport_revive(t);
	if (t->standing == DEAD && !str_is(p->transport, STR("retry"))) {
		*p = retry_path(a, "4.3.0", "mail transport unavailable");
		t = schedule_transport(q->schedule, p->transport);
	}
	if (t->rules.recipient_limit == 1 && m->env.recipient_count > 0)
		p->key = recipient_key(q, a,
				       &(struct resolution){ .recipient = m->env.recipients[position].address,
							     .nexthop = p->nexthop });
	/* Example.COM is no second destination */
	d = schedule_destination(t, arena_lower(a, p->key), p->nexthop, mono_ms());
	if (d->standing == DEAD && m->insist)
		destination_revive(d);
	if (d->standing != DEAD)
		return d;
	*p = (struct path){ .transport = STR("retry") };
	p->nexthop = p->key = arena_copy(a, str_of(d->reason));
	return schedule_destination(schedule_transport(q->schedule, p->transport), p->key,
				    p->nexthop, mono_ms());
}

/* Those that are being filled are the newest; what is deferred later, entry by entry, goes into one. */
static struct job *job_of(struct message *m, struct transport *t)
{
	struct job *j;

	for (struct list *at = m->jobs.prev; at != &m->jobs; at = at->prev) {
		j = LIST_ENTRY(at, struct job, in_owner);
		if (j->transport == t && job_reopen(j))
			return j;
		if (!j->is_open)
			break;
	}
	j = job_open(t, m, &m->jobs, m->is_retry ? RETRY : NEW_MAIL, mono_ms());
	j->one_at_a_time = m->env.verp.len > 0;
	return j;
}

static void close_jobs(struct message *m)
{
	for (struct list *at = m->jobs.prev; at != &m->jobs;) {
		struct job *j = LIST_ENTRY(at, struct job, in_owner);

		at = at->prev;
		if (!j->is_open)
			break;
		job_close(j);
	}
}

static void assign_one(struct message *m, struct destination *d, uint32_t position)
{
	struct job *j = job_of(m, d->transport);
	uint32_t before = j->entries;

	job_add(j, d, position);
	m->to_do += j->entries - before;
}

/*
 * First all are resolved, which may wait; then all are assigned at once, so that those of one destination
 * come together.
 */
static void assign(struct message *m)
{
	struct qmgr *q = m->q;
	struct arena *a = arena_new("resolving", NULL, (size_t) 1 << 30);
	struct path *paths = arena_get(a, m->env.recipient_count * sizeof(*paths));

	for (uint32_t i = 0; i < m->env.recipient_count; i++)
		if (recipient_is_open(m, i) && m->fate == STAYS)
			paths[i] = choose_path(m, i, a);
	for (uint32_t i = 0; i < m->env.recipient_count && m->fate == STAYS; i++)
		if (recipient_is_open(m, i))
			assign_one(m, find_destination(q, a, &paths[i], m, i), i);
	close_jobs(m);
	arena_free(a);
}

void assign_retry(struct message *m, const uint32_t *positions, size_t n, struct str why)
{
	struct transport *t = schedule_transport(m->q->schedule, STR("retry"));
	struct destination *d = schedule_destination(t, why, why, mono_ms());

	for (size_t i = 0; i < n; i++)
		assign_one(m, d, positions[i]);
	close_jobs(m);
}

/* What the journal says is noted; who is not in it has not been tried. */
static void give_up(struct message *m)
{
	for (uint32_t i = 0; i < m->env.recipient_count; i++) {
		if (!recipient_is_open(m, i) || m->states[i].is_noted)
			continue;
		m->states[i].status = OUTCOME_DEFERRED;
		note_outcome(m, &m->deferrals,
			     &(struct outcome){ .index = m->env.recipients[i].index,
						.status = OUTCOME_DEFERRED,
						.dsn = STR("4.7.0"),
						.relay = STR("none"),
						.text = STR("message is administratively expired"),
						.at_us = wall_us() });
	}
}

/* ---- taking in ---- */

bool is_known(const struct qmgr *q, struct str id)
{
	return map_get(q->active, id) != NULL || sleepers_find(q->sleepers, id) != NULL || is_in_hand(q, id);
}

static void log_active(const struct message *m)
{
	AUTO(buf) sender = BUF(4096);

	address_quote_822(&sender, m->env.sender);
	log_mail(ROAD_INFO, m->id, "from=<%s>, size=%llu, nrcpt=%zu (queue active)", buf_text(&sender),
		 (unsigned long long) m->parts.size, m->env.recipient_count);
}

static void activate(struct message *m)
{
	struct qmgr *q = m->q;
	bool goes_on;

	FAILPOINT("qmgr.activate");
	BUG_UNLESS(map_put(q->active, m->id, m) == NULL);
	q->active_recipients += is_crowd(q, m->env.recipient_count) ? m->env.recipient_count : 0;
	q->active_retries += m->is_retry;
	m->active_us = wall_us();
	m->to_do = 1;
	log_active(m);
	if (is_returned_untried(m))
		give_up(m);
	else
		assign(m);
	goes_on = m->to_do > 1;
	entries_done(m, 1);
	if (goes_on && q->leaving)
		let_go_if_idle(m);	/* of it nothing begins here any more */
	dispatch_soon(q);
}

static bool has_room(const struct qmgr *q)
{
	return map_count(q->active) < (size_t) q->conf->qmgr_message_active_limit;
}

/* Mailing lists wait for one another; they hold up nobody else, however long it takes to serve them. */
static bool has_room_for_crowds(const struct qmgr *q)
{
	return q->active_recipients < (size_t) q->conf->qmgr_message_recipient_limit;
}

static bool has_room_for(const struct message *m)
{
	return has_room(m->q) && (!is_crowd(m->q, m->env.recipient_count) || has_room_for_crowds(m->q));
}

static bool has_room_for_retries(const struct qmgr *q)
{
	size_t limit = (size_t) q->conf->qmgr_message_active_limit;

	return has_room(q) && q->active_retries < MAX(limit - limit / 5, (size_t) 1);
}

static struct sleeper *due_in(const struct qmgr *q, enum queue_name where)
{
	struct sleeper *sl = sleepers_first(q->sleepers, where, has_room_for_crowds(q));

	return sl != NULL && sl->due.key <= wall_us() ? sl : NULL;
}

/* New mail and retries take turns, as long as both have something to do. */
static struct sleeper *choose_sleeper(struct qmgr *q)
{
	struct sleeper *fresh = has_room(q) ? due_in(q, QUEUE_INCOMING) : NULL;
	struct sleeper *retry = has_room_for_retries(q) ? due_in(q, QUEUE_DEFERRED) : NULL;

	if (fresh != NULL && retry != NULL)
		return q->loads % 2 == 0 ? fresh : retry;
	return fresh != NULL ? fresh : retry;
}

/* A predecessor is at it: asked about again after 1, 2, 4, 8, 8, ... seconds. */
static void wait_for_predecessor(struct qmgr *q, enum queue_name where, struct str id, unsigned busy)
{
	int64_t wait_us = INT64_C(1000000) << MIN(busy, 3u);
	struct sleeper *sl = sleepers_add(q->sleepers, where, id, wall_us() + wait_us, (uint32_t) ALL_SITES);

	if (busy == 0)
		log_mail(ROAD_INFO, id, "skipped, still being delivered");
	sl->busy = (unsigned char) MIN(busy + 1, 255u);
}

static int check_job(void *file)
{
	return queue_file_check(file);
}

/*
 * Are headers and body what they were? An agent has no checksum to compare with, and what was
 * damaged on disk must not go out. What is in the log was looked at when it was found there. Waits
 * only for what is large.
 */
static int check_content(struct qmgr *q, enum queue_name where, struct str id)
{
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_is_in_log(q->queue, where, id) ? 1 : queue_file_open(q->queue, where, id,
									   false, false, &f);

	if (r != 0)
		return MIN(r, 0);
	if (f.parts.size <= CHECKED_AT_ONCE)
		return queue_file_check(&f);
	take_in_hand(q, id);
	r = co_offload(check_job, &f);
	put_down(q, id);
	return r;
}

/* Its head tells how many recipients it has. */
static bool waits_for_other_crowds(struct qmgr *q, struct sleeper *sl)
{
	AUTO(queue_file) f = { .fd = -1 };

	if (has_room_for_crowds(q)
	    || queue_file_open(q->queue, (enum queue_name) sl->where, str_of(sl->id), false, false, &f) < 0
	    || !is_crowd(q, f.recipient_count))
		return false;
	sleepers_mark_crowd(q->sleepers, sl);
	return true;
}

static void load_and_activate(struct qmgr *q, struct sleeper *sl)
{
	struct message *m;
	enum queue_name where = (enum queue_name) sl->where;
	bool insist = sl->insist;
	unsigned busy = sl->busy;
	int64_t now_s;
	char id[32];
	int r;

	q->loads++;
	if (waits_for_other_crowds(q, sl))
		return;
	memcpy(id, sl->id, strlen(sl->id) + 1);
	sleepers_remove(q->sleepers, sl);
	r = check_content(q, where, str_of(id));
	if (r == -ECANCELED || q->leaving)
		return;
	if (r == 0)
		r = message_load(q, where, str_of(id), &m);
	FAILPOINT("qmgr.loaded");
	if (r == -EBUSY) {
		wait_for_predecessor(q, where, str_of(id), busy);
		return;
	}
	if (r < 0) {
		scan_troubled(q, where, str_of(id), r);
		return;
	}
	m->insist = insist;
	now_s = wall_s();
	/* somebody else has tried it meanwhile; an order that waits does not wait for the next attempt */
	if (!insist && m->fate == STAYS && m->not_before_s > now_s && m->not_before_s <= now_s + longest_wait_s(q->conf)) {
		sleepers_add(q->sleepers, where, m->id, m->not_before_s * 1000000, message_sites(m));
		message_free(m);
		return;
	}
	activate(m);
}

/* No room: it waits on disk, where cleanup has put it. */
static void put_to_sleep(struct message *m)
{
	sleepers_add(m->q->sleepers, m->where, m->id, m->env.arrival_us, message_sites(m));
	message_free(m);
}

static void take_arrival(struct qmgr *q, struct message *m, bool room)
{
	list_remove(&m->link);
	q->arrival_count--;
	if (is_known(q, m->id))
		message_free(m);	/* found on disk before it was announced */
	else if (m->was_in_log && !queue_is_in_log(q->queue, m->where, m->id))
		put_to_sleep(m);	/* found, and perhaps finished since: the disk will tell */
	else if (room)
		activate(m);
	else
		put_to_sleep(m);
}

static bool take_one(struct qmgr *q)
{
	struct message *m = LIST_FIRST(&q->arrivals, struct message, link);
	/* every fourth, while mail streams in */
	struct sleeper *sl = m == NULL || ++q->turn % 4 == 0 ? choose_sleeper(q) : NULL;

	if (q->leaving || (m == NULL && sl == NULL))
		return false;
	if (sl != NULL) {
		load_and_activate(q, sl);
		return true;
	}
	take_arrival(q, m, has_room_for(m));
	return true;
}

void intake_put_to_sleep(struct qmgr *q)
{
	struct message *m;

	while ((m = LIST_FIRST(&q->arrivals, struct message, link)) != NULL)
		take_arrival(q, m, false);
}

/* The timer for whoever is due next. When there is no room, it is room that wakes. */
static void set_alarm(struct qmgr *q)
{
	const bool crowds = has_room_for_crowds(q);
	struct sleeper *fresh = sleepers_first(q->sleepers, QUEUE_INCOMING, crowds),
		       *retry = sleepers_first(q->sleepers, QUEUE_DEFERRED, crowds);
	int64_t due = INT64_MAX, now = wall_us();

	if (fresh != NULL && has_room(q))
		due = fresh->due.key;
	if (retry != NULL && has_room_for_retries(q))
		due = MIN(due, retry->due.key);
	timer_set(&q->sleep_timer, due == INT64_MAX ? NEVER : in((MAX(due - now, 0) + 999) / 1000));
}

static void run_worker(void *arg)
{
	struct qmgr *q = arg;
	bool more = true;

	for (int n = 1; more && !co_is_cancelled(); n++) {
		q->workers_inside++;
		more = take_one(q);
		q->workers_inside--;
		if (n % BATCH == 0)
			co_pass();
	}
	q->workers--;
	set_alarm(q);
}

void intake_wake(struct qmgr *q)
{
	if (!q->is_ready || q->leaving || q->workers > q->workers_inside || q->workers >= MOST_WORKERS)
		return;
	if (list_is_empty(&q->arrivals) && choose_sleeper(q) == NULL) {
		set_alarm(q);
		return;
	}
	if (scope_start(q->scope, "intake", run_worker, q) >= 0)
		q->workers++;
}

void intake_announced(struct qmgr *q, const struct qmgr_announce *from)
{
	struct message *m;
	int r = message_announced(q, from, &m);

	FAILPOINT("qmgr.announced");
	if (r < 0) {
		/* The file is what counts: it will be found there. */
		log_warning("%.*s: malformed announcement: %s", PSTR(from->queue_id), error_text(r));
		q->look_soon = true;
		bell_ring(&q->look);
		return;
	}
	if (m->where != QUEUE_INCOMING || !log_take(q, from, m)) {
		message_free(m);	/* held: nothing to do until it is released; or through already */
		return;
	}
	if (q->arrival_count >= (size_t) q->conf->qmgr_message_active_limit) {
		put_to_sleep(m);	/* resolving is stuck, it seems */
		return;
	}
	list_append(&q->arrivals, &m->link);
	q->arrival_count++;
	intake_wake(q);
}
