/* SPDX-License-Identifier: ISC */
/*
 * Texts with %s, %u, %d and so on, as the query and result_format of ldap, mysql, pgsql, sqlite,
 * memcache and redis tables have them.
 *
 *   %s     the key                       in a result: the value that was found
 *   %u %d  its local part, its domain    in a result: those of the value
 *   %S %U %D  the key's, in results too  %1 to %9  labels of the key's domain, from the right       %%  a percent sign
 *
 * What a text asks for and a key does not have suppresses the lookup: there is no result.
 */
#ifndef ROAD_TABLE_TEMPLATE_H
#define ROAD_TABLE_TEMPLATE_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

struct address_parts {			/* views into what was looked at */
	struct str all, user, domain;
	bool has_domain;
};
struct address_parts address_parts(struct str text);

struct template {
	size_t count;
	/* text, then what the code stands for (0: nothing) */
	struct template_piece { struct str text; char code; } *pieces;
};

/* -EINVAL with words: a % that means nothing. */
int template_compile(struct arena *a, struct str text, struct template *ret_t, struct buf *why);
/* Appends what a value looks like where it is going to stand; NULL: as it is. */
typedef int quote_value(struct buf *out, struct str value);
/*
 * value NULL: a question about the key. 1, 0 suppressed, -EMSGSIZE when *out is full.
 */
int template_expand(const struct template *t, const struct address_parts *key,
		    const struct address_parts *value, quote_value *quote, struct buf *out);

/*
 * RFC 4515 (filters) and RFC 4514 (names): everything but letters, digits and a few harmless
 * characters as a backslash and two hex digits.
 */
int quote_for_ldap(struct buf *out, struct str value);

#endif
