/* SPDX-License-Identifier: ISC */
/* The message that the notification is about, read from the queue file that qmgr passed. */
#include "bounce/notice.h"

#include <errno.h>

#include "lib/disk/disk.h"

enum { PIECE = 16 << 10 };

/* RET=HDRS, and notices that nothing is lost without, have the headers only; so has what is too large to be carried twice. */
bool wants_whole_message(const struct notice *n, enum notice_audience who)
{
	return who == TO_SENDER && n->kind == NOTICE_FAILURE && n->e.ret != RETURN_HEADERS
	       && n->parts.size <= (uint64_t) n->conf->bounce_size_limit;
}

static int write_range(const struct notice *n, uint64_t at, uint64_t len, struct mail_out *m, when_t until)
{
	struct arena *a = arena_new("piece", NULL, 2 * PIECE);
	char *piece = arena_get(a, PIECE);
	ssize_t r = 0;

	while (len > 0) {
		r = pread_all(n->message, piece, (size_t) MIN(len, (uint64_t) PIECE), (off_t) at);
		if (r <= 0)
			break;
		mail_out_write(m, str_make(piece, (size_t) r), until);
		at += (uint64_t) r;
		len -= (uint64_t) r;
	}
	arena_free(a);
	return r < 0 ? (int) r : len > 0 ? -EIO : 0;
}

int write_original(const struct notice *n, bool whole, struct mail_out *m, when_t until)
{
	uint64_t headers = n->parts.headers_len;
	int r;

	if (n->message < 0)
		return -EBADF;
	if (!whole)
		headers = MIN(headers, (uint64_t) n->conf->bounce_size_limit);
	r = write_range(n, n->parts.headers_at, headers, m, until);
	if (r < 0 || !whole || n->parts.size <= n->parts.headers_len)
		return r;
	mail_out_write(m, STR("\n"), until);
	return write_range(n, n->parts.body_at, n->parts.body_len, m, until);
}
