/* SPDX-License-Identifier: ISC */
/*
 * Virtual aliases (virtual(5)): one recipient becomes others, whose names are looked up again, until
 * nothing changes.
 *
 * What must stay true: at most virtual_alias_expansion_limit addresses, each looked up at most
 * virtual_alias_recursion_limit times in a row; an address that is its own alias is kept once and not
 * looked up again.
 */
#include <errno.h>

#include "lib/mail/atext.h"
#include "lib/mail/mail_address.h"
#include "lib/route/private.h"

enum { MEMORY_FOR_ONE = 64 << 10 };	/* an address, rewritten: more than any needs */

static struct str insert_extension(struct arena *a, struct str address, struct str extension)
{
	struct str local, domain;

	if (extension.len == 0 || address.len == 0)
		return address;
	if (!address_split(address, &local, &domain))
		return arena_fmt(a, "%.*s%.*s", PSTR(address), PSTR(extension));
	return arena_fmt(a, "%.*s%.*s@%.*s", PSTR(local), PSTR(extension), PSTR(domain));
}

/*
 * "@other.example", alone or before more addresses: the same user there, without the extension that
 * did not count in the look-up: it is put in like everybody's.
 */
static struct str with_local_part_of(struct arena *a, struct str address, struct str extension,
				     struct str at_domain)
{
	struct str local, domain;

	address_split(address, &local, &domain);
	return arena_fmt(a, "%.*s%.*s", PSTR(str_head(local, local.len - extension.len)), PSTR(at_domain));
}

int route_map_result(struct route *r, struct arena *a, struct str address, struct str value,
		     struct str extension, bool propagate,
		     struct str_list *ret)
{
	VEC(struct str) list = { 0 };
	struct address_list addresses = { 0 };
	struct str rest = str_trim(value), one;
	struct str suffix = propagate ? extension : STR_NONE;
	const ssize_t blank = str_find_any(rest, ", \t\r\n");
	const size_t end = blank < 0 ? rest.len : (size_t) blank;
	int found;

	if (end > 0 && end <= 1 + DOMAIN_MAX && rest.at[0] == '@') {
		one = rewrite_address(r, a, with_local_part_of(a, address, extension, str_head(rest, end)),
				      true);
		*vec_add(a, &list) = insert_extension(a, one, suffix);
		rest = str_skip(rest, end);
	}
	addresses.rest = rest;
	while ((found = address_list_next(&addresses, a, &one)) > 0) {
		if (list.len > (size_t) r->conf.virtual_alias_expansion_limit
		    || arena_left(a) < MEMORY_FOR_ONE + addresses.rest.len + 2 * list.cap * sizeof(*list.at))
			return cannot_tell(r, -E2BIG, "the result for %.*s has too many addresses",
					   PSTR(address));
		if (one.len > 0)
			*vec_add(a, &list) = insert_extension(a, rewrite_address(r, a, one, true), suffix);
	}
	if (found < 0)
		return cannot_tell(r, -EBADMSG, "the result for %.*s is no list of addresses: %.*s",
				   PSTR(address), PSTR(str_head(value, 200)));
	ret->at = list.at;
	ret->count = list.len;
	return 0;
}

/* a value of the size that tables should return; more is counted as it comes */
enum { MEMORY_FOR_STEP = 2 << 20 };

struct expansion {
	struct route *r;
	struct arena *arena;
	struct str recipient;
	VEC(struct str) at;		/* the addresses so far; grows at its end */
	VEC(struct str) own_alias;	/* those that expanded to themselves */
};

static bool is_own_alias(const struct expansion *e, struct str address)
{
	for (size_t i = 0; i < e->own_alias.len; i++)
		if (str_is_nocase(e->own_alias.at[i], address))
			return true;
	return false;
}

/* 1: at[i] was replaced (and others were added), 0: it has no alias, < 0. */
static int expand_one(struct expansion *e, size_t i)
{
	struct route *r = e->r;
	struct str address = e->at.at[i], value, extension = STR_NONE;
	struct str_list results;
	int found;

	if (address.len == 0 || is_own_alias(e, address))
		return 0;
	if (arena_left(e->arena) < MEMORY_FOR_STEP)
		return cannot_tell(r, -E2BIG, "virtual_alias_maps expansion for %.*s needs too much memory",
				   PSTR(e->recipient));
	found = route_lookup_address(r, r->virtual_alias_maps, e->arena, address, &value, &extension);
	if (found < 0)
		return cannot_tell(r, found, "virtual_alias_maps lookup problem for %.*s: %s", PSTR(address),
				   tables_why(r->virtual_alias_maps));
	if (found == 0)
		return 0;
	found = route_map_result(r, e->arena, address, value, extension, r->propagate_virtual, &results);
	if (found < 0)
		return found;
	if (results.count == 0)
		return cannot_tell(r, -EBADMSG, "virtual_alias_maps: empty result for %.*s", PSTR(address));
	if (e->at.len + results.count - 1 > (size_t) r->conf.virtual_alias_expansion_limit)
		return cannot_tell(r, -E2BIG, "unreasonable virtual_alias_maps map expansion size for %.*s",
				   PSTR(e->recipient));
	for (size_t k = 0; k < results.count; k++) {
		if (results.at[k].len > (size_t) r->conf.virtual_alias_address_length_limit)
			return cannot_tell(r, -E2BIG,
					   "unreasonable virtual_alias_maps result %.100s... for %.*s",
					   str_c(e->arena, results.at[k]), PSTR(address));
		if (str_is_nocase(results.at[k], address))
			*vec_add(e->arena, &e->own_alias) = address;
		if (k == 0)
			e->at.at[i] = results.at[0];
		else
			*vec_add(e->arena, &e->at) = results.at[k];
	}
	return 1;
}

int expand_virtual_alias(struct route *r, struct arena *a, struct str recipient, struct str_list *ret)
{
	struct expansion e = { .r = r, .arena = a, .recipient = recipient };

	*vec_add(a, &e.at) = recipient;
	for (size_t i = 0; i < e.at.len && !tables_are_empty(r->virtual_alias_maps); i++) {
		int64_t rounds = 0;
		int found;

		do
			found = expand_one(&e, i);
		while (found > 0 && ++rounds < r->conf.virtual_alias_recursion_limit);
		if (found > 0 && !is_own_alias(&e, e.at.at[i]))
			return cannot_tell(r, -ELOOP, "unreasonable virtual_alias_maps map nesting for %.*s",
					   PSTR(recipient));
		if (found < 0)
			return found;
	}
	ret->at = e.at.at;
	ret->count = e.at.len;
	return 0;
}
