/* SPDX-License-Identifier: ISC */
/*
 * cidr: rules of address blocks, in file order. A key that is no address matches nothing, not even
 * a negated block; and so it is between IPv4 and IPv6.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/table/network.h"
#include "lib/table/rules.h"

static int compile(struct str *rest, bool for_result, void **ret_pattern, size_t *ret_groups, struct buf *why)
{
	struct network n;
	struct str word;
	size_t len = 0;
	int r;

	(void) for_result;
	while (len < rest->len && !is_space(rest->at[len]))
		len++;
	word = str_head(*rest, len);
	*rest = str_skip(*rest, len);
	r = network_parse(word, &n, why);
	if (r < 0)
		return r;
	*ret_pattern = get_memory(sizeof(n));
	memcpy(*ret_pattern, &n, sizeof(n));
	*ret_groups = 0;
	return 0;
}

static bool prepare(struct str key, void *room)
{
	_Static_assert(sizeof(struct network) <= 64, "fits into the room");
	return network_of_address(key, room);
}

static int match(const struct rule *r, struct subject *s, struct buf *why)
{
	const struct network *n = r->pattern;
	const struct network *asked = s->parsed;

	(void) why;
	return n->family == asked->family ? network_has(n, asked->family, asked->bytes) : NOT_COMPARABLE;
}

static const struct rule_syntax syntax = {
	.name = "cidr", .compile = compile, .discard = free, .prepare = prepare, .match = match,
};

static int cidr_read(struct table *t, struct source *lines, void **ret_content, struct buf *why)
{
	return rules_read(&syntax, t, lines, (struct rules **) ret_content, why);
}

static int cidr_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		    struct buf *why)
{
	(void) t;
	return rules_get(content, a, key, ret_value, why);
}

const struct table_type cidr_type = {
	.name = "cidr", .read = cidr_read, .get = cidr_get, .close = rules_free,
};
