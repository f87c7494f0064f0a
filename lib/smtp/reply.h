/* SPDX-License-Identifier: ISC */
/*
 * A server's reply (RFC 5321 4.2), line by line, and what an EHLO or LHLO reply offers. Whatever
 * the server says, what comes out has no control characters and a bounded length.
 */
#ifndef ROAD_SMTP_REPLY_H
#define ROAD_SMTP_REPLY_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

enum { REPLY_LINE_MAX = 12288 + 6 /* a challenge of AUTH, RFC 4954 4 */, REPLY_MAX = 64 << 10 };

struct reply {
	int code;			/* 200..599; 0: not a reply */
	struct buf lines;		/* whole lines, code and all, separated by LF */
};
#define REPLY ((struct reply){ .lines = BUF(REPLY_MAX) })

/*
 * 1: the reply is complete; 0: more lines follow; -EBADMSG: this is no reply (`lines` holds what
 * was said), and where the next one begins is unknown. The first line of a reply clears what r
 * held. The last line's code is the reply's.
 */
int reply_feed(struct reply *r, struct str line);
void reply_auto(struct reply *r);
static inline int reply_class(const struct reply *r) { return r->code / 100; }

/* All on one line: "550-5.7.1 first 550 5.7.1 last". In the arena. */
struct str reply_text(const struct reply *r, struct arena *a);
/*
 * The enhanced status code of the last line that has one, fitting the reply's class; fallback when
 * none has (RFC 2034 wants the same in all).
 */
struct str reply_dsn(const struct reply *r, struct str fallback, struct arena *a);
/* Walks the lines without codes: *rest starts as buf_str(&r->lines). False at the end. */
bool reply_next(struct str *rest, struct str *ret_text);

/* ---- what EHLO offers ---- */

enum ehlo_feature {
	EHLO_PIPELINING = 1,		/* RFC 2920 */
	EHLO_SIZE = 2,			/* RFC 1870 */
	EHLO_8BITMIME = 4,		/* RFC 6152 */
	EHLO_DSN = 8,			/* RFC 3461 */
	EHLO_SMTPUTF8 = 16,		/* RFC 6531 */
	EHLO_ENHANCED = 32,		/* RFC 2034 */
	EHLO_STARTTLS = 64,		/* RFC 3207 */
	EHLO_CHUNKING = 128,		/* RFC 3030 */
	EHLO_AUTH = 256,		/* RFC 4954 */
	EHLO_REQUIRETLS = 512,		/* RFC 8689 */
};
struct ehlo {
	unsigned features;		/* enum ehlo_feature */
	uint64_t size_limit;		/* 0: none was said */
	struct str host;		/* how the server calls itself; view into the reply */
};
/* `discard`: keywords to overlook, separated by commas or blanks (smtp_discard_ehlo_keywords). */
void ehlo_parse(const struct reply *r, struct str discard, struct ehlo *ret);
/*
 * The first 100 mechanisms of its AUTH lines, also of "AUTH=" ones, each once, separated by blanks.
 * What is no name of a mechanism is left out.
 */
void ehlo_mechanisms(const struct reply *r, struct buf *ret);

#endif
