/* SPDX-License-Identifier: ISC */
/*
 * Connections to the delivery agents of a transport: a few, with many requests at once on each;
 * requests for one destination stay on one connection, so that the agent finds its session to that
 * host, or its process for that user, again.
 *
 * A connection is a coroutine that connects, sends what gathered meanwhile, and receives replies. When it
 * ends, requests without a reply are either untouched (it never stood, or the agent said goodbye) and go back
 * to the scheduler, or lost (the agent died). An agent that leaves may have deliveries to finish for long: what
 * it does not take any more goes back at once.
 */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/io/net.h"
#include "lib/log/log.h"
#include "qmgr/qmgr.h"

enum {
	CONNECT_MS = 30000,
	LOOK_MS = 5000,			/* how often an idle connection looks at its clock */
	IDLE_MS = 30000,		/* how long one is kept without work */
	MOST_DEATHS = 3,		/* in a row: the service is given up for a while */
	SPREAD = 4,			/* requests by which one connection may be ahead of another */
};

struct call {
	struct list link;
	struct entry *entry;
	uint32_t number;
	uint64_t end;			/* where its request ends among the bytes of the connection */
	when_t since;
};

struct agents {
	struct qmgr *q;
	struct transport *transport;
	char *path;
	int most;			/* connections */
	int count;
	int deaths;			/* since the last reply */
	struct list connections;
};

struct connection {
	struct list link;
	struct agents *of;
	struct channel *ch;		/* NULL: still connecting */
	struct list calls;		/* oldest first */
	int call_count;
	uint32_t next_number;
	when_t idle_since;
	when_t heard_at;		/* the last frame */
	when_t pinged_at;		/* since then; 0: not */
	bool leaving;			/* takes no more requests */
	bool goodbye;			/* the agent answered all that it got */
};

static struct agents *agents_of(struct qmgr *q, struct transport *t)
{
	const struct service_entry *service = service_of(q, str_of(t->name));
	struct agents *a = t->agents;
	AUTO(buf) path = BUF(300);

	if (a != NULL)
		return a;
	a = ARENA_NEW(q->arena, struct agents);
	a->q = q;
	a->transport = t;
	buf_addf(&path, "%s/%s", service == NULL || service->is_private ? "private" : "public", t->name);
	a->path = (char *) str_c(q->arena, buf_str(&path));
	a->most = q->connections_per_service;
	list_init(&a->connections);
	t->agents = a;
	return a;
}

/* ---- requests ---- */

/* The message is gone from the disk, or cannot be read: the agent is not to blame. */
static void drop_call(struct connection *c, struct call *call, int error)
{
	struct qmgr *q = c->of->q;
	struct entry *e = call->entry;
	struct message *m = e->job->owner;
	AUTO(buf) text = BUF_WORDS;

	list_remove(&call->link);
	c->call_count--;
	free(call);
	if (error == -ENOENT) {
		if (m->fate == STAYS)
			log_mail(ROAD_WARNING, m->id, "is not in %s any more: somebody removed it",
				 queue_name_text(m->where));
		m->fate = GONE;
	} else {
		log_mail(ROAD_ERROR, m->id, "cannot be handed to %s: %s", c->of->transport->name,
			 error_text(error));
	}
	buf_addf(&text, "queue file: %s", error_text(error));
	if (m->fate == GONE)
		account_nothing(e);
	else
		account_deferral(q, e, STR("4.3.0"), buf_str(&text));
	end_of_work(q);
}

static void transmit(struct connection *c, struct call *call)
{
	int r = dispatch_request(c->of->q, call->entry, c->ch, call->number);

	if (r < 0 && channel_error(c->ch) == 0)
		drop_call(c, call, r);
	else
		call->end = r < 0 ? UINT64_MAX : channel_sent(c->ch) + channel_buf(c->ch)->len;
}

static struct call *find_call(struct connection *c, uint32_t number)
{
	LIST_EACH(call, &c->calls, struct call, link)
		if (call->number == number)
			return call;
	return NULL;
}

static int take_reply(struct connection *c, struct frame *f)
{
	struct qmgr *q = c->of->q;
	struct call *call = find_call(c, f->call);
	struct deliver_reply rep;
	AUTO(buf) why = BUF_WORDS;
	struct entry *e;
	int r = call == NULL ? -EBADMSG : get_deliver_reply(f, &rep, &why);

	if (r < 0) {
		log_warning("%s: malformed reply: %s", c->of->path,
			    call == NULL ? "nobody asked" : buf_text(&why));
		return r;
	}
	e = call->entry;
	list_remove(&call->link);
	free(call);
	if (--c->call_count == 0)
		c->idle_since = mono_ms();
	c->of->deaths = 0;
	account_reply(q, e, &rep);
	end_of_work(q);
	return 0;
}

/* ---- one connection's life ---- */

/* How long it has said nothing although it has something to do. */
static int64_t silence(const struct connection *c)
{
	const struct call *oldest = LIST_FIRST(&c->calls, struct call, link);

	return oldest == NULL ? 0 : mono_ms() - MAX(oldest->since, c->heard_at);
}

/*
 * A delivery may take hours, with a slow host and a large message: an agent that is alive answers a
 * ping meanwhile. One that leaves hears nothing any more (sending to it has failed then), and has
 * longer.
 */
static bool is_stalled(const struct connection *c)
{
	const struct common_conf *conf = c->of->q->common;

	return c->pinged_at != 0 && mono_ms() >= c->pinged_at + (channel_error(c->ch) < 0
								 ? conf->daemon_timeout : conf->ipc_timeout);
}

static void ping_if_silent(struct connection *c)
{
	struct agent_ping m = {};
	struct frame_out out;

	if (c->pinged_at != 0 || silence(c) == 0 || silence(c) < c->of->q->common->ipc_timeout / 4)
		return;
	c->pinged_at = mono_ms();
	if (put_agent_ping(channel_buf(c->ch), 0, &m, &out) >= 0)
		channel_send(c->ch, &out);
}

static bool is_tired(const struct connection *c)
{
	return c->call_count == 0 && c->idle_since + IDLE_MS <= mono_ms();
}

enum what_became { UNTOUCHED, LOST, ABANDONED };

/*
 * Of those whose requests end there or behind; from the youngest, so that each goes back to the head of its
 * line in the old order.
 */
static void give_back_calls_from(struct connection *c, uint64_t place, enum what_became what, const char *why)
{
	struct qmgr *q = c->of->q;

	while (!list_is_empty(&c->calls)) {
		struct call *call = LIST_ENTRY(c->calls.prev, struct call, link);
		struct entry *e = call->entry;

		if (call->end < place)
			break;
		list_remove(&call->link);
		free(call);
		c->call_count--;
		if (what == UNTOUCHED)
			dispatch_untouched(q, e);
		else if (what == LOST)
			dispatch_lost(q, e, why);
		else
			dispatch_abandoned(e);
		end_of_work(q);
	}
}

static void give_back_calls(struct connection *c, enum what_became what, const char *why)
{
	give_back_calls_from(c, 0, what, why);
}

/* It has finished reading, and not yet what it has: the others need not wait for that. */
static void take_no_for_an_answer(struct connection *c)
{
	c->leaving = true;
	give_back_calls_from(c, channel_sent(c->ch) + 1, UNTOUCHED, NULL);
}

static int receive_replies(struct connection *c)
{
	struct frame f;
	int r;

	for (;;) {
		r = channel_receive(c->ch, &f, in(LOOK_MS));
		if ((r > 0 || r == -ETIMEDOUT) && channel_error(c->ch) < 0)
			take_no_for_an_answer(c);
		if (r == -ETIMEDOUT && is_stalled(c))
			return -ETIMEDOUT;
		if (r == -ETIMEDOUT && is_tired(c))
			return 0;
		if (r == -ETIMEDOUT) {
			ping_if_silent(c);
			continue;
		}
		if (r <= 0)
			return r;
		c->heard_at = mono_ms();
		c->pinged_at = 0;
		if (str_is(f.message, STR("agent_goodbye")))
			c->leaving = c->goodbye = true;
		else if (str_is(f.message, STR("agent_ping")))
			r = 0;
		else if (str_is(f.message, STR("deliver_reply")))
			r = take_reply(c, &f);
		else
			r = -EBADMSG;
		frame_close(&f);
		if (r < 0)
			return r;
	}
}

static void bury(struct connection *c, int error)
{
	struct agents *a = c->of;
	AUTO(buf) why = BUF_WORDS;

	if (error == -ETIMEDOUT)
		buf_addf(&why, "delivery agent %s does not answer", a->transport->name);
	else
		buf_addf(&why, "delivery agent %s ended unexpectedly", a->transport->name);
	log_warning("transport %s: %s", a->transport->name,
		    error == -ETIMEDOUT ? "an agent does not answer"
					: error_text(error == 0 ? -EPIPE : error));
	give_back_calls(c, LOST, buf_text(&why));
	if (++a->deaths >= MOST_DEATHS) {
		a->deaths = 0;
		dispatch_agents_gone(a->q, a->transport);
	}
}

static void connection_failed(struct connection *c, int error)
{
	struct agents *a = c->of;

	if (error == -ECANCELED) {
		give_back_calls(c, ABANDONED, NULL);
		return;
	}
	log_warning("connect to transport %s: %s", a->path, error_text(error));
	give_back_calls(c, UNTOUCHED, NULL);
	dispatch_agents_gone(a->q, a->transport);
}

static void close_connection(struct connection *c)
{
	list_remove(&c->link);
	c->of->count--;
	channel_free(c->ch);
	free(c);
}

static void run_connection(void *arg)
{
	struct connection *c = arg;
	int fd = connect_unix(c->of->path, in(CONNECT_MS)), r;

	if (fd < 0) {
		c->leaving = true;
		connection_failed(c, fd);
		close_connection(c);
		return;
	}
	c->ch = channel_new(fd);
	LIST_EACH(call, &c->calls, struct call, link)
		transmit(c, call);
	r = receive_replies(c);
	c->leaving = true;
	if (c->goodbye)
		give_back_calls(c, UNTOUCHED, NULL);
	else if (r == -ECANCELED || c->of->q->leaving)	/* the agent has to end too, or never heard of us */
		give_back_calls(c, ABANDONED, NULL);
	else if (c->call_count > 0)
		bury(c, r);
	close_connection(c);
}

static struct connection *new_connection(struct agents *a)
{
	struct connection *c = get_memory(sizeof(*c));

	c->of = a;
	c->idle_since = mono_ms();
	list_init(&c->calls);
	if (scope_start(a->q->scope, "agents", run_connection, c) < 0) {
		free(c);
		return NULL;
	}
	list_prepend(&a->connections, &c->link);
	a->count++;
	return c;
}

/* ---- choosing ---- */

/* The destination's own, unless that one is far busier than another. */
static struct connection *shared_connection(struct agents *a, const struct destination *d)
{
	uint64_t own = str_hash(str_of(d->nexthop)) % (uint64_t) a->most, at = 0;
	struct connection *least = NULL, *mine = NULL;

	LIST_EACH(c, &a->connections, struct connection, link) {
		if (c->leaving || (c->ch != NULL && channel_error(c->ch) < 0))
			continue;
		if (at++ == own)
			mine = c;
		if (least == NULL || c->call_count < least->call_count)
			least = c;
	}
	if (at < (uint64_t) a->most && (least == NULL || least->call_count >= SPREAD))
		return new_connection(a);
	return mine != NULL && mine->call_count <= least->call_count * 2 + SPREAD ? mine : least;
}

void agents_send(struct qmgr *q, struct entry *e)
{
	struct agents *a = agents_of(q, e->destination->transport);
	struct connection *c = shared_connection(a, e->destination);
	struct call *call;

	if (c == NULL) {		/* no memory for one more: what is under way ends some time */
		account_deferral(q, e, STR("4.3.2"), STR("too many deliveries at once"));
		return;
	}
	call = get_memory(sizeof(*call));
	call->entry = e;
	call->number = ++c->next_number == 0 ? ++c->next_number : c->next_number;
	call->since = mono_ms();
	list_append(&c->calls, &call->link);
	c->call_count++;
	q->under_way++;
	if (c->ch != NULL)
		transmit(c, call);
}
