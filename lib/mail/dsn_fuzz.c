/* SPDX-License-Identifier: ISC */
/* Status codes and xtext as remote hosts and clients send them. */
#include "lib/base/die.h"
#include "lib/mail/dsn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new("fuzz", NULL, 8 << 20);
	struct str in = str_make((const char *) data, MIN(size, 100000)), code, text, back;
	AUTO(buf) b = BUF(1 << 20);

	if (dsn_split(in, &code, &text) >= 0)
		BUG_UNLESS(dsn_is_valid(code) && code.len <= 9);
	dsn_of_reply(550, in, STR("5.0.0"), a, &code, &text);
	BUG_UNLESS(dsn_is_valid(code) && code.at[0] == '5');
	if (xtext_decode(in, a, &text) >= 0) {
		BUG_UNLESS(!str_has_control(text));
		BUG_UNLESS(xtext_encode(&b, text) == 0);
		BUG_UNLESS(xtext_decode(buf_str(&b), a, &back) == 0 && str_is(back, text));
	}
	buf_clear(&b);
	BUG_UNLESS(utf8_xtext_encode(&b, in) == 0 && str_is_ascii(buf_str(&b)));
	arena_free(a);
	return 0;
}
