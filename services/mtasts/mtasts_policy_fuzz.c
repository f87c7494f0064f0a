/* SPDX-License-Identifier: ISC */
/*
 * A policy file, or a record, of any bytes: what is accepted is what the standard allows, and is
 * the same when it is read again.
 */
#include "lib/base/die.h"
#include "services/mtasts/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_policy(struct arena *a, const struct policy *p)
{
	AUTO(buf) text = BUF(1 << 20), why = BUF_WORDS;
	struct str rest = p->mx, pattern;
	struct policy again;

	BUG_UNLESS(p->mode != STS_NO_POLICY && p->max_age >= 0 && p->max_age <= POLICY_MOST_AGE
		   && p->mx.len <= POLICY_MOST);
	BUG_UNLESS(p->mode == STS_NONE || p->mx.len > 0);
	buf_addf(&text, "version: STSv1\nmode: %s\nmax_age: %lld\n", mode_name(p->mode),
		 (long long) p->max_age);
	while (str_token(&rest, "\n", &pattern)) {
		BUG_UNLESS(pattern_is_valid(pattern));
		buf_addf(&text, "mx: %.*s\n", PSTR(pattern));
	}
	BUG_UNLESS(policy_parse(buf_str(&text), a, &again, &why) == 0);
	BUG_UNLESS(again.mode == p->mode && again.max_age == p->max_age && str_is(again.mx, p->mx));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_make((const char *) data, MIN(size, (size_t) POLICY_MOST)), id;
	struct arena *a = arena_new("fuzz", NULL, 1 << 20);
	AUTO(buf) why = BUF_WORDS;
	struct policy p;

	if (policy_parse(text, a, &p, &why) == 0)
		check_policy(a, &p);
	else
		BUG_UNLESS(why.len > 0);
	if (record_parse(text, &id) > 0)
		BUG_UNLESS(id.len > 0 && id.len <= POLICY_MOST_ID && id.at >= text.at
			   && id.at + id.len <= text.at + text.len);
	arena_free(a);
	return 0;
}
