/* SPDX-License-Identifier: ISC */
/*
 * pcre: rules of Perl-compatible patterns (PCRE2, interpreted: the jail allows no executable memory). A pattern that backtracks beyond the
 * limits "cannot tell", so no line that a sender makes up stops a daemon or passes a rule.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>

#include "lib/base/die.h"
#include "lib/table/rules.h"

enum { MATCH_LIMIT = 1000000, DEPTH_LIMIT = 20000, HEAP_LIMIT_KIB = 16384 };

struct pattern {
	pcre2_code *code;
	pcre2_match_data *found;
};

static pcre2_match_context *limits(void)
{
	static pcre2_match_context *context;

	if (context == NULL) {
		context = pcre2_match_context_create(NULL);
		if (context == NULL)
			die(EX_OSERR, "out of memory");
		pcre2_set_match_limit(context, MATCH_LIMIT);
		pcre2_set_depth_limit(context, DEPTH_LIMIT);
		pcre2_set_heap_limit(context, HEAP_LIMIT_KIB);
	}
	return context;
}

static int read_flags(struct str flags, uint32_t *ret_options, struct buf *why)
{
	*ret_options = PCRE2_CASELESS | PCRE2_DOTALL;
	for (size_t i = 0; i < flags.len; i++) {
		switch (flags.at[i]) {
		case 'i': *ret_options ^= PCRE2_CASELESS; break;
		case 'm': *ret_options ^= PCRE2_MULTILINE; break;
		case 's': *ret_options ^= PCRE2_DOTALL; break;
		case 'x': *ret_options ^= PCRE2_EXTENDED; break;
		case 'A': *ret_options ^= PCRE2_ANCHORED; break;
		case 'E': *ret_options ^= PCRE2_DOLLAR_ENDONLY; break;
		case 'U': *ret_options ^= PCRE2_UNGREEDY; break;
		case 'X': break;	/* no such option in PCRE2 */
		default:
			buf_addf(why, "unknown regexp option \"%c\"", flags.at[i]);
			return -EINVAL;
		}
	}
	return 0;
}

static int compile(struct str *rest, bool for_result, void **ret_pattern, size_t *ret_groups, struct buf *why)
{
	struct str text, flags;
	struct pattern *p;
	uint32_t options, groups = 0;
	pcre2_code *code;
	PCRE2_SIZE where;
	PCRE2_UCHAR words[120];
	int error;

	(void) for_result;
	if (take_delimited(rest, &text, &flags, why) < 0 || read_flags(flags, &options, why) < 0)
		return -EINVAL;
	code = pcre2_compile((PCRE2_SPTR) text.at, text.len, options, &error, &where, NULL);
	if (code == NULL) {
		pcre2_get_error_message(error, words, sizeof(words));
		buf_addf(why, "error in regex at offset %zu: %s", (size_t) where, (char *) words);
		return -EINVAL;
	}
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
	p = get_memory(sizeof(*p));
	p->code = code;
	p->found = pcre2_match_data_create_from_pattern(code, NULL);
	if (p->found == NULL)
		die(EX_OSERR, "out of memory");
	*ret_pattern = p;
	*ret_groups = groups;
	return 0;
}

static void discard(void *pattern)
{
	struct pattern *p = pattern;

	pcre2_match_data_free(p->found);
	pcre2_code_free(p->code);
	free(p);
}

static int match(const struct rule *r, struct subject *s, struct buf *why)
{
	const struct pattern *p = r->pattern;
	int n = pcre2_match(p->code, (PCRE2_SPTR) s->key.at, s->key.len, 0, 0, p->found, limits());
	const PCRE2_SIZE *vector = pcre2_get_ovector_pointer(p->found);
	PCRE2_UCHAR words[120];

	if (n == PCRE2_ERROR_NOMATCH)
		return 0;
	if (n < 0) {
		pcre2_get_error_message(n, words, sizeof(words));
		buf_addf(why, "line %d: %s", r->line, (char *) words);
		return -EOVERFLOW;
	}
	for (size_t i = 0; i <= r->groups; i++) {
		bool set = i < (size_t) n && vector[2 * i] != PCRE2_UNSET && vector[2 * i] <= vector[2 * i + 1];

		s->groups[i] = (struct span){ set ? vector[2 * i] : SIZE_MAX, set ? vector[2 * i + 1] : 0 };
	}
	return 1;
}

static const struct rule_syntax syntax = {
	.name = "pcre", .has_groups = true, .compile = compile, .discard = discard, .match = match,
};

static int pcre_read(struct table *t, struct source *lines, void **ret_content, struct buf *why)
{
	(void) why;
	return rules_read(&syntax, t, lines, (struct rules **) ret_content);
}

static int pcre_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value, struct buf *why)
{
	(void) t;
	return rules_get(content, a, key, ret_value, why);
}

const struct table_type pcre_type = {
	.name = "pcre", .read = pcre_read, .get = pcre_get, .close = rules_free,
};
