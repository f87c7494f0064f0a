/* SPDX-License-Identifier: ISC */
/* See request.h. */
#include "lib/agent/request.h"

#include <errno.h>

int request_open(const struct deliver_request *m, struct arena *a, struct delivery *ret)
{
	struct delivery d = {
		.queue_id = arena_copy(a, m->queue_id),
		.transport = arena_copy(a, m->transport),
		.nexthop = arena_copy(a, m->nexthop),
		.parts = { .size = m->size, .headers_at = m->headers_at, .headers_len = m->headers_len,
			   .body_at = m->body_at, .body_len = m->body_len },
		.message = m->message,
		.flags = (unsigned) m->flags,
		.arena = a,
		.active_us = m->active_us,
		.dispatch_us = m->dispatch_us,
		.line = BUF(8192),
	};
	int r;

	if (!queue_id_is_valid(d.queue_id) || m->message < 0)
		return -EBADMSG;
	r = envelope_unpack(arena_copy(a, m->envelope), a, &d.env);
	if (r < 0)
		return r;
	d.env.queue_id = d.queue_id;
	d.outcomes = arena_get(a, d.env.recipient_count * sizeof(*d.outcomes));
	*ret = d;
	return 0;
}
