/* SPDX-License-Identifier: ISC */
#include "lib/base/base64.h"

#include <errno.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_encode(struct str bytes, struct buf *ret)
{
	size_t len = bytes.len > SIZE_MAX / 2 ? SIZE_MAX : (bytes.len + 2) / 3 * 4;
	char *to = buf_room(ret, len);

	if (to == NULL)
		return -EMSGSIZE;
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t n = MIN(bytes.len - i, (size_t) 3);
		uint32_t group = 0;

		for (size_t k = 0; k < 3; k++)
			group = group << 8 | (k < n ? (unsigned char) bytes.at[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			*to++ = k <= n ? digits[group >> (18 - 6 * k) & 63] : '=';
	}
	ret->len += len;
	return 0;
}

static int digit(char c)
{
	const char *at = c == 0 ? NULL : strchr(digits, c);

	return at == NULL ? -1 : (int) (at - digits);
}

/*
 * Four digits, of which the last `padding` are missing. What they hold beyond whole bytes must be
 * zero: there is one way to write a thing.
 */
static int decode_group(const char *at, size_t padding, char to[3])
{
	uint32_t group = 0;

	for (size_t k = 0; k < 4; k++) {
		int d = k < 4 - padding ? digit(at[k]) : 0;

		if (d < 0)
			return -EINVAL;
		group = group << 6 | (uint32_t) d;
	}
	for (size_t k = 0; k < 3 - padding; k++)
		to[k] = (char) (group >> (16 - 8 * k));
	return (group & ((1U << (8 * padding)) - 1)) == 0 ? 0 : -EINVAL;
}

int base64_decode(struct str text, struct buf *ret)
{
	size_t padding = 0, len;
	char *to;

	if (text.len % 4 != 0)
		return -EINVAL;
	while (padding < 2 && padding < text.len && text.at[text.len - 1 - padding] == '=')
		padding++;
	len = text.len / 4 * 3 - padding;
	to = buf_room(ret, len);
	if (to == NULL)
		return -EMSGSIZE;
	for (size_t i = 0; i < text.len; i += 4, to += 3) {
		if (decode_group(text.at + i, i + 4 == text.len ? padding : 0, to) == 0)
			continue;
		ret->at[ret->len] = 0;
		return -EINVAL;
	}
	ret->len += len;
	return 0;
}
