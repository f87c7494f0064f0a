/* SPDX-License-Identifier: ISC */
/*
 * One connection of the queue manager: requests come in, each is one delivery, replies go back in whatever
 * order they are done.
 *
 * How a connection ends must not cost a message a needless deferral:
 * - The queue manager closes it: what is under way is cancelled. Nobody is there to hear the result, and a
 *   delivery that is broken off before its end does not become a duplicate.
 * - This process winds down: it shuts the receiving side, which in one instant makes further requests fail at
 *   the sender, serves what arrived before, and says agent_goodbye. So the queue manager knows that what has
 *   no reply by then was never taken up.
 */
#include "lib/agent/agent.h"

#include <errno.h>
#include <unistd.h>

#include "lib/agent/request.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/ipc/channel.h"

enum { MOST_GROUPS = 8, WAIT_SLICE_MS = 1000, ENOUGH_WORDS = FRAME_LIMIT / 2,
       MOST_OUTCOMES = FRAME_LIMIT - (64 << 10) };

struct connection {
	struct list link;
	struct channel *ch;
	int fd;			/* the channel's */
	bool leaving;		/* receiving side shut by us */
	struct scope *scope;	/* deliveries under way */
};

struct request {
	struct connection *from;
	uint32_t call;
	struct delivery d;
};

static const struct agent *the_agent;
const struct agent_conf *the_agent_conf;
static struct list connections = LIST_INIT(connections);

static void leave(struct connection *c)
{
	if (!c->leaving)
		shutdown(c->fd, SHUT_RD);
	c->leaving = true;
}

void agent_wind_down(void)
{
	LIST_EACH(c, &connections, struct connection, link)
		leave(c);
}

/*
 * What all of thousands of recipients were told may be more than a reply holds. Who is left out of
 * it counts as deferred, and gets the message again: so the last ones' codes have to do.
 */
static int pack_outcome(const struct outcome *o, struct buf *outcomes)
{
	const struct outcome brief = { .index = o->index, .status = o->status, .dsn = o->dsn,
				       .at_us = o->at_us };

	return outcome_pack(outcomes->len < ENOUGH_WORDS ? o : &brief, outcomes);
}

static void reply(struct request *q)
{
	struct delivery *d = &q->d;
	AUTO(buf) outcomes = BUF(MOST_OUTCOMES);
	struct deliver_reply rep = { .site_dsn = d->site_dsn, .site_reason = str_head(d->site_reason, 4096) };
	struct frame_out out;

	for (size_t i = 0; i < d->env.recipient_count; i++)
		if (pack_outcome(&d->outcomes[i], &outcomes) < 0)
			log_mail(ROAD_ERROR, d->queue_id, "outcome of <%.*s> is too long to report",
				 PSTR(d->env.recipients[i].address));
	rep.outcomes = buf_str(&outcomes);
	if (put_deliver_reply(channel_buf(q->from->ch), q->call, &rep, &out) >= 0)
		channel_send(q->from->ch, &out);
}

static void defer_forgotten(struct delivery *d)
{
	EACH_RECIPIENT(r, d) {
		if (!is_pending(d, r))
			continue;
		log_mail(ROAD_ERROR, d->queue_id, "%s ended without a verdict for <%.*s>",
			 the_agent->daemon.name, PSTR(r->address));
		deferred(d, r, &(struct result){ .dsn = "4.3.0" }, "delivery agent ended without a verdict");
	}
}

static void assume_deliverable(struct delivery *d)
{
	EACH_RECIPIENT(r, d)
		delivered(d, r, &(struct result){ .dsn = "2.0.0" }, "delivers to %s", the_agent->daemon.name);
}

static void carry_out(void *arg)
{
	struct request *q = arg;
	struct delivery *d = &q->d;

	co_describe("%.*s", PSTR(d->queue_id));
	FAILPOINT("agent.begin");
	if ((d->flags & DELIVER_PROBE) != 0 && !the_agent->probes)
		assume_deliverable(d);
	else
		the_agent->deliver(d);
	FAILPOINT("agent.delivered");
	/* Cancelled: the queue manager is gone and hears nothing any more. */
	if (!co_is_cancelled()) {
		defer_forgotten(d);
		reply(q);
		FAILPOINT("agent.replied");
	}
	buf_free(&d->line);
	if (d->content.file >= 0)
		close(d->content.file);
	arena_free(d->arena);		/* holds q */
}

/* The frame's bytes are good until the next receive only, so what the delivery needs is copied. */
static int take_request(struct connection *c, struct frame *frame, struct request **ret)
{
	AUTO(buf) why = BUF_WORDS;
	struct deliver_request m;
	struct arena *a;
	struct request *q;
	int r = get_deliver_request(frame, &m, &why);

	if (r < 0) {
		log_warning("malformed request: %s", buf_text(&why));
		return r;
	}
	a = arena_new("delivery", NULL, (size_t) 256 << 20);
	q = ARENA_NEW(a, struct request);
	q->from = c;
	q->call = frame->call;
	r = request_open(&m, a, &q->d);
	if (r < 0) {
		log_warning("%.*s: malformed request: %s", PSTR(m.queue_id), error_text(r));
		if (m.message >= 0)
			close(m.message);
		arena_free(a);
		return r;
	}
	*ret = q;
	return 0;
}

static void start_request(struct connection *c, struct request *q)
{
	if (c->scope == NULL || scope_start(c->scope, "deliver", carry_out, q) < 0)
		/* this agent does one at a time, or there is no stack left: the sender waits */
		carry_out(q);
}

/* A blocking agent looks up now and then: nothing else could tell it to leave. */
static int next_frame(struct connection *c, struct frame *frame)
{
	int r;

	if (c->scope != NULL)
		return channel_receive(c->ch, frame, NEVER);
	for (;;) {
		log_flush();
		if (daemon_is_winding_down())
			leave(c);
		r = channel_receive(c->ch, frame, in(WAIT_SLICE_MS));
		if (r != -ETIMEDOUT)
			return r;
	}
}

static void answer_ping(struct connection *c)
{
	struct agent_ping m = {};
	struct frame_out out;

	if (put_agent_ping(channel_buf(c->ch), 0, &m, &out) >= 0)
		channel_send(c->ch, &out);
}

static int take_requests(struct connection *c)
{
	struct frame frame;
	struct request *q;
	int r;

	while ((r = next_frame(c, &frame)) > 0) {
		if (str_is(frame.message, STR("deliver_request"))) {
			r = take_request(c, &frame, &q);
			if (r >= 0)
				start_request(c, q);
		} else if (str_is(frame.message, STR("agent_ping"))) {
			answer_ping(c);
		}
		frame_close(&frame);
		if (r < 0)
			break;
	}
	return r;
}

static void say_goodbye(struct connection *c)
{
	struct agent_goodbye m = {};
	struct frame_out out;

	if (c->scope != NULL)
		scope_wait(c->scope, NEVER);
	if (put_agent_goodbye(channel_buf(c->ch), 0, &m, &out) >= 0 && channel_send(c->ch, &out) >= 0)
		channel_drain(c->ch, 1, in(WAIT_SLICE_MS));
}

void agent_serve(struct session_socket *socket)
{
	struct connection c = { .fd = socket->fd, .ch = channel_new(socket->fd) };
	int r;

	channel_may_end_torn(c.ch);
	if (the_agent->daemon.shape != DAEMON_ONE_AT_A_TIME)
		c.scope = scope_open("deliveries");
	list_append(&connections, &c.link);
	if (daemon_is_winding_down())
		leave(&c);
	r = take_requests(&c);
	if (r == 0 && (c.leaving || daemon_is_winding_down()))
		say_goodbye(&c);
	scope_close(c.scope);
	list_remove(&c.link);
	channel_free(c.ch);
}

void agent_use(const struct agent *a, const struct agent_conf *conf)
{
	the_agent = a;
	the_agent_conf = conf;
}

struct str original_to(struct str address)
{
	return the_agent_conf->enable_original_recipient ? address : STR_NONE;
}

/*
 * That a default is too small is nobody's mistake: who raises message_size_limit may have no such
 * mailboxes.
 */
void insist_on_mailbox_limit(const char *parameter, int64_t limit)
{
	const int64_t message = the_world->common->message_size_limit;
	const char *file;
	int line;

	if (limit != 0 && (message == 0 || message > limit) && conf_where(the_world->conf, str_of(parameter),
									  &file, &line))
		die(EX_CONFIG, "%s: smaller than message_size_limit", parameter);
}

int agent_main(int argc, char **argv, struct agent *a)
{
	static struct agent_conf conf;
	static const struct param_group *groups[MOST_GROUPS + 1] = { &agent_group };
	static void *structs[MOST_GROUPS + 1] = { &conf };

	for (size_t i = 0; a->daemon.groups != NULL && a->daemon.groups[i] != NULL; i++) {
		BUG_UNLESS(i + 1 < MOST_GROUPS);
		groups[i + 1] = a->daemon.groups[i];
		structs[i + 1] = a->daemon.structs[i];
	}
	a->daemon.groups = groups;
	a->daemon.structs = structs;
	a->daemon.serve = agent_serve;
	a->daemon.wind_down = agent_wind_down;
	agent_use(a, &conf);
	return daemon_main(argc, argv, &a->daemon);
}
