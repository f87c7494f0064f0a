/* SPDX-License-Identifier: ISC */
/*
 * Any lines as a server's replies: what comes out is bounded, without control characters, and
 * features are of the known ones.
 */
#include "lib/base/die.h"
#include "lib/smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_mechanisms(const struct reply *r, const struct ehlo *e)
{
	AUTO(buf) names = BUF(REPLY_MAX);
	struct str rest, name;

	ehlo_mechanisms(r, &names);
	BUG_UNLESS(names.len == 0 || (e->features & EHLO_AUTH) != 0);
	for (rest = buf_str(&names); str_token(&rest, " ", &name);)
		BUG_UNLESS(name.len <= 20 && str_plain_len(name) == name.len);
}

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
			check_mechanisms(&r, &e);
		}
		arena_reset(a);
	}
	reply_auto(&r);
	arena_free(a);
	return 0;
}
