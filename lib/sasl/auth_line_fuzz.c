/* SPDX-License-Identifier: ISC */
/*
 * Any bytes as lines of an authentication server: what comes out is bounded, printable, and of the
 * known kinds.
 */
#include "lib/base/die.h"
#include "lib/sasl/auth_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct auth_line *l)
{
	BUG_UNLESS(l->word <= AUTH_OTHER);
	BUG_UNLESS((l->id != 0) == (l->word == AUTH_OK || l->word == AUTH_CONT || l->word == AUTH_FAIL));
	BUG_UNLESS(l->word != AUTH_MECH || is_mechanism_name(l->name));
	BUG_UNLESS(is_base64(l->challenge));
	BUG_UNLESS(l->word != AUTH_OK || l->user.len > 0);
	BUG_UNLESS(l->user.len <= AUTH_LONGEST_USER && !str_has_control(l->user));
	BUG_UNLESS(l->reason.len <= AUTH_LONGEST_REASON && !str_has_control(l->reason));
}

/* What is written as a value is one word, and comes back as it was if it is printable. */
static void check_value(struct arena *a, struct str value)
{
	AUTO(buf) line = BUF(2 * AUTH_LONGEST_LINE);
	struct auth_line l;

	buf_add_text(&line, "FAIL\t1\tuser=");
	auth_add_value(&line, value);
	buf_add_text(&line, "\ttemp");
	if (auth_line_parse(a, buf_str(&line), &l) < 0)
		return;
	BUG_UNLESS(l.is_temporary);
	if (str_plain_len(value) == value.len)
		BUG_UNLESS(str_is(l.user, value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_make((const char *) data, size), line;
	struct arena *a = arena_new("fuzz", NULL, 4 << 20);
	struct auth_line l;
	bool more;

	check_value(a, str_head(rest, AUTH_LONGEST_USER / 2));
	do {
		more = str_cut(&rest, '\n', &line);
		if (auth_line_parse(a, line, &l) == 0)
			check(&l);
		arena_reset(a);
	} while (more);
	arena_free(a);
	return 0;
}
