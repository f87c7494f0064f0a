/* SPDX-License-Identifier: ISC */
/*
 * Tables that send mail round in circles: each key of canonical_maps, virtual_alias_maps and
 * transport_maps is tried with the code that cleanup and qmgr use.
 */
#include "commands/postroad/lint.h"
#include "lib/table/listing.h"

enum { MOST_KEYS = 500000 };

struct keys {
	struct lint *lint;
	struct arena *step;		/* for one key */
	const char *place;
	void (*try)(struct keys *k, struct str address);
	unsigned use;			/* of canonical mappings */
	size_t count;
	/* the key stands for all users of its domain: what is tried is one whom there need not be */
	bool is_for_all;
};

/* ---- what is tried ---- */

static void try_canonical(struct keys *k, struct str address)
{
	struct str mapped;

	if (route_canonical(k->lint->route, k->step, k->use, address, &mapped) < 0)
		lint_say(k->lint, true, "%s: <%.*s>: %s", k->place, PSTR(address), route_why(k->lint->route));
}

/* What an alias comes to has to be delivered somewhere: a domain of nothing but aliases is nowhere. */
static void try_alias(struct keys *k, struct str address)
{
	struct str_list members;
	struct resolution to;

	if (expand_virtual_alias(k->lint->route, k->step, address, &members) < 0) {
		lint_say(k->lint, true, "%s: <%.*s>: %s", k->place, PSTR(address), route_why(k->lint->route));
		return;
	}
	for (size_t i = 0; i < members.count; i++)
		if ((!k->is_for_all || str_is(members.at[i], address))
		    && resolve_address(k->lint->route, k->step, STR("postmaster"), members.at[i], &to) >= 0
		    && to.class == CLASS_VIRTUAL_ALIAS)
			lint_say(k->lint, false,
				 "%s: <%.*s> comes to <%.*s>, whose domain is one of virtual_alias_domains: nobody is there (mend: an address to deliver to)",
				 k->place, PSTR(address), PSTR(members.at[i]));
}

static void try_transport(struct keys *k, struct str address)
{
	lint_way(k->lint, k->place, address);
}

/*
 * A key as an address: "user@domain", "@domain" and "domain" (of transports) with some user, "user"
 * as rewriting completes it, "*" one elsewhere.
 */
static void try_key(struct keys *k, struct str key)
{
	struct str address = key;

	if (key.len == 0 || k->count++ >= MOST_KEYS)
		return;
	if (key.len > 1 && (key.at[0] == '*' || (key.at[0] == '@' && k->try == try_transport))) {
		lint_say(k->lint, false, "%s: nothing is looked up under \"%.*s\" (mend: %s)", k->place,
			 PSTR(key), k->try == try_transport ? "example.com, .example.com or *" : "@example.com");
		return;
	}
	k->is_for_all = key.at[0] == '@';
	if (key.at[0] == '*')
		address = STR("someone@not-here.invalid");
	else if (key.at[0] == '@')
		address = arena_fmt(k->step, "someone%.*s", PSTR(key));
	else if (str_find(key, '@') < 0 && k->try == try_transport)
		address = arena_fmt(k->step, "postmaster@%s%.*s", key.at[0] == '.' ? "host" : "", PSTR(key));
	k->try(k, rewrite_address(k->lint->route, k->step, address, true));
	arena_reset(k->step);
}

static void try_entry(void *arg, const struct table_entry *e)
{
	try_key(arg, e->key);
}

void lint_keys(struct lint *l)
{
	static const struct {
		const char *parameter;
		void (*try)(struct keys *k, struct str address);
		unsigned use;
	} mappings[] = {
		{ "canonical_maps", try_canonical,
		  USE_ENVELOPE_SENDER | USE_ENVELOPE_RECIPIENT | USE_HEADER_SENDER | USE_HEADER_RECIPIENT },
		{ "sender_canonical_maps", try_canonical, USE_ENVELOPE_SENDER | USE_HEADER_SENDER },
		{ "recipient_canonical_maps", try_canonical, USE_ENVELOPE_RECIPIENT | USE_HEADER_RECIPIENT },
		{ "virtual_alias_maps", try_alias, 0 },
		{ "transport_maps", try_transport, 0 },
	};
	struct str specs, spec;

	for (size_t i = 0; i < COUNT_OF(mappings); i++) {
		struct keys k = { .lint = l, .step = arena_new("lint key", NULL, 64 << 20),
				  .try = mappings[i].try, .use = mappings[i].use };

		if (conf_get(l->conf, l->arena, str_of(mappings[i].parameter), &specs)) {
			k.place = lint_place(l, str_of(mappings[i].parameter));
			while (str_token_braced(&specs, ", \t\r\n", &spec) > 0)
				table_each_entry(spec, try_entry, &k);
		}
		if (k.count > MOST_KEYS)
			lint_say(l, false, "%s: only the first %d keys were tried", k.place, MOST_KEYS);
		arena_free(k.step);
	}
}
