/* SPDX-License-Identifier: ISC */
/*
 * What is set: by main.cf, by overrides, by the program. Values are kept as written; expand.c makes
 * texts of them, fill.c typed values. A conf is only read after the start of a program, except that
 * computed defaults are kept when first asked for.
 */
#include <errno.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/conf/conf_private.h"
#include "lib/conf/families.h"

struct setting *conf_setting(const struct conf *c, struct str name)
{
	return map_get(c->settings, name);
}

void conf_put(struct conf *c, struct str name, struct str value, enum setting_source source, int line)
{
	struct setting *s = conf_setting(c, name);

	if (s == NULL) {
		s = ARENA_NEW(c->arena, struct setting);
		s->name = arena_copy(c->arena, name);
		map_put(c->settings, s->name, s);
		if (source == SET_IN_MAIN_CF)
			*vec_add(c->arena, &c->in_order) = s;
	}
	s->value = arena_copy(c->arena, value);
	s->source = source;
	s->line = line;
}

void conf_set(struct conf *c, struct str name, struct str value)
{
	conf_put(c, name, value, SET_BY_OVERRIDE, 0);
}

bool conf_is_name(struct str name)
{
	if (name.len == 0 || name.len > 1000)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (!is_print(name.at[i]) || name.at[i] == ' ' || strchr("${}=", name.at[i]) != NULL)
			return false;
	return true;
}

int conf_split_assignment(struct str line, struct str *ret_name, struct str *ret_value, struct buf *why)
{
	struct str name, value = line;

	if (!str_cut(&value, '=', &name) || str_find_any(str_trim(name), " \t\r\n\v\f") >= 0) {
		buf_addf(why, "missing '=' after attribute name: \"%.*s\"", PSTR(str_head(line, 100)));
		return -EINVAL;
	}
	name = str_trim(name);
	if (name.len == 0) {
		buf_addf(why, "missing attribute name: \"%.*s\"", PSTR(str_head(line, 100)));
		return -EINVAL;
	}
	if (!conf_is_name(name)) {
		buf_addf(why, "bad attribute name: \"%.*s\"", PSTR(str_head(line, 100)));
		return -EINVAL;
	}
	*ret_name = name;
	*ret_value = str_trim(value);
	return 0;
}

int conf_override(struct conf *c, struct str assignment, struct buf *why)
{
	struct str name, value;
	int r;

	assignment = str_trim(assignment);
	if (assignment.len >= 2 && assignment.at[0] == '{' && assignment.at[assignment.len - 1] == '}')
		assignment = str_trim(str_make(assignment.at + 1, assignment.len - 2));
	r = conf_split_assignment(assignment, &name, &value, why);
	if (r < 0)
		return r;
	conf_put(c, name, value, SET_BY_OVERRIDE, 0);
	return 0;
}

bool conf_raw(struct conf *c, struct str name, struct str *ret_value)
{
	const struct setting *s = conf_setting(c, name);
	const struct param_default *d;
	const struct param_family *f;

	if (s != NULL) {
		*ret_value = s->value;
		return true;
	}
	d = param_default_by_name(name);
	if (d != NULL && d->text != NULL) {
		*ret_value = str_of(d->text);
		return true;
	}
	if (d != NULL)
		return conf_computed_default(c, name, ret_value);
	f = param_family_of(name, NULL);
	if (f != NULL) {
		*ret_value = str_of(f->default_text);
		return true;
	}
	return false;
}

bool conf_where(const struct conf *c, struct str name, const char **ret_file, int *ret_line)
{
	const struct setting *s = conf_setting(c, name);

	if (s == NULL || s->source != SET_IN_MAIN_CF)
		return false;
	*ret_file = c->path;
	*ret_line = s->line;
	return true;
}

/*
 * A parameter that main.cf does not set may be what it is because of one that it does:
 * "virtual_alias_domains" of virtual_alias_maps.
 */
bool conf_where_from(struct conf *c, struct str name, const char **ret_file, int *ret_line)
{
	struct str rest, skipped;

	if (conf_where(c, name, ret_file, ret_line))
		return true;
	if (conf_setting(c, name) != NULL || !conf_raw(c, name, &rest))
		return false;
	while (str_cut(&rest, '$', &skipped)) {
		size_t n = 0;

		while (rest.len > 0 && rest.at[0] == '{')
			rest = str_skip(rest, 1);
		while (n < rest.len && (is_alnum(rest.at[n]) || rest.at[n] == '_'))
			n++;
		if (conf_where(c, str_head(rest, n), ret_file, ret_line))
			return true;
	}
	return false;
}

bool conf_where_words(struct conf *c, struct str words, const char **ret_file, int *ret_line)
{
	const ssize_t end = str_find_any(words, ": =");

	return end > 0 && conf_where_from(c, str_head(words, (size_t) end), ret_file, ret_line);
}

bool conf_next_set(const struct conf *c, size_t *at, struct str *ret_name, struct str *ret_raw_value)
{
	if (*at >= c->in_order.len)
		return false;
	*ret_name = c->in_order.at[*at]->name;
	*ret_raw_value = c->in_order.at[*at]->value;
	++*at;
	return true;
}

const char *conf_dir(const struct conf *c)
{
	return c->dir;
}

void conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	map_free(c->settings, NULL);
	arena_free(c->arena);		/* and c itself with it */
}
