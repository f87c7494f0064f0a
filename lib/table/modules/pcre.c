/* SPDX-License-Identifier: ISC */
/*
 * The module for pcre tables: Perl-compatible patterns with PCRE2, interpreted: the jail allows no
 * executable memory. A pattern that backtracks beyond the limits "cannot tell", so no line that a
 * sender makes up stops a daemon or passes a rule.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>

#include "lib/table/modules/driver.h"

enum { MATCH_LIMIT = 1000000, DEPTH_LIMIT = 20000, HEAP_LIMIT_KIB = 16384 };

struct pattern {
	pcre2_code *code;
	pcre2_match_data *found;
};

/* NULL: out of memory. */
static pcre2_match_context *limits(void)
{
	static pcre2_match_context *context;

	if (context == NULL && (context = pcre2_match_context_create(NULL)) != NULL) {
		pcre2_set_match_limit(context, MATCH_LIMIT);
		pcre2_set_depth_limit(context, DEPTH_LIMIT);
		pcre2_set_heap_limit(context, HEAP_LIMIT_KIB);
	}
	return context;
}

static int read_flags(struct str flags, uint32_t *ret_options, struct driver_words why)
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
			snprintf(why.at, why.size, "unknown regexp option \"%c\"", flags.at[i]);
			return -EINVAL;
		}
	}
	return 0;
}

static void discard(void *pattern)
{
	struct pattern *p = pattern;

	pcre2_match_data_free(p->found);
	pcre2_code_free(p->code);
	free(p);
}

static int compile(struct str text, struct str flags, void **ret_pattern, size_t *ret_groups,
		   struct driver_words why)
{
	struct pattern *p;
	uint32_t options, groups = 0;
	pcre2_code *code;
	PCRE2_SIZE where;
	PCRE2_UCHAR words[120];
	int error;

	if (read_flags(flags, &options, why) < 0)
		return -EINVAL;
	code = pcre2_compile((PCRE2_SPTR) text.at, text.len, options, &error, &where, NULL);
	if (code == NULL) {
		pcre2_get_error_message(error, words, sizeof(words));
		snprintf(why.at, why.size, "error in regex at offset %zu: %s", (size_t) where, (char *) words);
		return -EINVAL;
	}
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
	p = calloc(1, sizeof(*p));
	if (p == NULL || (p->found = pcre2_match_data_create_from_pattern(code, NULL)) == NULL
	    || limits() == NULL) {
		snprintf(why.at, why.size, "out of memory");
		pcre2_code_free(code);
		free(p);
		return -ENOMEM;
	}
	p->code = code;
	*ret_pattern = p;
	*ret_groups = groups;
	return 0;
}

static int match(const void *pattern, struct str key, struct span *groups, size_t group_count,
		 struct driver_words why)
{
	const struct pattern *p = pattern;
	int n = pcre2_match(p->code, (PCRE2_SPTR) key.at, key.len, 0, 0, p->found, limits());
	const PCRE2_SIZE *vector = pcre2_get_ovector_pointer(p->found);
	PCRE2_UCHAR words[120];

	if (n == PCRE2_ERROR_NOMATCH)
		return 0;
	if (n < 0) {
		pcre2_get_error_message(n, words, sizeof(words));
		snprintf(why.at, why.size, "%s", (char *) words);
		return -EOVERFLOW;
	}
	for (size_t i = 0; i < group_count; i++) {
		bool set = i < (size_t) n && vector[2 * i] != PCRE2_UNSET
			   && vector[2 * i] <= vector[2 * i + 1];

		groups[i] = (struct span){ set ? vector[2 * i] : SIZE_MAX, set ? vector[2 * i + 1] : 0 };
	}
	return 1;
}

static const struct pattern_driver patterns[] = {
	{ .type = "pcre", .compile = compile, .discard = discard, .match = match },
	{ .type = NULL },
};

__attribute__((visibility("default"))) const struct table_module table_module = {
	.version = TABLE_MODULE_VERSION, .patterns = patterns };
