/* SPDX-License-Identifier: ISC */
/*
 * What an administrator should hear about his main.cf and master.cf before anything goes wrong:
 * parameters that nothing reads, that Postfix has and Postroad not yet, names that are used and not
 * defined, lines that mean nothing, values that cannot be expanded.
 */
#include <errno.h>

#include "lib/conf/conf_private.h"
#include "lib/conf/families.h"
#include "lib/conf/review.h"

enum { MOST_GUESSES = 50 };		/* each looks at all names that there are */

struct review {
	struct conf *conf;
	struct arena *arena;
	struct master_cf services;
	const char *no_services;	/* why master.cf cannot be read, or NULL */
	unsigned what;			/* REVIEW_UNUSED_... */
	struct map *used;		/* names that stand as $name in some value */
	struct map *inherited;		/* of old configurations: defaults take their values if they are set */
	/* prefixes of tables that are configured in main.cf: ldap:NAME wants NAME_server_host */
	struct map *wanted;
	const char *path;		/* the file whose lines are looked at */
	int line;			/* the one whose value is expanded */
	int guesses;			/* what unused names may have been meant for */
	void (*say)(void *arg, const char *text);
	void *arg;
};

__attribute__((format(printf, 2, 3))) static void say(struct review *v, const char *format, ...)
{
	AUTO(buf) text = BUF_WORDS;
	va_list arguments;

	va_start(arguments, format);
	buf_addv(&text, format, arguments);
	va_end(arguments);
	v->say(v->arg, buf_text(&text));
}

/* ---- which names are used ---- */

static void note_used(struct review *v, struct str name)
{
	map_put(v->used, name, v);
}

static void note_names(struct review *v, struct str text)
{
	struct str name;

	while (conf_next_name(&text, &name))
		note_used(v, name);
}

/* ldap:NAME and the like: the table's settings are parameters NAME_... of main.cf. */
static void note_tables(struct review *v, struct str value)
{
	static const char *const types[] = { "ldap", "mysql", "pgsql", "sqlite", "memcache" };
	struct str word, type;

	while (str_token(&value, ", \t\r\n{}", &word)) {
		if (str_starts(word, STR("proxy:")))
			word = str_skip(word, 6);
		if (!str_cut(&word, ':', &type) || word.len == 0 || word.at[0] == '/')
			continue;
		for (size_t i = 0; i < COUNT_OF(types); i++)
			if (str_is(type, str_of(types[i])))
				map_put(v->wanted, word, v);
	}
}

static void note_value(struct review *v, struct str value)
{
	note_names(v, value);
	note_tables(v, value);
}

/* The assignments among a service's arguments: calls each() for each -o. */
static void each_override(struct review *v, void (*each)(struct review *v, const struct service_entry *s,
							 struct str name, struct str value))
{
	AUTO(buf) words = BUF_WORDS;
	struct str name, value;

	for (size_t i = 0; i < v->services.count; i++) {
		const struct service_entry *s = &v->services.services[i];
		struct str assignment;

		for (size_t at = 0; service_override(s, &at, &assignment);)
			if (conf_split_assignment(assignment, &name, &value, &words) == 0)
				each(v, s, name, value);
	}
}

static void note_override(struct review *v, const struct service_entry *s, struct str name, struct str value)
{
	(void) s;
	(void) name;
	note_value(v, value);
}

static void note_classes(struct review *v)
{
	struct str list, one;

	if (conf_get(v->conf, v->arena, STR("smtpd_restriction_classes"), &list))
		while (str_token(&list, ", \t\r\n", &one))
			note_used(v, one);
}

static void note_default(struct review *v, struct str text)
{
	struct str name;

	note_names(v, text);
	while (conf_next_name(&text, &name))
		if (param_default_by_name(name) == NULL)
			map_put(v->inherited, name, v);
}

static void note_all(struct review *v)
{
	struct str name, value;

	for (size_t i = 0; conf_next_set(v->conf, &i, &name, &value);)
		note_value(v, value);
	for (size_t i = 0; i < param_default_count; i++)
		if (param_defaults[i].text != NULL)
			note_default(v, str_of(param_defaults[i].text));
	each_override(v, note_override);
	note_classes(v);
}

/* ---- what is known ---- */

static bool is_of_a_service(struct review *v, struct str name)
{
	struct str service;

	if (param_family_of(name, &service) == NULL)
		return false;
	for (size_t i = 0; i < v->services.count; i++)
		if (v->services.services[i].type != SERVICE_INET
		    && str_is(v->services.services[i].name, service))
			return true;
	return false;
}

static bool is_of_a_table(struct review *v, struct str name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] == '_' && map_get(v->wanted, str_head(name, i)) != NULL)
			return true;
	return false;
}

/* Of services that run spawn or pipe: SERVICE_time_limit. */
static bool is_time_limit(struct review *v, struct str name)
{
	static const struct str suffix = STR_INIT("_time_limit");

	if (!str_ends(name, suffix))
		return false;
	for (size_t i = 0; i < v->services.count; i++)
		if ((str_is(v->services.services[i].command, STR("pipe"))
		     || str_is(v->services.services[i].command, STR("spawn")))
		    && str_is(v->services.services[i].name, str_head(name, name.len - suffix.len)))
			return true;
	return false;
}

enum name_class review_class(struct review *v, struct str name)
{
	if (param_default_by_name(name) != NULL)
		return NAME_BUILT_IN;
	if (is_of_a_service(v, name) || is_time_limit(v, name))
		return NAME_OF_SERVICE;
	if (conf_absence(name) != NULL)
		return NAME_PLANNED;
	return map_get(v->used, name) != NULL || is_of_a_table(v, name) ? NAME_OF_USER : NAME_UNUSED;
}

static void say_unused(struct review *v, int line, struct str name, struct str value)
{
	AUTO(buf) place = BUF(64);
	struct str near;

	value = str_head(value, 200);
	if (v->what & REVIEW_WITH_LINES)
		buf_addf(&place, ", line %d", line);
	near = v->guesses++ < MOST_GUESSES ? review_nearest(v, v->arena, name) : STR_NONE;
	say(v, "%s%s: unused parameter: %.*s=%.*s%s%.*s%s", v->path, buf_text(&place), PSTR(name),
	    PSTR(value), near.len > 0 ? " (did you mean " : "", PSTR(near), near.len > 0 ? "?)" : "");
}

static void judge(struct review *v, int line, struct str name, struct str value)
{
	enum name_class class = review_class(v, name);

	if (class == NAME_PLANNED)
		say(v, "%s, line %d: %.*s is %s", v->path, line, PSTR(name), conf_absence(name));
	else if (class == NAME_UNUSED)
		say_unused(v, line, name, value);
}

static void judge_override(struct review *v, const struct service_entry *s, struct str name, struct str value)
{
	if (s->line > 0)
		judge(v, s->line, name, value);
}

/* ---- what is not defined ---- */

static void say_undefined(void *arg, struct str name)
{
	struct review *v = arg;
	struct str key = arena_fmt(v->arena, "undefined %.*s", PSTR(name));

	if (conf_absence(name) != NULL || map_get(v->inherited, name) != NULL || map_put(v->used, key, v) != NULL)
		return;
	if (v->what & REVIEW_WITH_LINES)
		say(v, "%s, line %d: undefined parameter: %.*s", v->path, v->line, PSTR(name));
	else
		say(v, "%s: undefined parameter: %.*s", v->path, PSTR(name));
}

static void try_to_expand(struct review *v, struct str name, struct str value)
{
	AUTO(buf) words = BUF_WORDS;
	struct str text;
	const char *file;

	/* Of planned ones nobody knows whether their $names are to be expanded at run time. */
	if (param_is_raw(name) || conf_absence(name) != NULL)
		return;
	conf_where(v->conf, name, &file, &v->line);
	if (conf_expand_noting(v->conf, v->arena, value, &text, &words, say_undefined, v) < 0)
		say(v, "%s, line %d: %.*s: %s", v->path, v->line, PSTR(name), buf_text(&words));
}

struct review *review_open(struct conf *c)
{
	struct arena *a = arena_new("review", NULL, CONF_MOST_MEMORY);
	struct review *v = ARENA_NEW(a, struct review);
	AUTO(buf) words = BUF_WORDS;

	v->conf = c;
	v->arena = a;
	v->used = map_new();
	v->inherited = map_new();
	v->wanted = map_new();
	if (master_cf_load(c, a, &v->services, &words) < 0) {
		v->services.count = 0;
		v->no_services = str_c(a, buf_str(&words));
	}
	note_all(v);
	return v;
}

void review_close(struct review *v)
{
	map_free(v->used, NULL);
	map_free(v->inherited, NULL);
	map_free(v->wanted, NULL);
	arena_free(v->arena);		/* and v with it */
}

struct conf *review_conf(const struct review *v)
{
	return v->conf;
}

const struct master_cf *review_services(const struct review *v)
{
	return &v->services;
}

const char *review_no_services(const struct review *v)
{
	return v->no_services;
}

static void tell_of_main_cf(struct review *v)
{
	struct conf *c = v->conf;
	struct str name, value;
	const char *file;
	int line = 0;

	v->path = c->path;
	for (size_t i = 0; i < c->notes.len; i++)
		say(v, "%.*s", PSTR(c->notes.at[i]));
	for (size_t i = 0; conf_next_set(c, &i, &name, &value);) {
		if (!conf_where(c, name, &file, &line))
			continue;		/* an override stands above it */
		if (v->what & REVIEW_UNUSED_IN_MAIN_CF)
			judge(v, line, name, value);
		try_to_expand(v, name, value);
	}
}

/* Which names a service's overrides use that nobody defines: each sees main.cf with all its overrides. */
static void expand_overrides(struct review *v, const struct service_entry *s)
{
	AUTO(buf) words = BUF_WORDS;
	struct str assignment, name, value, text;
	struct conf *own;

	if (conf_load(v->conf->dir, &own, &words) < 0)
		return;
	v->line = s->line;
	for (size_t at = 0; service_override(s, &at, &assignment);)
		conf_override(own, assignment, &words);
	for (size_t at = 0; service_override(s, &at, &assignment);)
		if (conf_split_assignment(assignment, &name, &value, &words) == 0 && !param_is_raw(name)
		    && conf_absence(name) == NULL
		    && conf_expand_noting(own, v->arena, value, &text, &words, say_undefined, v) < 0)
			say(v, "%s, line %d: %.*s: %s", v->path, s->line, PSTR(name), buf_text(&words));
	conf_free(own);
}

static void tell_of_master_cf(struct review *v)
{
	size_t at;
	struct str assignment;

	v->path = arena_fmt(v->arena, "%s/master.cf", v->conf->dir).at;
	if (v->no_services != NULL)
		say(v, "%s", v->no_services);
	if (v->what & REVIEW_UNUSED_IN_MASTER_CF)
		each_override(v, judge_override);
	for (size_t i = 0; i < v->services.count; i++)
		if (at = 0, service_override(&v->services.services[i], &at, &assignment))
			expand_overrides(v, &v->services.services[i]);
}

void review_tell(struct review *v, unsigned what, void (*say_it)(void *arg, const char *text), void *arg)
{
	v->say = say_it;
	v->arg = arg;
	v->what = what;
	tell_of_main_cf(v);
	tell_of_master_cf(v);
}

void conf_review(struct conf *c, void (*say_it)(void *arg, const char *text), void *arg)
{
	struct review *v = review_open(c);

	review_tell(v, REVIEW_UNUSED_IN_MAIN_CF | REVIEW_UNUSED_IN_MASTER_CF | REVIEW_WITH_LINES, say_it,
		    arg);
	review_close(v);
}
