/* SPDX-License-Identifier: ISC */
/*
 * Content decoding. The first byte says how the rest is cut in pieces, and whether it is DATA or
 * BDAT. Whatever the cuts: the output is the same, DATA ends at the first CR LF "." CR LF (or "."
 * CR LF at the start) and nowhere else, and no line of the output came from two lines of input.
 */
#include "lib/base/die.h"
#include "lib/smtp/dot_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t decode(struct str in, size_t step, bool dots, struct buf *out, bool *ret_ended)
{
	struct dot_in d;
	size_t used = 0;

	dot_in_begin(&d, dots);
	while (used < in.len && !dot_in_ended(&d))
		used += dot_in_feed(&d, str_head(str_skip(in, used), step), out);
	dot_in_finish(&d, out);
	BUG_UNLESS(d.bytes == out->len);
	*ret_ended = dot_in_ended(&d);
	return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf) whole = BUF(4 << 20);
	AUTO(buf) pieces = BUF(4 << 20);
	struct str in;
	bool dots, ended, ended_too;
	ssize_t at;
	size_t used;

	if (size < 1 || size > 1 << 20)
		return 0;
	in = str_make((const char *) data + 1, size - 1);
	dots = (data[0] & 1) != 0;
	used = decode(in, SIZE_MAX, dots, &whole, &ended);
	BUG_UNLESS(decode(in, 1 + (data[0] >> 1) % 7, dots, &pieces, &ended_too) == used
		   && ended == ended_too);
	BUG_UNLESS(str_is(buf_str(&whole), buf_str(&pieces)));
	at = str_starts(in, STR(".\r\n")) ? -2 : str_find_str(in, STR("\r\n.\r\n"));
	BUG_UNLESS(ended == (dots && at != -1));
	if (ended)
		BUG_UNLESS(used == (size_t) (at + 5));
	return 0;
}
