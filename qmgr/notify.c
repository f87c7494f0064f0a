/* SPDX-License-Identifier: ISC */
/*
 * Telling senders: the bounce service makes the notification, with the message's content.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/log/log.h"
#include "qmgr/qmgr.h"

enum { BOUNCE_MS = 300000 };

/* Where the outcomes' recipients stand in the envelope. Returns how many. */
static size_t positions_of(const struct message *m, const struct notes *notes, struct arena *a,
			   uint32_t **ret)
{
	uint32_t *positions = arena_get(a, MAX(notes->count, 1u) * sizeof(*positions));
	struct str rest = buf_str(&notes->packed);
	struct outcome o;
	size_t n = 0;

	while (n < notes->count && outcome_unpack(&rest, &o) > 0) {
		int at = message_position(m, o.index);

		if (at >= 0)
			positions[n++] = (uint32_t) at;
	}
	*ret = positions;
	return n;
}

static int ask_bounce(struct message *m, const struct bounce_request *request, struct arena *a)
{
	struct bounce_reply rep;
	int r = CALL(m->q->bounce, bounce_request, request, a, bounce_reply, &rep, in(BOUNCE_MS));

	if (r >= 0 && rep.code != 0) {
		log_mail(ROAD_WARNING, m->id, "the sender cannot be notified now: %.*s", PSTR(rep.text));
		return -EAGAIN;
	}
	if (r < 0)
		log_mail(ROAD_WARNING, m->id, "the sender cannot be notified now: bounce service: %s",
			 error_text(r));
	return r;
}

static int notify_now(struct message *m, const char *kind, const struct notes *notes, int64_t retry_until_s,
		      struct arena *a)
{
	AUTO(buf) envelope = BUF(FRAME_LIMIT / 2);
	AUTO(buf) content = BUF(FRAME_LIMIT / 4);
	struct bounce_request request;
	uint32_t *positions;
	size_t n = positions_of(m, notes, a, &positions);
	int r = message_pack(m, positions, n, is_returned_by_verp(m)
			     && strcmp(kind, "failure") == 0, &envelope);

	if (r >= 0)
		r = queue_content_open(m->q->queue, m->where, m->id, &content);
	if (r < 0 && r != -EISNAM)
		return r;
	request = (struct bounce_request){
		.kind = str_of(kind),
		.queue_id = m->id,
		.envelope = buf_str(&envelope),
		.outcomes = buf_str(&notes->packed),
		.size = m->parts.size,
		.headers_at = m->parts.headers_at,
		.headers_len = m->parts.headers_len,
		.body_at = m->parts.body_at,
		.body_len = m->parts.body_len,
		.retry_until_s = retry_until_s,
		.content = buf_str(&content),
		.message = MAX(r, -1),
	};
	return ask_bounce(m, &request, a);
}

int notify(struct message *m, const char *kind, const struct notes *notes, int64_t retry_until_s)
{
	struct arena *a;
	int r = gate_enter(&m->q->bounce_gate, NEVER);

	if (r < 0)
		return r;
	a = arena_new("notice", NULL, (size_t) 256 << 20);
	r = notify_now(m, kind, notes, retry_until_s, a);
	arena_free(a);
	gate_leave(&m->q->bounce_gate);
	return r;
}
