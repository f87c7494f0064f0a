/* SPDX-License-Identifier: ISC */
/*
 * What a helper may write, any bytes: what is taken is a token within it, and base64 of anything
 * comes back as it was.
 */
#include "lib/base/base64.h"
#include "lib/base/die.h"
#include "services/tokens/helper.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_make((const char *) data, MIN(size, (size_t) 2 * MOST_TOKEN));
	AUTO(buf) encoded = BUF(8 * MOST_TOKEN), decoded = BUF(8 * MOST_TOKEN);
	struct token t;

	if (token_parse(text, &t) == 0) {
		BUG_UNLESS(t.text.len > 0 && t.text.len <= MOST_TOKEN && t.seconds >= 0
			   && t.seconds <= INT32_MAX);
		BUG_UNLESS(t.text.at >= text.at && t.text.at + t.text.len <= text.at + text.len
			   && str_plain_len(t.text) == t.text.len);
	}
	BUG_UNLESS(base64_encode(text, &encoded) == 0 && base64_decode(buf_str(&encoded), &decoded) == 0
		   && str_is(buf_str(&decoded), text));
	buf_clear(&encoded);
	buf_clear(&decoded);
	if (base64_decode(text, &decoded) == 0)
		BUG_UNLESS(base64_encode(buf_str(&decoded), &encoded) == 0
			   && str_is(buf_str(&encoded), text));
	return 0;
}
