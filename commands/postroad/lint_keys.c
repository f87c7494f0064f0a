/* SPDX-License-Identifier: ISC */
/*
 * Tables that send mail round in circles: each key of canonical_maps, virtual_alias_maps and transport_maps is tried with the code that cleanup and qmgr use.
 * Keys can be listed of tables that have a text: databases are taken to hold what their source says.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "commands/postroad/lint.h"
#include "lib/table/source.h"

enum { MOST_KEYS = 500000, MOST_SOURCE = 256 << 20 };

struct keys {
	struct lint *lint;
	struct arena *step;		/* for one key */
	const char *place;
	void (*try)(struct keys *k, struct str address);
	unsigned use;			/* of canonical mappings */
	size_t count;
};

/* ---- what is tried ---- */

static void try_canonical(struct keys *k, struct str address)
{
	struct str mapped;

	if (route_canonical(k->lint->route, k->step, k->use, address, &mapped) < 0)
		lint_say(k->lint, true, "%s: <%.*s>: %s", k->place, PSTR(address), route_why(k->lint->route));
}

static void try_alias(struct keys *k, struct str address)
{
	struct str_list members;

	if (expand_virtual_alias(k->lint->route, k->step, address, &members) < 0)
		lint_say(k->lint, true, "%s: <%.*s>: %s", k->place, PSTR(address), route_why(k->lint->route));
}

static void try_transport(struct keys *k, struct str address)
{
	lint_way(k->lint, k->place, address);
}

/* A key as an address: "user@domain", "@domain" and "domain" (of transports) with some user, "user" as rewriting completes it. */
static void try_key(struct keys *k, struct str key)
{
	struct str address = key;

	if (key.len == 0 || key.at[0] == '*' || k->count++ >= MOST_KEYS)
		return;
	if (key.at[0] == '@')
		address = arena_fmt(k->step, "someone%.*s", PSTR(key));
	else if (str_find(key, '@') < 0 && k->try == try_transport)
		address = arena_fmt(k->step, "postmaster@%s%.*s", key.at[0] == '.' ? "host" : "", PSTR(key));
	k->try(k, rewrite_address(k->lint->route, k->step, address, true));
	arena_reset(k->step);
}

/* ---- listing keys ---- */

static void each_key_of_file(struct keys *k, struct str path)
{
	AUTO_FD fd = open(str_c(k->lint->arena, path), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	AUTO(buf) text = BUF(MOST_SOURCE + 1);
	AUTO(buf) why = BUF_WORDS;
	struct source lines;
	struct str line, key, value;

	if (fd < 0 || source_read_file(fd, MOST_SOURCE, &text) < 0)
		return;		/* said where tables are opened */
	source_start(&lines, "", buf_str(&text));
	while (source_next(&lines, &line))
		if (source_split_entry(line, &key, &value, &why) >= 0)
			try_key(k, key);
	source_end(&lines);
}

static void each_key_of_text(struct keys *k, struct str inner)
{
	struct str item, key;

	while (str_token_braced(&inner, ", \t\r\n", &item) > 0) {
		if (item.len >= 2 && item.at[0] == '{')
			item = str_make(item.at + 1, item.len - 2);
		str_cut(&item, '=', &key);
		try_key(k, str_trim(key));
	}
}

static void each_key_of_table(struct keys *k, struct str spec)
{
	static const char *const with_source[] = { "hash", "btree", "lmdb", "cdb", "texthash" };
	struct str name, type, inner;

	table_is_proxied(spec, &spec);
	if (table_is_composed(spec, &inner))
		return;
	name = spec;
	if (!str_cut(&name, ':', &type))
		return;
	name = str_trim(name);
	if (str_is(type, STR("inline")) && name.len >= 2)
		each_key_of_text(k, str_make(name.at + 1, name.len - 2));
	for (size_t i = 0; i < COUNT_OF(with_source); i++)
		if (str_is(type, str_of(with_source[i])))
			each_key_of_file(k, name);
}

void lint_keys(struct lint *l)
{
	static const struct { const char *parameter; void (*try)(struct keys *k, struct str address); unsigned use; } mappings[] = {
		{ "canonical_maps", try_canonical, USE_ENVELOPE_SENDER | USE_ENVELOPE_RECIPIENT | USE_HEADER_SENDER | USE_HEADER_RECIPIENT },
		{ "sender_canonical_maps", try_canonical, USE_ENVELOPE_SENDER | USE_HEADER_SENDER },
		{ "recipient_canonical_maps", try_canonical, USE_ENVELOPE_RECIPIENT | USE_HEADER_RECIPIENT },
		{ "virtual_alias_maps", try_alias, 0 },
		{ "transport_maps", try_transport, 0 },
	};
	struct str specs, spec;

	for (size_t i = 0; i < COUNT_OF(mappings); i++) {
		struct keys k = { .lint = l, .step = arena_new("lint key", NULL, 64 << 20), .try = mappings[i].try, .use = mappings[i].use };

		if (conf_get(l->conf, l->arena, str_of(mappings[i].parameter), &specs)) {
			k.place = lint_place(l, str_of(mappings[i].parameter));
			while (str_token_braced(&specs, ", \t\r\n", &spec) > 0)
				each_key_of_table(&k, spec);
		}
		if (k.count > MOST_KEYS)
			lint_say(l, false, "%s: only the first %d keys were tried", k.place, MOST_KEYS);
		arena_free(k.step);
	}
}
