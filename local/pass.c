/* SPDX-License-Identifier: ISC */
/*
 * Handing a recipient to another delivery agent (mailbox_transport, fallback_transport): local asks it as
 * the queue manager would.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/ipc/channel.h"
#include "lib/mail/mail_address.h"
#include "local/local.h"

static int ask(struct task *t, struct str transport, struct str nexthop, struct outcome *ret)
{
	struct str path = arena_fmt(t->arena, "private/%.*s", PSTR(transport));
	struct client *agent = client_new(str_c(t->arena, path));
	struct envelope e = t->d->env;
	const struct queue_parts *p = &t->d->parts;
	AUTO(buf) packed = BUF(FRAME_LIMIT / 2);
	struct deliver_request m = {
		.queue_id = t->d->queue_id, .transport = transport, .nexthop = nexthop, .size = p->size,
		.headers_at = p->headers_at, .headers_len = p->headers_len,
		.body_at = p->body_at, .body_len = p->body_len,
		.active_us = t->d->active_us, .dispatch_us = t->d->dispatch_us,
		.flags = t->d->flags, .message = t->d->message,
	};
	struct deliver_reply reply;
	struct str outcomes;
	int r;

	e.recipient_count = 1;
	e.recipients = t->r;
	r = envelope_pack(&e, &packed);
	m.envelope = buf_str(&packed);
	if (r >= 0)
		r = CALL(agent, deliver_request, &m, t->arena, deliver_reply, &reply,
			 in(the_world->common->ipc_timeout));
	client_free(agent);
	if (r < 0)
		return r;
	outcomes = reply.outcomes;
	r = outcome_unpack(&outcomes, ret);
	return r <= 0 || ret->index != t->r->index || ret->status == OUTCOME_PENDING ? -EBADMSG : 0;
}

void pass_to(struct task *t, struct str spec)
{
	struct str nexthop = spec, transport;
	struct outcome outcome;
	int r;

	str_cut(&nexthop, ':', &transport);
	if (nexthop.len == 0)
		nexthop = str_of(the_world->common->myhostname);
	if (str_find(transport, '/') >= 0 || transport.len == 0) {
		add_result(t, MAILBOX_DEFERRED, "4.3.5", "bad transport \"%.*s\"", PSTR(spec));
		return;
	}
	log_mail(ROAD_INFO, t->d->queue_id, "passing <%.*s> to transport=%.*s", PSTR(t->r->address),
		 PSTR(transport));
	log_flush();
	r = ask(t, transport, nexthop, &outcome);
	if (r < 0) {
		add_result(t, MAILBOX_DEFERRED, "4.3.0", "%.*s transport unavailable: %s", PSTR(transport),
			   error_text(r));
		return;
	}
	passed_on(t->d, t->r, &outcome);
	t->passed = true;
}
