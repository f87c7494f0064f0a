/* SPDX-License-Identifier: ISC */
/* See request.h. */
#include "lib/agent/request.h"

#include <errno.h>
#include <fcntl.h>

int request_open(const struct deliver_request *m, struct arena *a, struct delivery *ret)
{
	struct delivery d = {
		.queue_id = arena_copy(a, m->queue_id),
		.transport = arena_copy(a, m->transport),
		.nexthop = arena_copy(a, m->nexthop),
		.content = { .bytes = arena_copy(a, m->content), .file = m->message,
			     .parts = { .size = m->size, .headers_at = m->headers_at,
					.headers_len = m->headers_len, .body_at = m->body_at,
					.body_len = m->body_len } },
		.flags = (unsigned) m->flags,
		.arena = a,
		.active_us = m->active_us,
		.dispatch_us = m->dispatch_us,
		.line = BUF(8192),
	};
	int r;

	if (!queue_id_is_valid(d.queue_id) || !content_is_whole(&d.content))
		return -EBADMSG;
	r = envelope_unpack(arena_copy(a, m->envelope), a, &d.env);
	if (r < 0)
		return r;
	d.env.queue_id = d.queue_id;
	d.outcomes = arena_get(a, d.env.recipient_count * sizeof(*d.outcomes));
	*ret = d;
	return 0;
}

int request_of(const struct delivery *d, const struct recipient *r, struct buf *packed,
	       struct deliver_request *ret)
{
	struct envelope e = d->env;
	struct recipient one;
	int error, fd;

	if (r != NULL) {
		one = *r;
		e.recipient_count = 1;
		e.recipients = &one;
	}
	error = envelope_pack(&e, packed);
	if (error < 0)
		return error;
	fd = d->content.file < 0 ? -1 : fcntl(d->content.file, F_DUPFD_CLOEXEC, 0);
	if (fd < 0 && d->content.file >= 0)
		return -errno;
	*ret = (struct deliver_request) {
		.queue_id = d->queue_id, .transport = d->transport, .nexthop = d->nexthop,
		.envelope = buf_str(packed),
		.size = d->content.parts.size, .headers_at = d->content.parts.headers_at,
		.headers_len = d->content.parts.headers_len,
		.body_at = d->content.parts.body_at, .body_len = d->content.parts.body_len,
		.active_us = d->active_us, .dispatch_us = d->dispatch_us, .flags = d->flags,
		.content = d->content.bytes, .message = fd,
	};
	return 0;
}
