/* SPDX-License-Identifier: ISC */
/*
 * Content on its way out. The first byte says how it is cut in pieces and how long lines may be.
 * Whatever the content: the server on the other side finds the end where we put it and nowhere
 * before, every line end is CR LF, and without a limit of lines it decodes to what went in.
 */
#include "lib/base/die.h"
#include "lib/smtp/dot_in.h"
#include "lib/smtp/dot_out.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(struct str in, size_t step, size_t limit, struct buf *out)
{
	struct dot_out d = { .limit = limit };

	for (size_t at = 0; at < in.len; at += step)
		BUG_UNLESS(dot_out_feed(&d, str_head(str_skip(in, at), step), out) == 0);
	BUG_UNLESS(dot_out_end(&d, out) == 0);
}

static void check_lines(struct str sent, size_t limit)
{
	struct str line;
	size_t dots;

	while (str_cut(&sent, '\n', &line)) {
		BUG_UNLESS(str_ends(line, STR("\r")));
		dots = str_starts(line, STR(".")) ? 1 : 0;
		BUG_UNLESS(limit == 0 || line.len <= MAX(limit, (size_t) 2) + 1 + dots);
	}
	BUG_UNLESS(sent.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf) whole = BUF(16 << 20);
	AUTO(buf) pieces = BUF(16 << 20);
	AUTO(buf) back = BUF(16 << 20);
	struct dot_in d;
	struct str in;
	size_t limit;

	if (size < 1 || size > 1 << 16)
		return 0;
	in = str_make((const char *) data + 1, size - 1);
	limit = data[0] % 16;
	encode(in, SIZE_MAX / 2, limit, &whole);
	encode(in, 1 + (data[0] >> 4) % 7, limit, &pieces);
	BUG_UNLESS(str_is(buf_str(&whole), buf_str(&pieces)));
	check_lines(buf_str(&whole), limit);
	dot_in_begin(&d, true);
	BUG_UNLESS(dot_in_feed(&d, buf_str(&whole), &back) == whole.len && dot_in_ended(&d));
	dot_in_finish(&d, &back);
	if (limit == 0 && str_find(in, '\r') < 0)
		BUG_UNLESS(str_starts(buf_str(&back), in) && back.len - in.len <= 1);
	return 0;
}
