/* SPDX-License-Identifier: ISC */
#include "services/mtasts/store.h"

#include <errno.h>

#include "lib/base/clock.h"
#include "lib/dns/rdata.h"

static const struct str HEAD = STR_INIT("postroad-mtasts 1\n");

static void print_patterns(struct buf *b, struct str mx)
{
	struct str pattern;

	for (const char *before = ""; str_token(&mx, "\n", &pattern); before = " ")
		buf_addf(b, "%s%.*s", before, PSTR(pattern));
}

void store_print(struct buf *b)
{
	buf_add(b, HEAD);
	LIST_EACH(k, cache_all(), struct known, link) {
		if (!policy_is_live(k))
			continue;
		buf_addf(b, "%.*s\t%.*s\t%s\t%lld\t%lld\t%lld\t", PSTR(k->domain), PSTR(k->id),
			 mode_name(k->policy.mode), (long long) k->policy.max_age,
			 (long long) k->fetched_s, (long long) k->used_s);
		print_patterns(b, k->policy.mx);
		buf_add_byte(b, '\n');
	}
}

static bool parse_patterns(struct str text, struct buf *ret)
{
	struct str pattern;

	while (str_token(&text, " ", &pattern))
		if (!pattern_is_valid(pattern) || buf_add(ret, pattern) < 0 || buf_add_byte(ret, '\n') < 0)
			return false;
	return true;
}

static bool parse_line(struct str line)
{
	AUTO(buf) mx = BUF(POLICY_MOST);
	struct str domain, id, mode, age, fetched, used, valid;
	struct policy p;
	int64_t fetched_s, used_s;
	struct known *k;
	char room[256];

	if (!str_cut(&line, '\t', &domain) || !str_cut(&line, '\t', &id) || !str_cut(&line, '\t', &mode)
	    || !str_cut(&line, '\t', &age)
	    || !str_cut(&line, '\t', &fetched) || !str_cut(&line, '\t', &used) || !parse_patterns(line, &mx))
		return false;
	p.mode = mode_named(mode);
	p.mx = buf_str(&mx);
	if (!dns_name_is_valid(domain, room, &valid) || id.len > POLICY_MOST_ID || p.mode == STS_NO_POLICY
	    || str_to_int(age, 0, POLICY_MOST_AGE, &p.max_age) < 0
	    || str_to_int(fetched, 0, INT64_MAX / 2, &fetched_s) < 0
	    || str_to_int(used, 0, INT64_MAX / 2, &used_s) < 0)
		return false;
	k = cache_get(valid);
	/* a clock that was wrong makes no policy live for ever */
	cache_set_policy(k, &p, id, MIN(fetched_s, wall_s()));
	k->used_s = used_s;
	return true;
}

int store_parse(struct str text)
{
	struct str line;
	int malformed = 0;

	if (!str_starts(text, HEAD))
		return -EINVAL;
	text = str_skip(text, HEAD.len);
	while (text.len > 0) {
		str_cut(&text, '\n', &line);
		if (!parse_line(line))
			malformed++;
		else
			cache_shrink();
	}
	return malformed;
}
