/* SPDX-License-Identifier: ISC */
/*
 * What an alias with an owner cannot deliver itself, to a command or file, is its owner's affair and
 * not that of who wrote to it: bounce is asked for a notice to him. What has become a new message
 * needs nothing of the kind: its sender is the owner.
 */
#include <errno.h>

#include "lib/agent/request.h"
#include "lib/base/die.h"
#include "lib/ipc/channel.h"
#include "local/local.h"

enum { BOUNCE_MS = 600000 };

bool has_other_sender(const struct task *t)
{
	return !str_is(t->sender, t->d->env.sender);
}

void make_owners(const struct task *t, struct delivery *d, struct recipient *r)
{
	if (!has_other_sender(t))
		return;
	d->env.sender = t->sender;
	/* what the sender asked for is not the owner's wish (RFC 3461 5.2.7.3), least of all that nobody be told */
	d->env.ret = 0;
	d->env.envid = STR_NONE;
	r->notify = 0;
	r->orcpt = STR_NONE;
}

static int ask_bounce(struct task *t, const struct bounce_request *request)
{
	struct client *bounce = client_new("private/bounce");
	struct bounce_reply reply;
	int r = CALL(bounce, bounce_request, request, t->arena, bounce_reply, &reply, in(BOUNCE_MS));

	client_free(bounce);
	if (r >= 0 && reply.code != 0)
		r = -EAGAIN;
	if (r < 0)
		log_mail(ROAD_WARNING, t->d->queue_id, "owner <%.*s> cannot be notified now: %s",
			 PSTR(t->sender), error_text(r));
	return r;
}

int tell_owner(struct task *t, const struct outcome *o)
{
	AUTO(buf) packed = BUF(FRAME_LIMIT / 2);
	AUTO(buf) outcomes = BUF(FRAME_LIMIT / 2);
	struct delivery d = *t->d;
	struct recipient whom = *t->r;
	struct deliver_request m;
	int r = outcome_pack(o, &outcomes);

	make_owners(t, &d, &whom);
	if (r >= 0)
		r = request_of(&d, &whom, &packed, &m);
	if (r < 0)
		return r;
	return ask_bounce(t, &(struct bounce_request) {
		.kind = STR("failure"), .queue_id = d.queue_id, .envelope = m.envelope,
		.outcomes = buf_str(&outcomes), .size = m.size, .headers_at = m.headers_at,
		.headers_len = m.headers_len, .body_at = m.body_at, .body_len = m.body_len,
		.content = m.content, .message = m.message });
}
