/* SPDX-License-Identifier: ISC */
/*
 * Tables of rules in order, the first that fits answers: what cidr, regexp and pcre share.
 *
 *   PATTERN result          !PATTERN result
 *   if PATTERN              if !PATTERN            endif
 *
 * Results may contain $1 ${1} $(1) (of patterns with groups) and $$. A rule that makes no sense is
 * left out with a warning, as in Postfix.
 */
#ifndef ROAD_TABLE_RULES_H
#define ROAD_TABLE_RULES_H

#include "lib/table/type.h"

/* the rule does not apply, negated or not: an IPv6 address and an IPv4 block */
enum { NOT_COMPARABLE = 2 };

struct subject {			/* what is looked up */
	struct str key;
	const void *parsed;		/* by rule_syntax.prepare */
	/* room for those of any rule, [0] the whole match; match() fills them in */
	struct span *groups;
};

struct rule {
	enum { RULE_RESULT, RULE_IF, RULE_ENDIF } kind;
	bool negated;
	int line;
	void *pattern;			/* of the syntax; NULL for ENDIF */
	size_t groups;			/* that the pattern has */
	size_t end;			/* IF: index of its ENDIF, or the number of rules */
	size_t piece_count;
	struct piece { struct str text; size_t group; } *pieces;	/* text, then the group (0: none) */
};

/* What is special about a kind of pattern. */
struct rule_syntax {
	const char *name;		/* "pcre" */
	bool has_groups;
	/*
	 * Takes a pattern off the front of *rest and compiles it. *ret_groups: how many groups it
	 * has. -EINVAL with words: the rule is left out. `for_result`: the groups are wanted.
	 */
	int (*compile)(struct str *rest, bool for_result, void **ret_pattern, size_t *ret_groups,
		       struct buf *why);
	void (*discard)(void *pattern);
	/*
	 * Parses the key once per lookup into *room (64 bytes); false: a key of this kind matches
	 * nothing. May be NULL.
	 */
	bool (*prepare)(struct str key, void *room);
	/* 1, 0, NOT_COMPARABLE, -errno with words. */
	int (*match)(const struct rule *r, struct subject *s, struct buf *why);
};

struct rules;
int rules_read(const struct rule_syntax *syntax, const struct table *t, struct source *lines,
	       struct rules **ret_rules, struct buf *why);
void rules_free(void *rules);
int rules_get(const struct rules *rs, struct arena *a, struct str key, struct str *ret_value,
	      struct buf *why);

/*
 * /pattern/flags: the pattern between delimiters (backslash keeps one from counting), and the flags
 * behind it.
 */
int take_delimited(struct str *rest, struct str *ret_pattern, struct str *ret_flags, struct buf *why);

#endif
