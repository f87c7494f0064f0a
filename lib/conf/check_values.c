/* SPDX-License-Identifier: ISC */
/* Every value of main.cf and master.cf, tried before a daemon has to. For `postroad check`. */
#include "lib/base/die.h"
#include "lib/conf/conf_private.h"
#include "lib/conf/families.h"
#include "lib/conf/master_cf.h"

struct check {
	void (*say)(void *arg, const char *text);
	void *arg;
	int wrong;
};

static void say(struct check *k, const char *where, const char *words)
{
	AUTO(buf) text = BUF(8192);

	buf_addf(&text, "%s%s", where, words);
	k->say(k->arg, buf_text(&text));
	k->wrong++;
}

/* One row alone, as a group of its own, so that one wrong value does not hide the next. */
static void check_row(struct check *k, struct conf *c, const struct param_group *g, const struct param *p,
		      void *memory, const char *where)
{
	const struct param_group alone = { g->name, p, 1, g->struct_size };
	AUTO(buf) why = BUF_WORDS;

	if (conf_fill(c, &alone, memory, &why) < 0)
		say(k, where, buf_text(&why));
}

static void check_all(struct check *k, struct conf *c)
{
	for (const struct param_group *const *g = all_groups; *g != NULL; g++) {
		void *memory = get_memory((*g)->struct_size);

		for (size_t i = 0; i < (*g)->count; i++)
			check_row(k, c, *g, &(*g)->params[i], memory, "");
		free(memory);
	}
}

static void check_name(struct check *k, struct conf *c, struct str name, const char *where)
{
	for (const struct param_group *const *g = all_groups; *g != NULL; g++)
		for (size_t i = 0; i < (*g)->count; i++)
			if (str_is(name, str_of((*g)->params[i].name))) {
				void *memory = get_memory((*g)->struct_size);

				check_row(k, c, *g, &(*g)->params[i], memory, where);
				free(memory);
			}
}

/* The service's own view: main.cf with all its overrides. */
static void check_service(struct check *k, const char *dir, struct arena *a, const struct service_entry *s)
{
	const char *where = arena_fmt(a, "%s/master.cf, line %d: ", dir, s->line).at;
	AUTO(buf) why = BUF_WORDS;
	struct str assignment, name;
	struct conf *own;
	size_t at = 0;

	if (!service_override(s, &at, &assignment) || conf_load(dir, &own, &why) < 0)
		return;
	for (at = 0; service_override(s, &at, &assignment);)
		conf_override(own, assignment, &why);
	for (at = 0; service_override(s, &at, &assignment);)
		if (conf_split_assignment(assignment, &name, &assignment, &why) == 0)
			check_name(k, own, name, where);
	conf_free(own);
}

int conf_check_values(struct conf *c, void (*say_it)(void *arg, const char *text), void *arg)
{
	struct arena *a = arena_new("check values", NULL, CONF_MOST_MEMORY);
	struct check k = { .say = say_it, .arg = arg };
	AUTO(buf) ignored = BUF_WORDS;
	struct master_cf m = { 0 };

	check_all(&k, c);
	k.wrong += conf_check_families(c, say_it, arg);
	if (master_cf_load(c, a, &m, &ignored) == 0)
		for (size_t i = 0; i < m.count; i++)
			check_service(&k, conf_dir(c), a, &m.services[i]);
	arena_free(a);
	return k.wrong;
}

int conf_check_value(struct conf *c, struct str name, void (*say_it)(void *arg, const char *text), void *arg)
{
	struct check k = { .say = say_it, .arg = arg };

	check_name(&k, c, name, "");
	return k.wrong;
}
