/* SPDX-License-Identifier: ISC */
/* The MIME walker and the downgrade: the same output however the input is cut into pieces. */
#include "lib/base/buf.h"
#include "lib/base/die.h"
#include "lib/mail/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void to_buf(void *arg, struct str bytes)
{
	buf_add(arg, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new("fuzz", NULL, 8 << 20);
	struct str in = str_make((const char *) data, MIN(size, 200000));
	size_t piece = in.len == 0 ? 1 : 1 + data[0] % 50;
	AUTO(buf) whole = BUF(8 << 20);
	AUTO(buf) pieces = BUF(8 << 20);
	struct mime_downgrade *d = mime_downgrade_new(a, to_buf, &whole);

	mime_downgrade_feed(d, in);
	mime_downgrade_end(d);
	d = mime_downgrade_new(a, to_buf, &pieces);
	for (size_t at = 0; at < in.len; at += piece)
		mime_downgrade_feed(d, str_head(str_skip(in, at), piece));
	mime_downgrade_end(d);
	BUG_UNLESS(str_is(buf_str(&whole), buf_str(&pieces)));
	arena_free(a);
	return 0;
}
