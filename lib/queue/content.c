/* SPDX-License-Identifier: ISC */
/*
 * See content.h. In a small file, headers, empty line and body lie side by side; in a large one the
 * body comes first.
 */
#include "lib/queue/content.h"

#include <errno.h>
#include <sys/stat.h>

#include "lib/disk/disk.h"

bool content_is_whole(const struct content *c)
{
	return c->bytes.len > 0 ? c->bytes.len == c->parts.size
	       && c->parts.headers_len <= c->parts.size : c->file >= 0;
}

bool content_is_cut_off(const struct content *c)
{
	const struct queue_parts *p = &c->parts;
	const uint64_t end = MAX(p->headers_at + p->headers_len,
				 p->body_len == 0 ? 0 : p->body_at + p->body_len);
	struct stat st;

	return c->bytes.len == 0 && fstat(c->file, &st) == 0 && (uint64_t) st.st_size < end;
}

static ssize_t read_part(const struct content *c, uint64_t part_at, uint64_t part_len, uint64_t skip,
			 void *to, size_t n)
{
	size_t want = (size_t) MIN((uint64_t) n, part_len - skip);
	ssize_t got = pread_all(c->file, to, want, (off_t) (part_at + skip));

	return got < 0 || (size_t) got == want ? got : -EIO;
}

static ssize_t read_memory(struct str bytes, uint64_t at, void *to, size_t n)
{
	struct str piece = at >= bytes.len ? STR_NONE : str_head(str_skip(bytes, (size_t) at), n);

	memcpy(to, piece.at, piece.len);
	return (ssize_t) piece.len;
}

ssize_t content_pread(const struct content *c, uint64_t at, void *to, size_t n)
{
	const struct queue_parts *p = &c->parts;

	if (n == 0 || at >= p->size)
		return 0;
	if (c->bytes.len > 0)
		return read_memory(c->bytes, at, to, n);
	if (p->size == p->headers_len || p->body_at == p->headers_at + p->headers_len + 1)
		return read_part(c, p->headers_at, p->size, at, to, n);
	if (at < p->headers_len)
		return read_part(c, p->headers_at, p->headers_len, at, to, n);
	if (at == p->headers_len) {
		*(char *) to = '\n';
		return 1;
	}
	return read_part(c, p->body_at, p->body_len, at - p->headers_len - 1, to, n);
}
