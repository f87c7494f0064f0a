/* SPDX-License-Identifier: ISC */
/* Any lines as a server's replies: what comes out is bounded, without control characters, and features are of the known ones. */
#include "lib/base/die.h"
#include "lib/smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_make((const char *) data, size), line;
	struct arena *a = arena_new("fuzz", NULL, 1 << 20);
	struct reply r = REPLY;
	struct ehlo e;

	for (bool more = size > 0; more;) {
		int result;

		more = str_cut(&rest, '\n', &line);
		result = reply_feed(&r, str_head(line, REPLY_LINE_MAX));
		BUG_UNLESS(r.lines.len <= REPLY_MAX);
		if (result == 0)
			continue;
		BUG_UNLESS((result == 1) == (r.code >= 200 && r.code <= 599));
		BUG_UNLESS(!str_has_control(reply_text(&r, a)));
		if (result == 1) {
			struct str dsn = reply_dsn(&r, STR("4.0.0"), a);

			BUG_UNLESS(dsn.len >= 5);
			ehlo_parse(&r, STR("dsn"), &e);
			BUG_UNLESS((e.features & ~511U) == 0 && (e.features & EHLO_DSN) == 0);
		}
		arena_reset(a);
	}
	reply_auto(&r);
	arena_free(a);
	return 0;
}
