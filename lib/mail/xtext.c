/* SPDX-License-Identifier: ISC */
/*
 * xtext (RFC 3461 4): printable ASCII as it is, everything else as "+" and two hexadecimal digits. "="
 * should be too, but not every client knows, and addresses of mailing lists have it.
 */
#include "lib/mail/dsn.h"

#include <errno.h>

int xtext_decode(struct str x, struct arena *a, struct str *ret)
{
	char *to = arena_get(a, x.len + 1);
	struct str text;
	size_t len = 0;

	for (size_t i = 0; i < x.len; i++) {
		char c = x.at[i];

		if (c == '+') {
			int high = i + 2 < x.len ? hex_value(x.at[i + 1]) : -1;
			int low = high < 0 ? -1 : hex_value(x.at[i + 2]);

			if (low < 0)
				return -EINVAL;
			c = (char) (high * 16 + low);
			i += 2;
		} else if (c == ' ') {
			return -EINVAL;
		}
		to[len++] = c;
	}
	text = str_make(to, len);
	if (str_has_control(text) || !str_is_utf8(text))
		return -EINVAL;
	*ret = text;
	return 0;
}

static bool is_xchar(char c)
{
	return c > 32 && c < 127 && c != '+' && c != '=';
}

int xtext_encode(struct buf *b, struct str s)
{
	int r = 0;

	for (size_t i = 0; i < s.len && r >= 0; i++) {
		char c = s.at[i];

		if (is_xchar(c))
			r = buf_add_byte(b, c);
		else
			r = buf_addf(b, "+%02X", (unsigned) (unsigned char) c);
	}
	return r;
}

/* Of a byte that is no UTF-8 there is only itself. */
static size_t take_code_point(struct str s, unsigned *ret)
{
	const unsigned char first = (unsigned char) s.at[0];
	size_t len = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4, n;

	*ret = len == 1 ? first : first & (0x7fu >> len);
	for (n = 1; n < MIN(len, s.len); n++)
		*ret = *ret << 6 | (s.at[n] & 0x3f);
	return n;
}

int utf8_xtext_encode(struct buf *b, struct str s)
{
	int r = 0;

	while (s.len > 0 && r >= 0) {
		char c = s.at[0];
		unsigned code_point;
		size_t n = take_code_point(s, &code_point);

		if (is_xchar(c))
			r = buf_add_byte(b, c);
		else
			r = buf_addf(b, "\\x{%02X}", code_point);
		s = str_skip(s, n);
	}
	return r;
}
