/* SPDX-License-Identifier: ISC */
/*
 * "expanded" notifications (RFC 3461 5.2.7.3): who asked to be told of success hears that his mail
 * went to an alias with several members, and not of each member. Such a notification is told once,
 * by the way; it is not worth a refusal or a second try.
 */
#include "cleanup/message.h"

#include "lib/base/clock.h"
#include "lib/log/log.h"

void note_expanded(struct message *m, const struct recipient *r)
{
	struct recipient named = *r;

	if (!HAS_ROOM(m, &m->expanded))
		return;
	named.index = (uint32_t) m->expanded.len;
	*vec_add(m->arena, &m->expanded) = named;
}

static int pack_outcomes(struct message *m, struct buf *b)
{
	int r = 0;

	for (size_t i = 0; i < m->expanded.len && r >= 0; i++) {
		struct outcome o = { .index = (uint32_t) i, .status = OUTCOME_EXPANDED, .dsn = STR("2.0.0"),
				     .relay = STR("none"),
				     .text = STR("alias with several members"), .at_us = wall_us() };

		r = outcome_pack(&o, b);
	}
	return r;
}

void tell_expanded(struct message *m, int *fd)
{
	AUTO(buf) packed = BUF(FRAME_LIMIT / 2);
	AUTO(buf) outcomes = BUF(FRAME_LIMIT / 2);
	struct envelope e = m->e;
	struct bounce_reply reply = { 0 };
	struct bounce_request request = { .kind = STR("success"), .queue_id = str_of(m->id),
					  .size = m->parts.size,
					  .headers_at = m->parts.headers_at,
					  .headers_len = m->parts.headers_len,
					  .body_at = m->parts.body_at, .body_len = m->parts.body_len,
					  .message = -1 };

	e.recipients = m->expanded.at;
	e.recipient_count = m->expanded.len;
	if (envelope_pack(&e, &packed) < 0 || pack_outcomes(m, &outcomes) < 0)
		return;
	request.envelope = buf_str(&packed);
	request.outcomes = buf_str(&outcomes);
	request.message = fd_take(fd);		/* given away with the request */
	if (CALL(the_cleanup.bounce, bounce_request, &request, m->arena, bounce_reply, &reply, in(60000)) < 0
	    || reply.code != 0)
		log_mail(ROAD_WARNING, str_of(m->id),
			 "the notification about an expanded alias could not be sent");
}

int open_for_notification(struct message *m)
{
	struct queue_file f;

	if (!m->committed || m->expanded.len == 0 || m->e.sender.len == 0)
		return -1;
	return queue_file_open(the_cleanup.queue, m->hold ? QUEUE_HOLD : QUEUE_INCOMING, str_of(m->id),
			       false, false, &f) < 0 ? -1 : f.fd;
}
