/* SPDX-License-Identifier: ISC */
/*
 * From the scheduler to the agents. Runs once at the end of a loop turn, after whatever happened in it:
 * results that make room, new mail, pauses that are over.
 */
#include <errno.h>

#include "lib/agent/agent.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "qmgr/qmgr.h"

/*
 * What waits for a transport that is dead goes through the retry service; what waits for that one is put down
 * here.
 */
static void empty_dead_transport(struct qmgr *q, struct transport *t)
{
	struct entry *e;

	while ((e = transport_waiting(t)) != NULL) {
		struct message *m = e->job->owner;

		if (str_is(str_of(t->name), STR("retry"))) {
			account_waiting(q, e, STR("4.3.0"), STR("mail transport unavailable"));
			continue;
		}
		assign_retry(m, e->recipients, e->count, str_of(t->reason));
		entry_drop(e);
		entries_done(m, 1);
		dispatch_soon(q);
	}
}

void dispatch_soon(struct qmgr *q)
{
	at_turn_end(&q->dispatch_turn);
}

static void woken(void *arg, struct transport *t)
{
	(void) t;
	dispatch_soon(arg);
}

/* Pauses and deaths begin anywhere; their ends are looked for here. */
static void end_pauses(struct timer *timer)
{
	struct qmgr *q = CONTAINER_OF(timer, struct qmgr, pause_timer);
	int64_t next = schedule_wake(q->schedule, mono_ms(), woken, q);

	timer_set(timer, next == INT64_MAX ? NEVER : next);
}

static void dispatch_now(struct turn *turn)
{
	struct qmgr *q = CONTAINER_OF(turn, struct qmgr, dispatch_turn);
	int64_t now = mono_ms();
	struct map_at at = { 0 };
	struct transport *t;
	struct entry *e;

	while (!q->leaving && (t = schedule_next_transport(q->schedule, &at)) != NULL) {
		if (t->standing == DEAD)
			empty_dead_transport(q, t);
		while (may_deliver(q) && (e = schedule_take(t, now)) != NULL) {
			q->let_through = false;
			agents_send(q, e);
		}
	}
	end_pauses(&q->pause_timer);
}

void dispatch_init(struct qmgr *q)
{
	q->dispatch_turn.run = dispatch_now;
	q->pause_timer.run = end_pauses;
}

void end_of_work(struct qmgr *q)
{
	if (--q->under_way == 0)
		bell_ring(&q->settled);
	dispatch_soon(q);
}

/* ---- the request ---- */

static unsigned flags_of(const struct entry *e)
{
	const struct message *m = e->job->owner;
	const bool is_last = message_is_old(m, wall_us()), is_probe = is_only_verified(m);

	/* who has no second attempt gets his time at the first */
	return (is_last ? DELIVER_EXPIRING : 0u) | (is_probe ? DELIVER_PROBE : 0u)
	       | (e->in_a_hurry && !is_last && !is_probe ? DELIVER_HURRY : 0u);
}

int dispatch_request(struct qmgr *q, struct entry *e, struct channel *ch, uint32_t call)
{
	static struct buf envelope = { .at = (char *) "", .limit = FRAME_LIMIT / 2 };
	static struct buf content = { .at = (char *) "", .limit = FRAME_LIMIT / 2 };
	struct message *m = e->job->owner;
	struct deliver_request request;
	struct frame_out out;
	AUTO_FD fd = -1;
	int r;

	if (m->fate == GONE)
		return -ENOENT;
	if (m->content.len == 0)
		fd = queue_content_open(q->queue, m->where, m->id, &content);
	if (m->content.len == 0 && fd < 0 && fd != -EISNAM)
		return fd;
	buf_clear(&envelope);
	r = message_pack(m, e->recipients, e->count, true, &envelope);
	if (r < 0)
		return r;
	request = (struct deliver_request){
		.queue_id = m->id,
		.transport = str_of(e->destination->transport->name),
		.nexthop = str_of(e->destination->nexthop),
		.envelope = buf_str(&envelope),
		.size = m->parts.size,
		.headers_at = m->parts.headers_at,
		.headers_len = m->parts.headers_len,
		.body_at = m->parts.body_at,
		.body_len = m->parts.body_len,
		.active_us = m->active_us,
		.dispatch_us = wall_us(),
		.flags = flags_of(e),
		.content = m->content.len > 0 ? m->content : fd < 0 ? buf_str(&content) : STR_NONE,
		.message = fd < 0 ? -1 : fd_take(&fd),
	};
	FAILPOINT("qmgr.dispatch");
	r = put_deliver_request(channel_buf(ch), call, &request, &out);
	return r < 0 ? r : channel_send(ch, &out);
}

/* ---- what agents.c hands back ---- */

void dispatch_untouched(struct qmgr *q, struct entry *e)
{
	struct message *m = e->job->owner;

	entry_return(e);
	if (m->fate != STAYS)
		drop_waiting_entries(m);	/* its end needs the lock */
	else if (q->leaving)
		let_go_if_idle(m);
	dispatch_soon(q);
}

void dispatch_abandoned(struct entry *e)
{
	entry_forget(e);
}

void dispatch_lost(struct qmgr *q, struct entry *e, const char *why)
{
	account_deferral(q, e, STR("4.3.0"), str_of(why));
}

void dispatch_agents_gone(struct qmgr *q, struct transport *t)
{
	transport_die(t, STR("4.3.0 mail transport unavailable"), mono_ms());
	dispatch_soon(q);
}
