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

int xtext_encode(struct buf *b, struct str s)
{
	int r = 0;

	for (size_t i = 0; i < s.len && r >= 0; i++) {
		char c = s.at[i];

		if (c > 32 && c < 127 && c != '+' && c != '=')
			r = buf_add_byte(b, c);
		else
			r = buf_addf(b, "+%02X", (unsigned) (unsigned char) c);
	}
	return r;
}
