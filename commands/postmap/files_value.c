/* SPDX-License-Identifier: ISC */
/* postmap -F: the contents of files as a value, in base64 (RFC 4648), so that any bytes can stand in any table. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "commands/postmap/postmap.h"
#include "lib/base/die.h"
#include "lib/table/source.h"

enum { MOST_CONTENT = 16 << 20 };

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode(struct str bytes, struct buf *ret)
{
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t n = MIN(bytes.len - i, (size_t) 3);
		uint32_t group = 0;
		char text[4];

		for (size_t k = 0; k < 3; k++)
			group = group << 8 | (k < n ? (unsigned char) bytes.at[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			text[k] = k <= n ? digits[group >> (18 - 6 * k) & 63] : '=';
		buf_add(ret, str_make(text, 4));
	}
}

int files_value(struct str value, struct buf *ret, struct buf *why)
{
	AUTO(buf) content = BUF(MOST_CONTENT);
	struct str name;

	while (str_token(&value, ", \t\r\n", &name)) {
		AUTO(buf) path = BUF(4096), one = BUF(MOST_CONTENT);
		AUTO_FD fd = -1;
		int r;

		buf_add(&path, name);
		fd = open(buf_text(&path), O_RDONLY | O_CLOEXEC | O_NOCTTY);
		r = fd < 0 ? -errno : source_read_file(fd, MOST_CONTENT / 2, &one);
		if (r == 0)
			r = buf_add(&content, buf_str(&one));
		if (r == 0)
			r = buf_add_byte(&content, '\n');	/* a last line without its end does not run into the next file */
		if (r < 0) {
			buf_addf(why, "open %s: %s", buf_text(&path), error_text(r));
			return r;
		}
	}
	encode(buf_str(&content), ret);
	return 0;
}

static int digit(char c)
{
	const char *at = c == 0 ? NULL : strchr(digits, c);

	return at == NULL ? -1 : (int) (at - digits);
}

int decode_files_value(struct str value, struct buf *ret, struct buf *why)
{
	size_t padding = 0;

	while (padding < 2 && padding < value.len && value.at[value.len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < value.len; i += 4) {
		const size_t n = i + 4 == value.len ? 4 - padding : 4;
		uint32_t group = 0;

		for (size_t k = 0; k < 4; k++) {
			int d = i + 4 > value.len ? -1 : k < n ? digit(value.at[i + k]) : 0;

			if (d < 0) {
				buf_add_text(why, "the value is not base64: the table was made without -F");
				return -EINVAL;
			}
			group = group << 6 | (uint32_t) d;
		}
		for (size_t k = 0; k + 1 < n; k++)
			buf_add_byte(ret, (char) (group >> (16 - 8 * k)));
	}
	return 0;
}
