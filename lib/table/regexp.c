/* SPDX-License-Identifier: ISC */
/* regexp: rules of POSIX extended regular expressions (the C library's). */
#include <errno.h>
#include <regex.h>

#include "lib/base/die.h"
#include "lib/table/rules.h"

struct pattern {
	regex_t code;
	bool wants_groups;
};

static int read_flags(struct str flags, int *ret_options, struct buf *why)
{
	*ret_options = REG_EXTENDED | REG_ICASE;
	for (size_t i = 0; i < flags.len; i++) {
		switch (flags.at[i]) {
		case 'i': *ret_options ^= REG_ICASE; break;
		case 'm': *ret_options ^= REG_NEWLINE; break;
		case 'x': *ret_options ^= REG_EXTENDED; break;
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
	AUTO(buf) ended = BUF(1 << 20);
	char words[120];
	int options, error;

	if (take_delimited(rest, &text, &flags, why) < 0 || read_flags(flags, &options, why) < 0)
		return -EINVAL;
	if (buf_add(&ended, text) < 0 || memchr(text.at, 0, text.len) != NULL) {
		buf_add_text(why, "NUL in regexp");
		return -EINVAL;
	}
	p = get_memory(sizeof(*p));
	error = regcomp(&p->code, buf_text(&ended), options | (for_result ? 0 : REG_NOSUB));
	if (error != 0) {
		regerror(error, &p->code, words, sizeof(words));
		buf_addf(why, "error in regexp: %s", words);
		free(p);
		return -EINVAL;
	}
	p->wants_groups = for_result;
	*ret_pattern = p;
	*ret_groups = for_result ? p->code.re_nsub : 0;
	return 0;
}

static void discard(void *pattern)
{
	struct pattern *p = pattern;

	regfree(&p->code);
	free(p);
}

static int match(const struct rule *r, struct subject *s, struct buf *why)
{
	const struct pattern *p = r->pattern;
	regmatch_t found[100];
	size_t count = p->wants_groups ? MIN(r->groups + 1, COUNT_OF(found)) : 0;
	int error;

	found[0] = (regmatch_t){ .rm_so = 0, .rm_eo = (regoff_t) s->key.len };
	error = regexec(&p->code, s->key.at, count, found, REG_STARTEND);
	if (error == REG_NOMATCH)
		return 0;
	if (error != 0) {
		char words[120];

		regerror(error, &p->code, words, sizeof(words));
		buf_addf(why, "line %d: %s", r->line, words);
		return -EOVERFLOW;
	}
	for (size_t i = 0; i <= r->groups; i++) {
		bool set = i < count && found[i].rm_so >= 0;

		s->groups[i] = (struct span){ set ? (size_t) found[i].rm_so : SIZE_MAX, set ? (size_t) found[i].rm_eo : 0 };
	}
	return 1;
}

static const struct rule_syntax syntax = {
	.name = "regexp", .has_groups = true, .compile = compile, .discard = discard, .match = match,
};

static int regexp_read(struct table *t, struct source *lines, void **ret_content, struct buf *why)
{
	(void) why;
	return rules_read(&syntax, t, lines, (struct rules **) ret_content);
}

static int regexp_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value, struct buf *why)
{
	(void) t;
	return rules_get(content, a, key, ret_value, why);
}

const struct table_type regexp_type = {
	.name = "regexp", .read = regexp_read, .get = regexp_get, .close = rules_free,
};
