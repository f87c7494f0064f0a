/* SPDX-License-Identifier: ISC */
/*
 * regexp: rules of POSIX extended regular expressions (the C library's).
 *
 * The library has no limits of its own, and searching takes it quadratic time: 27 seconds for a
 * header of 100,000 letters and the pattern (x+x+)+y. So a key of more than LONG_KEY bytes is first
 * asked whether the pattern occurs in it at all, in the form "^.*(PATTERN)", which the library
 * answers in linear time; only when it does and its groups are wanted is it searched for. That
 * search, and patterns that cannot be put so (with back references, which take quadratic memory
 * too, a ')' of its own, or the flags m and x), are limited to keys of LONGEST_SEARCH bytes:
 * beyond, the table cannot tell.
 */
#include <errno.h>
#include <regex.h>

#include "lib/base/die.h"
#include "lib/table/rules.h"

enum { LONG_KEY = 1 << 10, LONGEST_SEARCH = 8 << 10, LONGEST_BACK_SEARCH = 2 << 10, MOST_IN_A_ROW = 4 };

struct pattern {
	regex_t code;
	bool wants_groups;
	bool refers_back;		/* \1 */
	int options;
	char *anchored;			/* "^.*(PATTERN)"; NULL: it cannot be put so */
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

static bool has_back_reference(struct str text)
{
	for (size_t i = 0; i + 1 < text.len; i++)
		if (text.at[i] == '\\') {
			if (is_digit(text.at[i + 1]))
				return true;
			i++;
		}
	return false;
}

/* Behind the bracket expression that starts at text[at]: "[^])a[:space:]]". */
static size_t behind_brackets(struct str text, size_t at)
{
	at++;
	if (at < text.len && text.at[at] == '^')
		at++;
	if (at < text.len && text.at[at] == ']')
		at++;
	for (; at < text.len && text.at[at] != ']'; at++)
		if (text.at[at] == '[' && at + 1 < text.len && text.at[at + 1] == ':')
			for (at += 2; at + 1 < text.len && text.at[at + 1] != ']'; at++)
				;
	return at + 1;
}

/*
 * To the library a ')' without '(' is a letter: in parentheses of ours it would be none. Where
 * brackets end that hold collating symbols is better left to the library.
 */
static bool closes_what_is_open(struct str text)
{
	size_t depth = 0;

	if (str_find_str(text, STR("[.")) >= 0 || str_find_str(text, STR("[=")) >= 0)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '\\')
			i++;
		else if (text.at[i] == '[')
			i = behind_brackets(text, i) - 1;
		else if (text.at[i] == '(')
			depth++;
		else if (text.at[i] == ')' && depth-- == 0)
			return false;
	}
	return true;
}

/*
 * The library writes out what "+" repeats once more for each of them, so a slip of the finger such
 * as "a++++++++++++++++" kept it busy for hours.
 */
static bool repeats_too_often(struct str text)
{
	unsigned in_a_row = 0;

	for (size_t i = 0; i < text.len && in_a_row <= MOST_IN_A_ROW; i++) {
		in_a_row = strchr("*+?", text.at[i]) != NULL ? in_a_row + 1 : 0;
		if (text.at[i] == '\\')
			i++;
		else if (text.at[i] == '[')
			i = behind_brackets(text, i) - 1;
	}
	return in_a_row > MOST_IN_A_ROW;
}

static char *anchored_form(struct str text)
{
	static const char form[] = "^.*(%.*s)";
	size_t size = text.len + sizeof(form);
	char *anchored = get_memory(size);

	snprintf(anchored, size, form, PSTR(text));
	return anchored;
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
	if (repeats_too_often(text)) {
		buf_addf(why, "more than %d of * + ? in a row", MOST_IN_A_ROW);
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
	p->refers_back = has_back_reference(text);
	p->options = options;
	if (!p->refers_back && closes_what_is_open(text) && (options & REG_EXTENDED) != 0
	    && (options & REG_NEWLINE) == 0)
		p->anchored = anchored_form(text);
	*ret_pattern = p;
	*ret_groups = for_result ? p->code.re_nsub : 0;
	return 0;
}

static void discard(void *pattern)
{
	struct pattern *p = pattern;

	regfree(&p->code);
	free(p->anchored);
	free(p);
}

static bool uses_groups(const struct rule *r)
{
	for (size_t i = 0; i < r->piece_count; i++)
		if (r->pieces[i].group > 0)
			return true;
	return false;
}

static int search(const regex_t *code, struct str key, size_t count, regmatch_t *found)
{
	found[0] = (regmatch_t){ .rm_so = 0, .rm_eo = (regoff_t) key.len };
	return regexec(code, key.at, count, found, REG_STARTEND);
}

/*
 * REG_NOMATCH or 0: does it occur? Compiled anew each time, because what the library learns about a
 * long key it would keep for ever. To it a '^' that does not stand first matches behind a line end
 * too, whatever the flags: so line ends become another character of the same classes.
 */
static int occurs(const struct pattern *p, struct str key)
{
	AUTO_PTR char *copy = get_memory(key.len + 1);
	regmatch_t found[1];
	regex_t code;
	int error = regcomp(&code, p->anchored, p->options | REG_NOSUB);

	if (error != 0)
		return error;
	for (size_t i = 0; i < key.len; i++)
		copy[i] = key.at[i] == '\n' ? '\f' : key.at[i];
	error = search(&code, str_make(copy, key.len), 0, found);
	regfree(&code);
	return error;
}

/* The library's result for a key of any length. *count becomes 0 when the groups were not looked for. */
static int search_bounded(const struct rule *r, struct str key, size_t *count, regmatch_t *found)
{
	const struct pattern *p = r->pattern;
	size_t limit = p->refers_back ? LONGEST_BACK_SEARCH : LONGEST_SEARCH;
	int error = 0;

	if (key.len > LONG_KEY && p->anchored != NULL) {
		error = occurs(p, key);
		if (error != 0 || !uses_groups(r)) {
			*count = 0;
			return error;
		}
	}
	return key.len > limit ? REG_ESPACE : search(&p->code, key, *count, found);
}

static int match(const struct rule *r, struct subject *s, struct buf *why)
{
	const struct pattern *p = r->pattern;
	regmatch_t found[100];
	size_t count = p->wants_groups ? MIN(r->groups + 1, COUNT_OF(found)) : 0;
	int error = search_bounded(r, s->key, &count, found);

	if (error == REG_NOMATCH)
		return 0;
	if (error != 0) {
		char words[120];

		regerror(error, &p->code, words, sizeof(words));
		buf_addf(why, "line %d: a key of %zu bytes: %s", r->line, s->key.len, words);
		return -EOVERFLOW;
	}
	for (size_t i = 0; i <= r->groups; i++) {
		bool set = i < count && found[i].rm_so >= 0;

		s->groups[i] = (struct span){ set ? (size_t) found[i].rm_so : SIZE_MAX,
					      set ? (size_t) found[i].rm_eo : 0 };
	}
	return 1;
}

static const struct rule_syntax syntax = {
	.name = "regexp", .has_groups = true, .compile = compile, .discard = discard, .match = match,
};

static int regexp_read(struct table *t, struct source *lines, void **ret_content, struct buf *why)
{
	return rules_read(&syntax, t, lines, (struct rules **) ret_content, why);
}

static int regexp_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		      struct buf *why)
{
	(void) t;
	return rules_get(content, a, key, ret_value, why);
}

const struct table_type regexp_type = {
	.name = "regexp", .read = regexp_read, .get = regexp_get, .close = rules_free,
};
