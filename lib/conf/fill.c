/* SPDX-License-Identifier: ISC */
/*
 * From texts to typed values: conf_fill() for a group's struct, conf_get*() for one name. Every
 * message names where the value was set and what was expected instead.
 */
#include <errno.h>
#include <inttypes.h>

#include "lib/base/die.h"
#include "lib/conf/conf_private.h"

static int64_t unit_ms(char unit)
{
	switch (unit) {
	case 's': return 1000;
	case 'm': return 60 * 1000;
	case 'h': return 60 * 60 * 1000;
	case 'd': return 24 * 60 * 60 * 1000;
	case 'w': return 7LL * 24 * 60 * 60 * 1000;
	default: return 0;
	}
}

int conf_parse_time(struct str text, char default_unit, int64_t *ret_ms)
{
	struct str number = str_trim(text);
	char unit = default_unit;
	int64_t n, ms;
	int r;

	if (number.len > 0 && is_alpha(number.at[number.len - 1])) {
		unit = number.at[number.len - 1];
		number.len--;
	}
	ms = unit_ms(unit);
	if (ms == 0)
		return -EINVAL;
	r = str_to_int(number, 0, INT64_MAX / ms, &n);
	if (r < 0)
		return r;
	*ret_ms = n * ms;
	return 0;
}

static int parse_bool(struct str text, bool *ret)
{
	if (str_is_nocase(text, STR("yes")))
		*ret = true;
	else if (str_is_nocase(text, STR("no")))
		*ret = false;
	else
		return -EINVAL;
	return 0;
}

/* "main.cf, line 7: name = value" or "parameter name = value", the value cut. */
static void name_the_place(struct conf *c, struct str name, struct buf *why)
{
	const char *file;
	struct str raw;
	int line;

	if (conf_where_from(c, name, &file, &line))
		buf_addf(why, "%s, line %d: ", file, line);
	else
		buf_addf(why, "parameter ");
	if (conf_raw(c, name, &raw))
		buf_addf(why, "%.*s = %.*s: ", PSTR(name), PSTR(str_head(raw, 200)));
	else
		buf_addf(why, "%.*s: ", PSTR(name));
}

static int get_text(struct conf *c, struct arena *a, struct str name, struct str raw, struct str *ret,
		    struct buf *why)
{
	AUTO(buf) words = BUF_WORDS;
	int r = conf_expand(c, a, raw, ret, &words);

	if (r < 0) {
		name_the_place(c, name, why);
		buf_add(why, buf_str(&words));
		return r;
	}
	*ret = str_trim(*ret);
	return 0;
}

bool conf_get(struct conf *c, struct arena *a, struct str name, struct str *ret_value)
{
	AUTO(buf) words = BUF_WORDS;
	struct str raw;

	if (!conf_raw(c, name, &raw))
		return false;
	if (!param_is_raw(name))
		return get_text(c, a, name, raw, ret_value, &words) == 0;
	*ret_value = arena_copy(a, raw);
	return true;
}

/* Of a TIME without a unit: the one of its default ("300s", "${stress?{10}:{300}}s", "$other_time"). */
static char default_unit(struct conf *c, struct arena *a, struct str default_text)
{
	AUTO(buf) words = BUF_WORDS;
	struct str text;

	if (conf_expand(c, a, default_text, &text, &words) < 0)
		return 's';
	text = str_trim(text);
	return text.len > 0 && unit_ms(text.at[text.len - 1]) != 0 ? text.at[text.len - 1] : 's';
}

/* ---- one value of each type, with its words ---- */

int conf_refuse(struct conf *c, struct str name, struct buf *why, const char *words)
{
	name_the_place(c, name, why);
	buf_add_text(why, words);
	return -EINVAL;
}

static int parse_int_value(struct conf *c, struct str name, struct str text, int64_t min, int64_t max,
			   int64_t *ret, struct buf *why)
{
	if (str_to_int(text, min, max, ret) == 0)
		return 0;
	name_the_place(c, name, why);
	buf_addf(why, "a number from %" PRId64 " to %" PRId64 " expected", min, max);
	return -EINVAL;
}

static int parse_time_value(struct conf *c, struct str name, struct str text, char unit, int64_t min_s,
			    int64_t max_s, int64_t *ret, struct buf *why)
{
	int64_t ms;

	if (conf_parse_time(text, unit, &ms) == 0 && ms >= min_s * 1000 && ms <= max_s * 1000) {
		*ret = ms;
		return 0;
	}
	name_the_place(c, name, why);
	buf_addf(why, "a time from %" PRId64 "s to %" PRId64 "s expected, as a number with s, m, h, d or w",
		 min_s, max_s);
	return -EINVAL;
}

static int parse_str_value(struct conf *c, const struct param *p, struct str text, const char **ret,
			   struct buf *why)
{
	if (text.len >= (size_t) p->min && (p->max == 0 || text.len <= (size_t) p->max)) {
		*ret = text.at;
		return 0;
	}
	name_the_place(c, str_of(p->name), why);
	if (text.len < (size_t) p->min)
		buf_addf(why, text.len == 0 ? "must not be empty" : "too short");
	else
		buf_addf(why, "more than %" PRId64 " characters", p->max);
	return -EINVAL;
}

static int fill_one(struct conf *c, const struct param *p, char *at, struct buf *why)
{
	struct str name = str_of(p->name), raw, text;
	int r;

	/* a group that every.def does not name (a test's): its own row will do */
	if (!conf_raw(c, name, &raw)) {
		if (p->default_text == NULL)
			BUG("parameter %s has no default", p->name);
		raw = str_of(p->default_text);
	}
	if (p->type == PARAM_RAW)
		text = arena_copy(c->arena, raw);
	else if ((r = get_text(c, c->arena, name, raw, &text, why)) < 0)
		return r;
	at += p->offset;
	switch (p->type) {
	case PARAM_BOOL:
		return parse_bool(text, (bool *) (void *) at) == 0 ? 0 : conf_refuse(c, name, why,
				"yes or no expected");
	case PARAM_INT:
	case PARAM_SIZE:
		return parse_int_value(c, name, text, p->min, p->max, (int64_t *) (void *) at, why);
	case PARAM_TIME:
		return parse_time_value(c, name, text, default_unit(c, c->arena, str_of(p->default_text)),
					p->min, p->max, (int64_t *) (void *) at, why);
	case PARAM_STR:
	case PARAM_RAW:
		return parse_str_value(c, p, text, (const char **) (void *) at, why);
	}
	return 0;
}

int conf_fill(struct conf *c, const struct param_group *group, void *ret_struct, struct buf *why)
{
	for (size_t i = 0; i < group->count; i++) {
		int r = fill_one(c, &group->params[i], ret_struct, why);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- one of a family ---- */

static int get_or_default(struct conf *c, struct arena *a, struct str name, struct str default_text,
			  struct str *ret, struct buf *why)
{
	struct str raw;

	return get_text(c, a, name, conf_raw(c, name, &raw) ? raw : default_text, ret, why);
}

int conf_get_int(struct conf *c, struct str name, struct str default_text, int64_t min, int64_t max,
		 int64_t *ret, struct buf *why)
{
	struct arena *a = arena_new("conf_get_int", NULL, CONF_MOST_MEMORY);
	struct str text;
	int r = get_or_default(c, a, name, default_text, &text, why);

	if (r == 0)
		r = parse_int_value(c, name, text, min, max, ret, why);
	arena_free(a);
	return r;
}

int conf_get_time(struct conf *c, struct str name, struct str default_text, int64_t *ret_ms, struct buf *why)
{
	struct arena *a = arena_new("conf_get_time", NULL, CONF_MOST_MEMORY);
	struct str text;
	int r = get_or_default(c, a, name, default_text, &text, why);

	if (r == 0)
		r = parse_time_value(c, name, text, default_unit(c, a, default_text), 0,
				     INT64_MAX / 1000, ret_ms, why);
	arena_free(a);
	return r;
}

int conf_get_bool(struct conf *c, struct str name, bool default_value, bool *ret, struct buf *why)
{
	struct arena *a = arena_new("conf_get_bool", NULL, CONF_MOST_MEMORY);
	struct str text;
	int r = get_or_default(c, a, name, default_value ? STR("yes") : STR("no"), &text, why);

	if (r == 0 && parse_bool(text, ret) < 0)
		r = conf_refuse(c, name, why, "yes or no expected");
	arena_free(a);
	return r;
}
