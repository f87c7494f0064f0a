/* SPDX-License-Identifier: ISC */
#include "lib/table/settings.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/table/type.h"

static const char *get_for_driver(const struct driver_settings *s, const char *name)
{
	return settings_get((const struct settings *) s, name, NULL);
}

static bool is_known(const char *const *known, struct str name)
{
	for (; *known != NULL; known++)
		if (str_is(name, str_of(*known)))
			return true;
	return false;
}

struct settings *settings_read(struct source *lines, const char *const *known)
{
	struct settings *s = get_memory(sizeof(*s));
	struct str line, name, value;

	s->for_driver.get = get_for_driver;
	s->arena = arena_new("table settings", NULL, 64 << 20);
	s->values = map_new();
	s->file = str_c(s->arena, str_of(lines->name));
	while (source_next(lines, &line)) {
		value = line;
		if (!str_cut(&value, '=', &name) || str_trim(name).len == 0) {
			table_warn("%s, line %d: expected name = value", lines->name, lines->line);
			continue;
		}
		name = str_trim(name);
		if (!is_known(known, name))
			table_warn("%s, line %d: unused parameter: %.*s", lines->name, lines->line,
				   PSTR(str_head(name, 60)));
		map_put(s->values, name, (void *) str_c(s->arena, str_trim(value)));
	}
	return s;
}

void settings_free(void *settings)
{
	struct settings *s = settings;

	if (s == NULL)
		return;
	map_free(s->values, NULL);
	arena_free(s->arena);
	free(s);
}

const char *settings_get(const struct settings *s, const char *name, const char *otherwise)
{
	const char *value = map_get(s->values, str_of(name));

	return value == NULL ? otherwise : value;
}

static int bad_value(const struct settings *s, const char *name, const char *value, struct buf *why)
{
	buf_addf(why, "%s: %s = %.60s is not valid", s->file, name, value);
	return -EINVAL;
}

int settings_number(const struct settings *s, const char *name, int64_t otherwise, int64_t min, int64_t max,
		    int64_t *ret_n, struct buf *why)
{
	const char *value = settings_get(s, name, NULL);

	if (value != NULL && str_to_int(str_of(value), min, max, ret_n) < 0)
		return bad_value(s, name, value, why);
	if (value == NULL)
		*ret_n = otherwise;
	return 0;
}

int settings_seconds(const struct settings *s, const char *name, int64_t otherwise, int64_t min, int64_t max,
		     int64_t *ret_s, struct buf *why)
{
	static const struct { char unit; int64_t seconds; } units[] = { { 's', 1 }, { 'm', 60 },
									{ 'h', 3600 }, { 'd', 86400 },
									{ 'w', 604800 } };
	const char *value = settings_get(s, name, NULL);
	struct str text = str_of(value);
	int64_t factor = 1;

	if (value == NULL) {
		*ret_s = otherwise;
		return 0;
	}
	for (size_t i = 0; i < COUNT_OF(units) && text.len > 0; i++)
		if (to_lower(text.at[text.len - 1]) == units[i].unit) {
			factor = units[i].seconds;
			text.len--;
			break;
		}
	if (str_to_int(text, 0, max, ret_s) < 0 || (*ret_s *= factor) < min || *ret_s > max)
		return bad_value(s, name, value, why);
	return 0;
}

int settings_yes(const struct settings *s, const char *name, bool otherwise, bool *ret_yes, struct buf *why)
{
	const char *value = settings_get(s, name, NULL);

	*ret_yes = value == NULL ? otherwise : str_is_nocase(str_of(value), STR("yes"));
	if (value != NULL && !*ret_yes && !str_is_nocase(str_of(value), STR("no")))
		return bad_value(s, name, value, why);
	return 0;
}
