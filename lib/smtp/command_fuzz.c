/* SPDX-License-Identifier: ISC */
/*
 * Command lines with their ESMTP parameters: whatever is accepted holds no control characters and
 * lies within the line.
 */
#include "lib/base/die.h"
#include "lib/smtp/command.h"
#include "lib/smtp/esmtp_args.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void within(struct str part, struct str whole)
{
	BUG_UNLESS(part.len == 0 || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len));
}

static void parse_args(struct str args, struct arena *a)
{
	struct mail_args m;
	struct rcpt_args r;
	struct str bad = STR_NONE;

	if (esmtp_mail_args(args, a, &m, &bad) == ESMTP_OK)
		BUG_UNLESS(!str_has_control(m.envid) && !str_has_control(m.auth));
	within(bad, args);
	if (esmtp_rcpt_args(args, a, &r, &bad) == ESMTP_OK)
		BUG_UNLESS(!str_has_control(r.orcpt));
	within(bad, args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str line = str_make((const char *) data, size);
	struct arena *a = arena_new("fuzz", NULL, 1 << 20);
	struct command c;
	uint64_t chunk;
	bool last;

	if (size <= 8192 && command_parse(line, size % 2 == 0, &c) >= 0) {
		BUG_UNLESS(c.verb.len > 0);
		within(c.verb, line);
		within(c.args, line);
		if (command_bdat(c.args, &chunk, &last) >= 0)
			BUG_UNLESS(chunk <= INT64_MAX);
		command_keyword(&c.args, STR("FROM:"));
		parse_args(c.args, a);
	}
	arena_free(a);
	return 0;
}
