/* SPDX-License-Identifier: ISC */
#include "lib/table/fold.h"

#include <locale.h>
#include <wctype.h>

static locale_t utf8;			/* 0: not to be had */

void key_fold_prepare(void)
{
	static bool tried;

	if (!tried)
		utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0);
	tried = true;
}

/* The character at the front of well-formed UTF-8, taken off. */
static uint32_t take_character(struct str *rest)
{
	const unsigned char *at = (const unsigned char *) rest->at;
	size_t len = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	uint32_t c = len == 1 ? at[0] : at[0] & (0x7fu >> len);

	for (size_t i = 1; i < len; i++)
		c = c << 6 | (at[i] & 0x3f);
	*rest = str_skip(*rest, len);
	return c;
}

static void add_character(struct buf *out, uint32_t c)
{
	char bytes[4];
	size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	for (size_t i = len - 1; i > 0; i--, c >>= 6)
		bytes[i] = (char) (0x80 | (c & 0x3f));
	bytes[0] = (char) (len == 1 ? c : (0xf00u >> len & 0xff) | c);
	buf_add(out, str_make(bytes, len));
}

void key_fold(struct buf *out, struct str key)
{
	if (str_is_ascii(key) || utf8 == (locale_t) 0 || !str_is_utf8(key)) {
		buf_add_lower(out, key);
		return;
	}
	while (key.len > 0)
		add_character(out, (uint32_t) towlower_l((wint_t) take_character(&key), utf8));
}
