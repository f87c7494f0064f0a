/* SPDX-License-Identifier: ISC */
/* pcre: rules of Perl-compatible patterns; the module of that name knows them. */
#include <errno.h>

#include "lib/table/rules.h"

static const struct pattern_driver *driver;	/* the same for all tables of the process */

static int compile(struct str *rest, bool for_result, void **ret_pattern, size_t *ret_groups, struct buf *why)
{
	char words[200] = "";
	struct str text, flags;
	int r;

	(void) for_result;
	if (take_delimited(rest, &text, &flags, why) < 0)
		return -EINVAL;
	r = driver->compile(text, flags, ret_pattern, ret_groups,
			    (struct driver_words){ words, sizeof(words) });
	buf_add_text(why, words);
	return r;
}

static void discard(void *pattern)
{
	driver->discard(pattern);
}

static int match(const struct rule *rule, struct subject *s, struct buf *why)
{
	char words[200] = "";
	int r = driver->match(rule->pattern, s->key, s->groups, rule->groups + 1,
			      (struct driver_words){ words, sizeof(words) });

	if (r < 0)
		buf_addf(why, "line %d: %s", rule->line, words);
	return r;
}

static const struct rule_syntax syntax = {
	.name = "pcre", .has_groups = true, .compile = compile, .discard = discard, .match = match,
};

static int pcre_read(struct table *t, struct source *lines, void **ret_content, struct buf *why)
{
	driver = t->drivers.pattern;
	return rules_read(&syntax, t, lines, (struct rules **) ret_content, why);
}

static int pcre_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		    struct buf *why)
{
	(void) t;
	return rules_get(content, a, key, ret_value, why);
}

const struct table_type pcre_type = {
	.name = "pcre", .module = "pcre", .find_drivers = drivers_find, .read = pcre_read, .get = pcre_get,
	.close = rules_free,
};
