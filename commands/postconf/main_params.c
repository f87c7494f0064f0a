/* SPDX-License-Identifier: ISC */
/* Parameters of main.cf: one by name, or all of them in order of name. */
#include "commands/postconf/postconf.h"
#include "lib/base/map.h"
#include "lib/conf/families.h"

static bool is_set(const struct postconf *p, struct str name)
{
	const char *file;
	int line;

	return conf_where(p->conf, name, &file, &line) || map_get(p->overridden, name) != NULL;
}

/* With -d the value is the row's, or computed as if main.cf were empty. */
bool value_of(struct postconf *p, struct str name, struct str *ret)
{
	if (conf_raw(p->defaults ? p->empty : p->conf, name, ret))
		return true;
	if (review_class(p->review, name) != NAME_OF_SERVICE)
		return false;
	/* SERVICE_time_limit of pipe and spawn is no family: other services have none */
	*ret = STR("$command_time_limit");
	return true;
}

/* Set to what it is anyhow: the same text as the default, or the same once both are expanded. */
static bool is_needless(struct postconf *p, struct str name)
{
	AUTO(buf) why = BUF_WORDS;
	struct str set, usual;

	if (!conf_raw(p->conf, name, &set) || !conf_raw(p->empty, name, &usual))
		return false;
	if (str_is(set, usual))
		return true;
	return !str_is(name, STR("config_directory")) && conf_expand(p->conf, p->arena, set, &set, &why) == 0
	       && conf_expand(p->conf, p->arena, usual, &usual, &why) == 0
	       && str_is(str_trim(set), str_trim(usual));
}

static bool passes_filter(struct postconf *p, struct str name)
{
	switch (p->filter) {
	case SET_AT_ALL: return is_set(p, name);
	case SET_DIFFERENTLY: return is_set(p, name) && !is_needless(p, name);
	case SET_NEEDLESSLY: return is_set(p, name) && is_needless(p, name);
	default: return true;
	}
}

static void expand_value(struct postconf *p, struct str name, struct str raw, struct str *ret)
{
	AUTO(buf) why = BUF_WORDS;
	const struct param *row = conf_param(name);

	if (row != NULL && row->type == PARAM_RAW)
		return;
	if (conf_expand(p->defaults ? p->empty : p->conf, p->arena, raw, ret, &why) < 0) {
		warn("%.*s: %s", PSTR(name), buf_text(&why));
		p->failed = true;
	}
}

static void print_parameter(struct postconf *p, struct str name)
{
	struct str value;

	if (!value_of(p, name, &value))
		return;
	if (p->expand)
		expand_value(p, name, value, &value);
	print_assignment(p, name, value);
}

static void warn_unknown(struct postconf *p, struct str name)
{
	const struct str near = review_nearest(p->review, p->arena, name);

	if (near.len > 0)
		warn("%.*s: unknown parameter (did you mean %.*s?)", PSTR(name), PSTR(near));
	else
		warn("%.*s: unknown parameter", PSTR(name));
}

void show_parameter(struct postconf *p, struct str name)
{
	enum name_class class = review_class(p->review, name);
	struct str value;

	if (class == NAME_PLANNED)
		warn("%.*s: %s", PSTR(name), conf_absence(name));
	else if (class == NAME_UNUSED || !value_of(p, name, &value))
		warn_unknown(p, name);
	if (class == NAME_UNUSED || !passes_filter(p, name) || !value_of(p, name, &value))
		return;
	print_parameter(p, name);
}

/* ---- all of them ---- */

static int by_text(const void *a, const void *b)
{
	const struct str *x = a, *y = b;
	int order = memcmp(x->at, y->at, MIN(x->len, y->len));

	return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static void add_name(struct postconf *p, struct names *list, enum name_class class, struct str name)
{
	if (p->classes & 1u << class && passes_filter(p, name))
		*vec_add(p->arena, list) = name;
}

static void add_built_in(struct postconf *p, struct names *list)
{
	for (const struct param_group *const *g = all_groups; *g != NULL; g++)
		for (size_t i = 0; i < (*g)->count; i++)
			add_name(p, list, NAME_BUILT_IN, str_of((*g)->params[i].name));
}

static bool delivers_mail(const struct service_entry *s)
{
	static const char *const agents[] = { "smtp", "lmtp", "local", "virtual", "error", "pipe" };

	for (size_t i = 0; s->type == SERVICE_UNIX && i < COUNT_OF(agents); i++)
		if (str_is(s->command, str_of(agents[i])))
			return true;
	return false;
}

static bool runs_commands(const struct service_entry *s)
{
	return s->type == SERVICE_UNIX && (str_is(s->command, STR("pipe"))
					   || str_is(s->command, STR("spawn")));
}

static void add_families(struct postconf *p, struct names *list)
{
	const struct master_cf *m = review_services(p->review);

	for (size_t i = 0; i < m->count; i++)
		for (size_t j = 0; delivers_mail(&m->services[i]) && j < param_family_count; j++) {
			struct str name = arena_fmt(p->arena, "%.*s%s", PSTR(m->services[i].name),
						    param_families[j].suffix);

			if (conf_param(name) == NULL)
				add_name(p, list, NAME_OF_SERVICE, name);
		}
	for (size_t i = 0; i < m->count; i++)
		if (runs_commands(&m->services[i]))
			add_name(p, list, NAME_OF_SERVICE, arena_fmt(p->arena, "%.*s_time_limit",
								     PSTR(m->services[i].name)));
}

/*
 * Those that main.cf sets and that are none of the above. Planned ones too: the administrator
 * should see that he has them.
 */
static void add_others(struct postconf *p, struct names *list)
{
	struct str name, value;

	for (size_t i = 0; !p->defaults && conf_next_set(p->conf, &i, &name, &value);) {
		enum name_class class = review_class(p->review, name);

		if (class == NAME_OF_USER || class == NAME_PLANNED
		    || (class == NAME_OF_SERVICE && param_family_of(name, NULL) == NULL))
			add_name(p, list, class, name);
	}
}

void collect_parameters(struct postconf *p, struct names *ret)
{
	struct names list = { 0 };
	size_t kept = 0;

	add_built_in(p, &list);
	add_families(p, &list);
	add_others(p, &list);
	if (p->filter == SET_AT_ALL && strcmp(conf_dir(p->conf), SYSCONFDIR) != 0
	    && (p->classes & 1u << NAME_BUILT_IN))
		*vec_add(p->arena, &list) = STR("config_directory");
	if (list.len > 0)
		qsort(list.at, list.len, sizeof(*list.at), by_text);
	for (size_t i = 0; i < list.len; i++)
		if (i == 0 || !str_is(list.at[i], list.at[i - 1]))
			list.at[kept++] = list.at[i];
	list.len = kept;
	*ret = list;
}

void list_parameters(struct postconf *p)
{
	struct names list;

	collect_parameters(p, &list);
	for (size_t i = 0; i < list.len; i++)
		print_parameter(p, list.at[i]);
}
