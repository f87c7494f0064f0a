/* SPDX-License-Identifier: ISC */
/* Growing bytes with a limit. The empty buffer points at a shared "", so it must never be written to. */
#include "lib/base/buf.h"

#include "lib/base/die.h"
#include "lib/base/format.h"

static const size_t SMALLEST = 64, USUAL = 127;

char *buf_grow(struct buf *b, size_t n)
{
	size_t need, cap;

	if (n > b->limit || b->len > b->limit - n)
		return NULL;
	need = b->len + n + 1;
	if (need > b->cap) {
		cap = MAX(b->cap, SMALLEST);
		while (cap < need)
			cap *= 2;
		cap = MIN(cap, MAX(b->limit + 1, need));
		b->at = resize_memory(b->cap == 0 ? NULL : b->at, cap);
		b->cap = cap;
	}
	b->at[b->len + n] = 0;
	return b->at + b->len;
}

int buf_addv(struct buf *b, const char *format, va_list arguments)
{
	va_list again;
	size_t spare;
	char *room;
	int n;

	/* Usually it fits into what is there. */
	if (b->cap == 0)
		buf_room(b, MIN(b->limit, USUAL));
	spare = b->cap == 0 ? 0 : b->cap - b->len;
	va_copy(again, arguments);
	n = format_textv(spare > 0 ? b->at + b->len : NULL, spare, format, again);
	va_end(again);
	room = n < 0 ? NULL : buf_room(b, (size_t) n);
	if (room == NULL) {
		if (spare > 0)
			b->at[b->len] = 0;
		return n < 0 ? -EINVAL : -EMSGSIZE;
	}
	if ((size_t) n >= spare)
		format_textv(room, (size_t) n + 1, format, arguments);
	b->len += (size_t) n;
	return 0;
}

int buf_add_u64(struct buf *b, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char) ('0' + n % 10);
	while ((n /= 10) > 0);
	return buf_add(b, str_make(digits + at, sizeof(digits) - at));
}

int buf_addf(struct buf *b, const char *format, ...)
{
	va_list arguments;
	int result;

	va_start(arguments, format);
	result = buf_addv(b, format, arguments);
	va_end(arguments);
	return result;
}

void buf_make_printable(struct buf *b, size_t from)
{
	const struct str s = str_skip(buf_str(b), from);
	char *at = b->at + from;
	size_t plain = str_plain_len(s);
	bool utf8 = plain < s.len && str_is_utf8(s);

	for (size_t i = plain; i < s.len; i++) {
		unsigned char c = (unsigned char) at[i];

		/* C1 control characters, U+0080 to U+009F, are c2 80 to c2 9f */
		if (utf8 && i > 0 && (unsigned char) at[i - 1] == 0xc2 && c < 0xa0)
			at[i - 1] = at[i] = '?';
		else if (!is_print((char) c) && (c < 0x80 || !utf8))
			at[i] = '?';
	}
}

int buf_add_printable(struct buf *b, struct str s)
{
	size_t from = b->len;
	int r = buf_add(b, s);

	if (r == 0)
		buf_make_printable(b, from);
	return r;
}

int buf_add_lower(struct buf *b, struct str s)
{
	char *room = buf_room(b, s.len);

	if (room == NULL)
		return -EMSGSIZE;
	for (size_t i = 0; i < s.len; i++)
		room[i] = to_lower(s.at[i]);
	b->len += s.len;
	return 0;
}

void buf_cut_front(struct buf *b, size_t n)
{
	if (n >= b->len) {
		buf_clear(b);
		return;
	}
	memmove(b->at, b->at + n, b->len - n + 1);
	b->len -= n;
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->cap > 0)
		b->at[0] = 0;
}

void buf_free(struct buf *b)
{
	if (b->cap > 0)
		free(b->at);
	*b = BUF(b->limit);
}

void buf_wipe(struct buf *b)
{
	if (b->cap > 0)
		explicit_bzero(b->at, b->cap);
	buf_free(b);
}

void buf_auto(struct buf *b)
{
	buf_free(b);
}
