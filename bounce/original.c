/* SPDX-License-Identifier: ISC */
/* The message that the notification is about, as qmgr passed it. */
#include "bounce/notice.h"

#include <errno.h>

enum { PIECE = 16 << 10 };

/*
 * RET=HDRS, and notices that nothing is lost without, have the headers only; so has what is too
 * large to be carried twice.
 */
bool wants_whole_message(const struct notice *n, enum notice_audience who)
{
	if ((n->e.flags & ENVELOPE_REQUIRETLS) != 0 && n->conf->requiretls_redact_dsn)
		return false;
	return who != TO_POSTMASTER && n->kind == BOUNCE_FAILURE && n->e.ret != RETURN_HEADERS
	       && n->content.parts.size <= (uint64_t) n->conf->bounce_size_limit;
}

static int write_range(const struct notice *n, uint64_t len, struct mail_out *m, when_t until)
{
	struct arena *a = arena_new("piece", NULL, 2 * PIECE);
	char *piece = arena_get(a, PIECE);
	uint64_t at = 0;
	ssize_t r = 0;

	while (len > 0) {
		r = content_pread(&n->content, at, piece, (size_t) MIN(len, (uint64_t) PIECE));
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
	uint64_t headers = n->content.parts.headers_len;

	return write_range(n, whole ? n->content.parts.size : MIN(headers,
								  (uint64_t) n->conf->bounce_size_limit), m,
									  until);
}
