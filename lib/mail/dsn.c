/* SPDX-License-Identifier: ISC */
/* Enhanced status codes (RFC 3463): "class.subject.detail". */
#include "lib/mail/dsn.h"

#include <errno.h>

/* ".ddd" of one to three digits at text[*at]. */
static bool skip_part(struct str text, size_t *at)
{
	size_t digits = 0;

	if (*at >= text.len || text.at[*at] != '.')
		return false;
	for ((*at)++; *at < text.len && is_digit(text.at[*at]); (*at)++)
		digits++;
	return digits >= 1 && digits <= 3;
}

/* The length of the code at the start of text, 0 when there is none. */
static size_t code_length(struct str text)
{
	size_t at = 1;

	if (text.len < 5 || (text.at[0] != '2' && text.at[0] != '4' && text.at[0] != '5'))
		return 0;
	return skip_part(text, &at) && skip_part(text, &at) ? at : 0;
}

int dsn_split(struct str s, struct str *ret_code, struct str *ret_text)
{
	size_t n = code_length(s);

	if (n == 0 || (n < s.len && !is_space(s.at[n])))
		return -EINVAL;
	*ret_code = str_head(s, n);
	*ret_text = str_trim(str_skip(s, n));
	return 0;
}

bool dsn_is_valid(struct str code)
{
	return code.len > 0 && code_length(code) == code.len;
}

void dsn_of_reply(int reply_code, struct str text, struct str fallback, struct arena *a, struct str *ret_code,
		  struct str *ret_text)
{
	int class = reply_code / 100;
	struct str code = fallback, rest = text;

	dsn_split(text, &code, &rest);
	if ((class == 2 || class == 4 || class == 5) && code.len > 0 && code.at[0] != '0' + class)
		code = arena_fmt(a, "%d%.*s", class, PSTR(str_skip(code, 1)));
	*ret_code = code;
	*ret_text = rest;
}
