/* SPDX-License-Identifier: ISC */
/*
 * Bytes we own. at[len] is always 0 once something was added (and at is "" before).
 * `limit` bounds hostile growth: adding beyond it changes nothing and returns -EMSGSIZE.
 */
#ifndef ROAD_BASE_BUF_H
#define ROAD_BASE_BUF_H

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "lib/base/str.h"

struct buf {
	char *at;
	size_t len, cap, limit;
};

#define BUF(max) ((struct buf){ .at = (char *) "", .limit = (max) })
#define BUF_WORDS BUF(4096)	/* for a `struct buf *why` */

static inline int buf_add(struct buf *b, struct str s);
static inline int buf_add_byte(struct buf *b, char c);
static inline int buf_add_text(struct buf *b, const char *text);
__attribute__((format(printf, 2, 3))) int buf_addf(struct buf *b, const char *format, ...);
__attribute__((format(printf, 2, 0))) int buf_addv(struct buf *b, const char *format, va_list arguments);
int buf_add_u64(struct buf *b, uint64_t n);		/* in decimal digits */
/* control and non-ASCII bytes as '?'; UTF-8 is kept */
int buf_add_printable(struct buf *b, struct str s);
void buf_make_printable(struct buf *b, size_t from);	/* the same with what is there, from that byte on */
int buf_add_lower(struct buf *b, struct str s);

/* Makes room for n more bytes and returns where they go (then raise len), or NULL at the limit. */
static inline char *buf_room(struct buf *b, size_t n);

void buf_cut_front(struct buf *b, size_t n);		/* drops the first n bytes */
void buf_clear(struct buf *b);				/* keeps the memory */
void buf_free(struct buf *b);				/* usable again afterwards */
void buf_auto(struct buf *b);
/*
 * A buffer for a secret never grows, which would leave copies behind: it starts with buf_room() for
 * all of its limit.
 */
void buf_wipe(struct buf *b);				/* overwrites, then frees */
static inline struct str buf_str(const struct buf *b) { return (struct str){ b->at, b->len }; }
static inline const char *buf_text(const struct buf *b) { return b->at; }

/* ---- nearly always there is room: what happens then is said here, for the compiler to see ---- */

char *buf_grow(struct buf *b, size_t n);		/* for buf_room() */

static inline char *buf_room(struct buf *b, size_t n)
{
	if (n >= b->cap || b->len + n >= b->cap || b->len + n > b->limit)
		return buf_grow(b, n);
	b->at[b->len + n] = 0;
	return b->at + b->len;
}

static inline int buf_add(struct buf *b, struct str s)
{
	char *room = buf_room(b, s.len);

	if (room == NULL)
		return -EMSGSIZE;
	if (s.len > 0)
		memcpy(room, s.at, s.len);
	b->len += s.len;
	return 0;
}

static inline int buf_add_byte(struct buf *b, char c)
{
	char *room = buf_room(b, 1);

	if (room == NULL)
		return -EMSGSIZE;
	*room = c;
	b->len++;
	return 0;
}

static inline int buf_add_text(struct buf *b, const char *text)
{
	return buf_add(b, str_of(text));
}

#endif
