/* SPDX-License-Identifier: ISC */
/*
 * Canonical mapping (canonical(5)) and masquerading: what cleanup does with an address once it has its
 * standard form, in envelopes and headers.
 */
#include <errno.h>

#include "lib/mail/mail_address.h"
#include "lib/route/private.h"

enum { MOST_ROUNDS = 10 };	/* a result is looked up again; who is not done by then has a loop */

static const struct { const char *name; unsigned use; } uses[] = {
	{ "envelope_sender", USE_ENVELOPE_SENDER }, { "envelope_recipient", USE_ENVELOPE_RECIPIENT },
	{ "header_sender", USE_HEADER_SENDER }, { "header_recipient", USE_HEADER_RECIPIENT },
};

static int parse_uses(const char *parameter, const char *text, unsigned *ret, struct buf *why)
{
	struct str rest = str_of(text), word;

	*ret = 0;
	while (str_token(&rest, ", \t\r\n", &word)) {
		unsigned use = 0;

		for (size_t i = 0; i < COUNT_OF(uses); i++)
			if (str_is_nocase(word, str_of(uses[i].name)))
				use = uses[i].use;
		if (use == 0) {
			buf_addf(why, "%s: unknown class \"%.*s\"", parameter, PSTR(word));
			return -EINVAL;
		}
		*ret |= use;
	}
	return 0;
}

/* "example.com", or "!sub.example.com" for one whose hosts keep their names. */
static void parse_masquerade(struct route *r)
{
	struct str rest = str_of(r->conf.masquerade_domains), word;

	while (str_token(&rest, ", \t\r\n", &word)) {
		struct masquerade m = { .domain = word };

		for (; str_starts(m.domain, STR("!")); m.domain = str_skip(m.domain, 1))
			m.is_kept = !m.is_kept;
		*vec_add(r->arena, &r->masquerade) = m;
	}
}

int open_canonical(struct route *r, struct buf *why)
{
	const struct route_conf *c = &r->conf;
	int error = parse_uses("canonical_classes", c->canonical_classes, &r->canonical_uses, why);

	if (error >= 0)
		error = parse_uses("sender_canonical_classes", c->sender_canonical_classes,
				   &r->sender_canonical_uses, why);
	if (error >= 0)
		error = parse_uses("recipient_canonical_classes", c->recipient_canonical_classes,
				   &r->recipient_canonical_uses, why);
	if (error >= 0)
		error = parse_uses("masquerade_classes", c->masquerade_classes, &r->masquerade_uses, why);
	if (error >= 0 && c->masquerade_exceptions[0] != '\0')
		error = match_list_open("masquerade_exceptions", str_of(c->masquerade_exceptions), 0,
					&r->masquerade_exceptions, why);
	if (error >= 0)
		parse_masquerade(r);
	return error;
}

/* ---- tables ---- */

int route_map_one(struct route *r, struct arena *a, struct tables *ts, const char *parameter, bool propagate,
		  struct str address, struct str *ret)
{
	struct str value, extension = STR_NONE;
	struct str_list results;
	int found = route_lookup_address(r, ts, a, address, &value, &extension);

	if (found < 0)
		return cannot_tell(r, found, "%s: %s", parameter, tables_why(ts));
	if (found == 0)
		return 0;
	found = route_map_result(r, a, address, value, extension, propagate, &results);
	if (found >= 0 && results.count == 0)
		found = cannot_tell(r, -EBADMSG, "%s: empty result for %.*s", parameter, PSTR(address));
	if (found < 0)
		return found;
	*ret = results.at[0];		/* one address cannot become several: the first counts */
	return 1;
}

/* Until nothing more is found, or an address is its own result. */
static int map_repeatedly(struct route *r, struct arena *a, struct tables *ts, const char *parameter,
			  struct str *address)
{
	struct str first = *address;

	if (tables_are_empty(ts))
		return 0;
	for (int round = 0; round < MOST_ROUNDS; round++) {
		struct str next;
		int found = route_map_one(r, a, ts, parameter, r->propagate_canonical, *address, &next);
		bool is_itself = found > 0 && str_is_nocase(next, *address);

		if (found < 0)
			return found;
		if (found > 0)
			*address = next;
		if (found == 0 || is_itself)
			return !str_is(first, *address);
	}
	return cannot_tell(r, -ELOOP, "unreasonable %s map nesting for %.*s", parameter, PSTR(first));
}

/* ---- masquerading ---- */

static int is_excepted(struct route *r, struct arena *a, struct str local)
{
	int found;

	if (r->masquerade_exceptions == NULL)
		return 0;
	found = match_text(r->masquerade_exceptions, a, arena_lower(a, local));
	return found < 0 ? cannot_tell(r, found, "%s", match_why(r->masquerade_exceptions)) : found;
}

/* The first domain of the list that is the address's own, or a parent of it, decides. */
static int masquerade(struct route *r, struct arena *a, struct str *address)
{
	struct str local, domain;
	int found;

	if (r->masquerade.len == 0 || !address_split(*address, &local, &domain))
		return 0;
	found = is_excepted(r, a, local);
	if (found != 0)
		return found < 0 ? found : 0;
	for (size_t i = 0; i < r->masquerade.len; i++) {
		const struct masquerade *m = &r->masquerade.at[i];

		if (str_is_nocase(domain, m->domain))
			return 0;
		if (domain.len <= m->domain.len || !str_ends_nocase(domain, m->domain)
		    || domain.at[domain.len - m->domain.len - 1] != '.')
			continue;
		if (m->is_kept)
			return 0;
		*address = arena_fmt(a, "%.*s@%.*s", PSTR(local), PSTR(m->domain));
		return 1;
	}
	return 0;
}

/* ---- both ---- */

int route_canonical(struct route *r, struct arena *a, unsigned use, struct str address, struct str *ret)
{
	const struct { unsigned uses; struct tables *ts; const char *parameter; } steps[] = {
		{ use & (USE_ENVELOPE_SENDER | USE_HEADER_SENDER) ? r->sender_canonical_uses : 0,
		  r->sender_canonical, "sender_canonical_maps" },
		{ use & (USE_ENVELOPE_RECIPIENT | USE_HEADER_RECIPIENT) ? r->recipient_canonical_uses : 0,
		  r->recipient_canonical, "recipient_canonical_maps" },
		{ r->canonical_uses, r->canonical, "canonical_maps" },
	};
	int changed = 0;

	if (address.len == 0)
		return 0;
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		int found;

		if ((steps[i].uses & use) == 0)
			continue;
		found = map_repeatedly(r, a, steps[i].ts, steps[i].parameter, &address);
		if (found < 0)
			return found;
		changed |= found;
	}
	if ((r->masquerade_uses & use) != 0) {
		int found = masquerade(r, a, &address);

		if (found < 0)
			return found;
		changed |= found;
	}
	*ret = address;
	return changed;
}
