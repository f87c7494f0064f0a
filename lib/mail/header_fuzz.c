/* SPDX-License-Identifier: ISC */
/* Header splitting: the pieces must add up to the input. */
#include "lib/base/die.h"
#include "lib/mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new("fuzz", NULL, 64 << 20);
	struct str in = str_make((const char *) data, size), rest = in;
	const char *at = in.at;
	struct header h;
	int r;

	while ((r = header_next(&rest, &h)) > 0) {
		BUG_UNLESS(h.whole.at == at && h.name.at == at && h.name.len > 0);
		BUG_UNLESS(h.value.at + h.value.len == h.whole.at + h.whole.len);
		BUG_UNLESS(is_header_start(h.whole));
		at = h.whole.at + h.whole.len + (rest.len > 0 || h.whole.at + h.whole.len < in.at + in.len);
		BUG_UNLESS(rest.len == 0 || rest.at == at);
		BUG_UNLESS(str_find(header_unfold(a, h.value, 1000), '\n') < 0);
	}
	arena_free(a);
	return 0;
}
