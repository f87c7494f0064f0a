/* SPDX-License-Identifier: ISC */
/*
 * The message as one sequence of bytes: its headers, an empty line, its body. In the file these are parts
 * found by offset.
 */
#include <errno.h>

#include "lib/agent/agent.h"
#include "lib/base/die.h"
#include "lib/disk/disk.h"

static ssize_t read_part(struct delivery *d, uint64_t part_at, uint64_t part_len, uint64_t skip, void *to,
			 size_t n)
{
	size_t want = (size_t) MIN((uint64_t) n, part_len - skip);
	ssize_t got = pread_all(d->message, to, want, (off_t) (part_at + skip));

	return got < 0 || (size_t) got == want ? got : -EIO;
}

ssize_t content_read(struct delivery *d, uint64_t at, void *to, size_t n)
{
	const struct queue_parts *p = &d->parts;

	if (n == 0)
		return 0;
	if (at < p->headers_len)
		return read_part(d, p->headers_at, p->headers_len, at, to, n);
	if (p->size <= p->headers_len)
		return 0;		/* not even an empty line */
	at -= p->headers_len;
	if (at == 0) {
		ssize_t got = p->body_len > 0 && n > 1
				      ? read_part(d, p->body_at, p->body_len, 0, (char *) to + 1, n - 1)
				      : 0;

		*(char *) to = '\n';
		return got < 0 ? got : got + 1;
	}
	if (at - 1 < p->body_len)
		return read_part(d, p->body_at, p->body_len, at - 1, to, n);
	return 0;
}
