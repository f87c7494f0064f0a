/* SPDX-License-Identifier: ISC */
/*
 * Handing a recipient to another delivery agent (mailbox_transport, fallback_transport): local asks it as
 * the queue manager would.
 */
#include <errno.h>

#include "lib/agent/request.h"
#include "lib/base/die.h"
#include "lib/ipc/channel.h"
#include "lib/mail/mail_address.h"
#include "local/local.h"

enum mailbox_status status_of_passed(const struct outcome *o)
{
	return o->status == OUTCOME_DEFERRED ? MAILBOX_DEFERRED
	       : o->status == OUTCOME_BOUNCED ? MAILBOX_BOUNCED : MAILBOX_SENT;
}

/* It hears whom it is about now, and whom the mail was for at first. */
static struct recipient recipient_of(const struct task *t)
{
	struct recipient r = *t->r;

	if (!str_is(t->address, r.address)) {
		r.address = t->address;
		r.original = t->original;
	}
	return r;
}

static int ask(struct task *t, struct str transport, struct str nexthop, struct outcome *ret)
{
	struct recipient whom = recipient_of(t);
	struct delivery d = *t->d;
	struct str path = arena_fmt(t->arena, "private/%.*s", PSTR(transport));
	struct client *agent = client_new(str_c(t->arena, path));
	AUTO(buf) packed = BUF(FRAME_LIMIT / 2);
	struct deliver_request m;
	struct deliver_reply reply;
	struct str outcomes;
	int r;

	make_owners(t, &d, &whom);
	r = request_of(&d, &whom, &packed, &m);
	m.transport = transport;
	m.nexthop = nexthop;
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
	struct outcome *outcome = ARENA_NEW(t->arena, struct outcome);
	int r;

	str_cut(&nexthop, ':', &transport);
	if (nexthop.len == 0)
		nexthop = str_of(the_world->common->myhostname);
	if (str_find(transport, '/') >= 0 || transport.len == 0) {
		add_result(t, MAILBOX_DEFERRED, "4.3.5", "bad transport \"%.*s\"", PSTR(spec));
		return;
	}
	log_mail(ROAD_INFO, t->d->queue_id, "passing <%.*s> to transport=%.*s", PSTR(t->address),
		 PSTR(transport));
	r = ask(t, transport, nexthop, outcome);
	if (r < 0) {
		add_result(t, MAILBOX_DEFERRED, "4.3.0", "%.*s transport unavailable: %s", PSTR(transport),
			   error_text(r));
		return;
	}
	if (t->passed == NULL || status_of_passed(outcome) > status_of_passed(t->passed))
		t->passed = outcome;
}
