/* SPDX-License-Identifier: ISC */
/*
 * $name and its relatives, as postconf(5) describes them:
 *
 *   $name ${name} $(name)        the value, itself expanded
 *   ${name?text} ${name:text}    text if the value is not empty / is empty (as written, before expansion), else nothing
 *   ${name?{text}:{text}}        one or the other; white space around the texts in braces does not count
 *   ${{text} op {text}}          "true" or nothing; op: == != < <= >= >, numbers as numbers, anything else as text
 *   ${{text} op {text} ? {text} : {text}}
 *   ${{text} <level {text}...}   compatibility levels: up to three numbers with dots between
 *   ${domain_to_ascii{text}}     lower case; a name beyond ASCII stays as it is, since whoever asks DNS about names takes either form
 *   $$                           a dollar sign
 *
 * Values come from the administrator, so errors have words for people. Nesting, length and number
 * of steps are bounded all the same.
 */
#include <errno.h>

#include "lib/conf/conf_private.h"
#include "lib/conf/expand.h"

struct expansion {
	struct conf *conf;
	name_value *value;		/* instead of conf's */
	struct buf *why;
	int depth;
	long steps;
	void (*undefined)(void *arg, struct str name);
	void *arg;
	bool has_gap;			/* value: a name in use had none */
};

static int expand(struct expansion *x, struct str text, struct buf *out);

static int fail(struct expansion *x, const char *words, struct str near)
{
	buf_addf(x->why, "%s: \"%.*s\"", words, PSTR(str_head(near, 80)));
	return -EINVAL;
}

static int put(struct expansion *x, struct str text, struct buf *out)
{
	if (buf_add(out, text) < 0) {
		buf_addf(x->why, "value becomes longer than %d bytes", CONF_MOST_VALUE);
		return -EMSGSIZE;
	}
	return 0;
}

static bool is_name_char(char c)
{
	return is_alnum(c) || c == '_';
}

static struct str take_name(struct str *rest)
{
	size_t n = 0;
	struct str name;

	while (n < rest->len && is_name_char(rest->at[n]))
		n++;
	name = str_head(*rest, n);
	*rest = str_skip(*rest, n);
	return name;
}

static struct str skip_space(struct str s)
{
	while (s.len > 0 && is_space(s.at[0]))
		s = str_skip(s, 1);
	return s;
}

/* rest starts with `open`: cuts off what stands up to its closing partner. -EINVAL: there is none. */
static int take_enclosed(struct str *rest, char open, char close, struct str *ret_inner)
{
	int level = 0;

	for (size_t i = 0; i < rest->len; i++) {
		if (rest->at[i] == open)
			level++;
		else if (rest->at[i] == close && --level == 0) {
			*ret_inner = str_make(rest->at + 1, i - 1);
			*rest = str_skip(*rest, i + 1);
			return 0;
		}
	}
	return -EINVAL;
}

static int take_braced(struct expansion *x, struct str *rest, struct str *ret_inner)
{
	if (rest->len == 0 || rest->at[0] != '{')
		return fail(x, "text in { } expected at", *rest);
	if (take_enclosed(rest, '{', '}', ret_inner) < 0)
		return fail(x, "unbalanced {}", *rest);
	return 0;
}

/* "text" or "{text}", after a colon. Without braces white space counts. */
static int parse_else(struct expansion *x, struct str rest, struct str *ret_no)
{
	int r;

	*ret_no = rest;
	rest = skip_space(rest);
	if (rest.len == 0 || rest.at[0] != '{')
		return 0;
	r = take_braced(x, &rest, ret_no);
	if (r < 0)
		return r;
	*ret_no = str_trim(*ret_no);
	rest = skip_space(rest);
	return rest.len == 0 ? 0 : fail(x, "unexpected input at", rest);
}

/* "text" or "{text} : {text}", after the question mark. *ret_no is empty when there is none. */
static int parse_branches(struct expansion *x, struct str rest, struct str *ret_yes, struct str *ret_no)
{
	int r;

	*ret_yes = rest;
	*ret_no = STR_NONE;
	rest = skip_space(rest);
	if (rest.len == 0 || rest.at[0] != '{')
		return 0;
	r = take_braced(x, &rest, ret_yes);
	if (r < 0)
		return r;
	*ret_yes = str_trim(*ret_yes);
	rest = skip_space(rest);
	if (rest.len == 0)
		return 0;
	if (rest.at[0] != ':')
		return fail(x, "\":\" expected at", rest);
	return parse_else(x, str_skip(rest, 1), ret_no);
}

/* ---- comparisons ---- */

enum relation { IS_EQUAL, IS_NOT_EQUAL, IS_LESS, IS_LESS_OR_EQUAL, IS_GREATER, IS_GREATER_OR_EQUAL };

static int take_relation(struct expansion *x, struct str *rest, enum relation *ret)
{
	static const struct { struct str text; enum relation relation; } known[] = {
		{ STR_INIT("=="), IS_EQUAL }, { STR_INIT("!="), IS_NOT_EQUAL },
		{ STR_INIT("<="), IS_LESS_OR_EQUAL }, { STR_INIT("<"), IS_LESS },
		{ STR_INIT(">="), IS_GREATER_OR_EQUAL }, { STR_INIT(">"), IS_GREATER },
	};

	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (str_starts(*rest, known[i].text)) {
			*rest = str_skip(*rest, known[i].text.len);
			*ret = known[i].relation;
			return 0;
		}
	return fail(x, "one of == != < <= >= > expected at", *rest);
}

static bool holds(enum relation relation, int order)
{
	switch (relation) {
	case IS_EQUAL: return order == 0;
	case IS_NOT_EQUAL: return order != 0;
	case IS_LESS: return order < 0;
	case IS_LESS_OR_EQUAL: return order <= 0;
	case IS_GREATER: return order > 0;
	case IS_GREATER_OR_EQUAL: return order >= 0;
	}
	return false;
}

static int order_of(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

/* "3", "3.11", "3.11.2": parts that are missing count as 0. */
static int parse_level(struct expansion *x, struct str text, int64_t ret_level[3])
{
	struct str rest = str_trim(text), part;
	bool more = true;
	int n = 0;

	while (more && n < 3) {
		more = str_cut(&rest, '.', &part);
		if (str_to_int(part, 0, INT32_MAX, &ret_level[n++]) < 0)
			return fail(x, "malformed compatibility level", text);
	}
	return more ? fail(x, "malformed compatibility level", text) : 0;
}

static int compare_levels(struct expansion *x, struct str a, struct str b, int *ret_order)
{
	int64_t la[3] = { 0 }, lb[3] = { 0 };
	int r = parse_level(x, a, la);

	if (r == 0)
		r = parse_level(x, b, lb);
	if (r < 0)
		return r;
	*ret_order = 0;
	for (int i = 0; i < 3 && *ret_order == 0; i++)
		*ret_order = order_of(la[i], lb[i]);
	return 0;
}

static bool looks_numeric(struct str s)
{
	if (s.len > 0 && s.at[0] == '-')
		s = str_skip(s, 1);
	for (size_t i = 0; i < s.len; i++)
		if (!is_digit(s.at[i]))
			return false;
	return s.len > 0;
}

static int compare_values(struct expansion *x, struct str a, struct str b, int *ret_order)
{
	int64_t na, nb;

	if (!looks_numeric(a) || !looks_numeric(b)) {
		int order = memcmp(a.at, b.at, MIN(a.len, b.len));

		*ret_order = order != 0 ? order : order_of((int64_t) a.len, (int64_t) b.len);
		return 0;
	}
	if (str_to_int(a, INT64_MIN, INT64_MAX, &na) < 0)
		return fail(x, "number out of range", a);
	if (str_to_int(b, INT64_MIN, INT64_MAX, &nb) < 0)
		return fail(x, "number out of range", b);
	*ret_order = order_of(na, nb);
	return 0;
}

/* "{a} op {b}" off *rest. */
static int take_comparison(struct expansion *x, struct str *rest, bool *ret_holds)
{
	AUTO(buf) a = BUF(CONF_MOST_VALUE);
	AUTO(buf) b = BUF(CONF_MOST_VALUE);
	struct str left, right, suffix;
	enum relation relation;
	int r, order;

	if ((r = take_braced(x, rest, &left)) < 0
	    || (*rest = skip_space(*rest), r = take_relation(x, rest, &relation)) < 0)
		return r;
	suffix = take_name(rest);
	if (suffix.len > 0 && !str_is(suffix, STR("level")))
		return fail(x, "bad operator suffix at", suffix);
	*rest = skip_space(*rest);
	if ((r = take_braced(x, rest, &right)) < 0 || (r = expand(x, left, &a)) < 0
	    || (r = expand(x, right, &b)) < 0)
		return r;
	r = suffix.len > 0 ? compare_levels(x, buf_str(&a), buf_str(&b), &order) : compare_values(x,
			buf_str(&a), buf_str(&b), &order);
	if (r < 0)
		return r;
	*ret_holds = holds(relation, order);
	return 0;
}

static int expand_comparison(struct expansion *x, struct str rest, struct buf *out)
{
	struct str yes = STR("true"), no = STR_NONE;
	bool is_true;
	int r = take_comparison(x, &rest, &is_true);

	if (r < 0)
		return r;
	rest = skip_space(rest);
	if (rest.len > 0 && rest.at[0] == '?')
		r = parse_branches(x, str_skip(rest, 1), &yes, &no);
	else if (rest.len > 0 && rest.at[0] == ':') {
		yes = STR_NONE;
		r = parse_else(x, str_skip(rest, 1), &no);
	} else if (rest.len > 0)
		return fail(x, "\"?\" or \":\" expected at", rest);
	return r < 0 ? r : expand(x, is_true ? yes : no, out);
}

/* ---- references ---- */

/* 1; 0: main.cf has no such name; -EINVAL: whoever else was asked has none. */
static int look_up(struct expansion *x, struct str name, struct str *ret_value)
{
	if (x->value != NULL)
		return x->value(x->arg, name, ret_value) ? 1 : fail(x, "unknown name", name);
	if (conf_raw(x->conf, name, ret_value))
		return 1;
	if (x->undefined != NULL)
		x->undefined(x->arg, name);
	return 0;
}

static int expand_value(struct expansion *x, struct str name, struct buf *out)
{
	struct str value;
	int r = look_up(x, name, &value);

	if (r <= 0)
		return r;
	if (x->value == NULL)
		return expand(x, value, out);
	x->has_gap = x->has_gap || value.len == 0;
	return put(x, value, out);
}

static int expand_domain_to_ascii(struct expansion *x, struct str rest, struct buf *out)
{
	AUTO(buf) name = BUF(CONF_MOST_VALUE);
	struct str inner;
	int r = take_braced(x, &rest, &inner);

	if (r < 0 || (r = expand(x, inner, &name)) < 0)
		return r;
	if (skip_space(rest).len > 0)
		return fail(x, "unexpected input at", rest);
	for (size_t i = 0; i < name.len; i++)
		name.at[i] = to_lower(name.at[i]);
	return put(x, buf_str(&name), out);
}

/* What stands between ${ and }. */
static int expand_reference(struct expansion *x, struct str inner, struct buf *out)
{
	struct str rest = skip_space(inner), name, raw = STR_NONE, yes = STR_NONE, no = STR_NONE;
	int r;

	if (rest.len > 0 && rest.at[0] == '{')
		return expand_comparison(x, rest, out);
	name = take_name(&rest);
	if (name.len == 0)
		return fail(x, "empty macro name", inner);
	if (rest.len > 0 && rest.at[0] == '{' && str_is(name, STR("domain_to_ascii")))
		return expand_domain_to_ascii(x, rest, out);
	rest = skip_space(rest);
	if (rest.len == 0)
		return expand_value(x, name, out);
	if (rest.at[0] != '?' && rest.at[0] != ':')
		return fail(x, "attribute name syntax error at", rest);
	if (rest.at[0] == '?')
		r = parse_branches(x, str_skip(rest, 1), &yes, &no);
	else
		r = parse_else(x, str_skip(rest, 1), &no);
	if (r < 0)
		return r;
	r = look_up(x, name, &raw);
	return r < 0 ? r : expand(x, raw.len > 0 ? yes : no, out);
}

/* rest stands behind a dollar sign. */
static int expand_dollar(struct expansion *x, struct str *rest, struct buf *out)
{
	struct str inner;
	bool round;

	if (rest->len > 0 && rest->at[0] == '$') {
		*rest = str_skip(*rest, 1);
		return put(x, STR("$"), out);
	}
	if (rest->len > 0 && (rest->at[0] == '{' || rest->at[0] == '(')) {
		round = rest->at[0] == '(';
		if (take_enclosed(rest, rest->at[0], round ? ')' : '}', &inner) < 0)
			return fail(x, "truncated macro reference", *rest);
		return expand_reference(x, inner, out);
	}
	inner = take_name(rest);
	if (inner.len == 0)
		return fail(x, "empty macro name after $", *rest);
	return expand_value(x, inner, out);
}

static int expand_text(struct expansion *x, struct str text, struct buf *out)
{
	struct str rest = text, literal;
	int r = 0;

	while (r == 0) {
		bool dollar = str_cut(&rest, '$', &literal);

		r = put(x, literal, out);
		if (!dollar || r < 0)
			break;
		if (++x->steps > CONF_MOST_STEPS) {
			buf_addf(x->why, "more than %d macro references in one value", CONF_MOST_STEPS);
			return -ELOOP;
		}
		r = expand_dollar(x, &rest, out);
	}
	return r;
}

static int expand(struct expansion *x, struct str text, struct buf *out)
{
	int r;

	if (x->depth >= CONF_MOST_DEPTH) {
		buf_addf(x->why, "unreasonable macro call nesting: \"%.*s\"", PSTR(str_head(text, 80)));
		return -ELOOP;
	}
	x->depth++;
	r = expand_text(x, text, out);
	x->depth--;
	return r;
}

int conf_expand_noting(struct conf *c, struct arena *a, struct str text, struct str *ret, struct buf *why,
		       void (*undefined)(void *arg, struct str name), void *arg)
{
	struct expansion x = { .conf = c, .why = why, .undefined = undefined, .arg = arg };
	AUTO(buf) out = BUF(CONF_MOST_VALUE);
	int r = expand(&x, text, &out);

	if (r < 0)
		return r;
	*ret = arena_copy(a, buf_str(&out));
	return 0;
}

int expand_names(struct str text, name_value *value, void *arg, struct buf *ret, struct buf *why)
{
	struct expansion x = { .value = value, .arg = arg, .why = why };
	int r = expand(&x, text, ret);

	return r < 0 ? r : x.has_gap;
}

int conf_expand(struct conf *c, struct arena *a, struct str text, struct str *ret, struct buf *why)
{
	return conf_expand_noting(c, a, text, ret, why, NULL, NULL);
}

bool conf_next_name(struct str *text, struct str *ret_name)
{
	struct str skipped;

	while (str_cut(text, '$', &skipped)) {
		if (str_starts(*text, STR("$"))) {	/* "$$" is no name's */
			*text = str_skip(*text, 1);
			continue;
		}
		while (text->len > 0
		       && (text->at[0] == '{' || text->at[0] == '(' || is_space(text->at[0])))
			*text = str_skip(*text, 1);
		*ret_name = take_name(text);
		if (ret_name->len > 0)
			return true;
	}
	return false;
}
