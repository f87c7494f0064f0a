/* SPDX-License-Identifier: ISC */
/*
 * postroad lint: what is set where nobody looks: -o in a row whose program does not read such a
 * parameter, and classes of restrictions that nothing names.
 */
#include "commands/postroad/lint.h"
#include "lib/base/map.h"
#include "lib/conf/families.h"
#include "lib/conf/programs.h"
#include "lib/table/listing.h"
#include "lib/table/type.h"

/* ---- who reads a parameter ---- */

/* The programs that read it; NULL: it is none of the registry's. */
static const char *readers_of(struct str name)
{
	const struct param *p = conf_param(name);
	const struct param_family *family = p == NULL ? param_family_of(name, NULL) : NULL;

	return p != NULL ? p->programs : family != NULL ? family->programs : NULL;
}

static bool reads(struct str program, struct str name)
{
	const char *readers = readers_of(name);

	return readers == NULL || strcmp(readers, "*") == 0 || str_lists(str_of(readers), program);
}

/* One row, and the names that count there because of others that do: $name in their values. */
struct row {
	struct lint *lint;
	const struct service_entry *entry;
	struct str program;
	struct map *counts;
};

static void note_value(struct row *r, struct str value, int depth);

static void note_name(struct row *r, struct str name, int depth)
{
	struct str raw;

	if (depth < 20 && map_put(r->counts, name, r) == NULL && conf_raw(r->lint->conf, name, &raw))
		note_value(r, raw, depth + 1);
}

static void note_value(struct row *r, struct str value, int depth)
{
	struct str name;

	while (conf_next_name(&value, &name))
		note_name(r, name, depth);
}

/* What the administrator has named himself may be used in ways that cannot be seen here. */
static void note_what_counts(struct row *r)
{
	AUTO(buf) ignored = BUF_WORDS;
	struct str name, value, assignment;

	for (const struct param_group *const *g = all_groups; *g != NULL; g++)
		for (size_t i = 0; i < (*g)->count; i++)
			if (reads(r->program, str_of((*g)->params[i].name)))
				note_name(r, str_of((*g)->params[i].name), 0);
	for (size_t i = 0; conf_next_set(r->lint->conf, &i, &name, &value);)
		if (readers_of(name) == NULL)
			note_value(r, value, 0);
	for (size_t at = 0; service_override(r->entry, &at, &assignment);)
		if (conf_split_assignment(assignment, &name, &value, &ignored) == 0
		    && reads(r->program, name))
			note_value(r, value, 0);
}

/* smtpd_x for smtp_x, and so on, when the program reads that. */
static struct str own_name_of(struct row *r, struct str name)
{
	static const char *const prefixes[] = { "smtp_", "smtpd_", "lmtp_" };
	struct str own;

	for (size_t i = 0; i < COUNT_OF(prefixes); i++)
		if (str_starts(name, str_of(prefixes[i]))) {
			own = arena_fmt(r->lint->arena, "%.*s_%.*s", PSTR(r->program),
					PSTR(str_skip(name, strlen(prefixes[i]))));
			if (conf_param(own) != NULL && reads(r->program, own))
				return own;
		}
	return STR_NONE;
}

static void say_unread(struct row *r, struct str name)
{
	const struct service_entry *s = r->entry;
	const struct str own = own_name_of(r, name);

	lint_say(r->lint, false, "%s/master.cf, line %d: service %.*s: -o %.*s is not read by %.*s, but by %s (mend: %s%.*s)",
		 conf_dir(r->lint->conf), s->line, PSTR(s->name), PSTR(name), PSTR(r->program),
		 readers_of(name), own.len > 0 ? "-o " : "set it in main.cf, or in a row of who reads it",
		 PSTR(own));
}

/* nqmgr is qmgr */
static struct str program_name(const struct service_entry *s)
{
	const struct program *p = program_find(s->command);

	return p->file != NULL && !str_is(s->command, STR("lmtp")) ? str_of(p->file) : s->command;
}

static void lint_row(struct lint *l, const struct service_entry *s)
{
	struct row r = { .lint = l, .entry = s, .program = program_name(s), .counts = map_new() };
	AUTO(buf) ignored = BUF_WORDS;
	struct str assignment, name, value;

	note_what_counts(&r);
	for (size_t at = 0; service_override(s, &at, &assignment);)
		if (conf_split_assignment(assignment, &name, &value, &ignored) == 0
		    && !reads(r.program, name) && map_get(r.counts, name) == NULL)
			say_unread(&r, name);
	map_free(r.counts, NULL);
}

/* What they did is done inside others, which do not see this row. */
static void lint_idle_row(struct lint *l, const struct service_entry *s)
{
	AUTO(buf) ignored = BUF_WORDS;
	struct str assignment, name, value;

	for (size_t at = 0; service_override(s, &at, &assignment);)
		if (conf_split_assignment(assignment, &name, &value, &ignored) == 0)
			lint_say(l, false, "%s/master.cf, line %d: service %.*s: -o %.*s has no effect: no %.*s runs here, others do its work (mend: set it in main.cf, or in a row of who reads it)",
				 conf_dir(l->conf), s->line, PSTR(s->name), PSTR(name),
				 PSTR(s->command));
}

/*
 * Words that belong to no option: "name=value" without its -o, or the rest of a value with blanks.
 * Some programs have words of their own.
 */
static void lint_words(struct lint *l, const struct service_entry *s)
{
	static const char *const takers[] = { "pipe", "spawn", "tokens" };

	for (size_t i = 0; i < COUNT_OF(takers); i++)
		if (str_is(s->command, str_of(takers[i])))
			return;
	for (size_t i = 0; i < s->argc; i++)
		if (str_is(s->argv[i], STR("-o")))
			i++;
		else if (!str_starts(s->argv[i], STR("-")))
			lint_say(l, true, "%s/master.cf, line %d: service %.*s: \"%.*s\" belongs to no option (mend: -o before it; -o { name = value } when the value has blanks)",
				 conf_dir(l->conf), s->line, PSTR(s->name),
				 PSTR(str_head(s->argv[i], 200)));
}

static void lint_overrides(struct lint *l)
{
	struct str assignment;

	for (size_t i = 0; i < l->table.count; i++) {
		const struct service_entry *s = &l->table.services[i];
		const struct program *p = program_find(s->command);
		size_t at = 0;

		if (!program_is_ours(p) || p->shape == NOT_HERE_YET)
			continue;
		lint_words(l, s);
		if (!service_override(s, &at, &assignment))
			continue;
		if (p->shape == IN_PROCESS)
			lint_idle_row(l, s);
		else
			lint_row(l, s);
	}
}

/* ---- restriction classes ---- */

/*
 * The names that stand anywhere in the configuration. What a policy service or a table answers that
 * cannot be listed may be a class too: then nobody knows.
 */
struct naming {
	struct lint *lint;
	struct map *words;
	bool is_certain;
};

static void note_words(struct naming *n, struct str text)
{
	struct str word;

	while (str_token(&text, ", \t\r\n{}=", &word)) {
		struct str rest = arena_lower(n->lint->arena, word), part;

		map_put(n->words, rest, n);
		while (str_cut(&rest, ':', &part))	/* static:CLASS */
			map_put(n->words, rest, n);
	}
}

static void note_entry(void *arg, const struct table_entry *e)
{
	note_words(arg, e->value);
}

/* Only lists of restrictions have answers that may be classes. */
static void note_answers(struct naming *n, struct str text)
{
	struct str word, name, type;

	while (str_token_braced(&text, ", \t\r\n", &word) > 0) {
		name = word;
		if (str_is_nocase(word, STR("check_policy_service")))
			n->is_certain = false;
		else if (str_cut(&name, ':', &type) && table_type_find(type) != NULL
			 && !str_is(type, STR("static")) && !table_each_entry(word, note_entry, n))
			n->is_certain = false;
	}
}

static void note_setting(struct naming *n, struct str name, struct str raw)
{
	AUTO(buf) ignored = BUF_WORDS;
	struct str value;

	if (str_is(name, STR("smtpd_restriction_classes"))
	    || conf_expand(n->lint->conf, n->lint->arena, raw, &value, &ignored) < 0)
		return;
	note_words(n, value);
	if (str_ends(name, STR("_restrictions")) || readers_of(name) == NULL)
		note_answers(n, value);
}

static void note_configuration(struct naming *n)
{
	AUTO(buf) ignored = BUF_WORDS;
	struct lint *l = n->lint;
	struct str name, raw, assignment;

	for (size_t i = 0; conf_next_set(l->conf, &i, &name, &raw);)
		note_setting(n, name, raw);
	for (size_t i = 0; i < l->table.count; i++)
		for (size_t at = 0; service_override(&l->table.services[i], &at, &assignment);)
			if (conf_split_assignment(assignment, &name, &raw, &ignored) == 0)
				note_setting(n, name, raw);
}

static void lint_unused_classes(struct lint *l)
{
	struct naming n = { .lint = l, .words = map_new(), .is_certain = true };
	struct str classes = STR_NONE, class;

	conf_get(l->conf, l->arena, STR("smtpd_restriction_classes"), &classes);
	if (classes.len > 0)
		note_configuration(&n);
	while (n.is_certain && str_token(&classes, ", \t\r\n", &class))
		if (map_get(n.words, arena_lower(l->arena, class)) == NULL)
			lint_say(l, false, "%s: no list of restrictions and no table of theirs names %.*s (mend: use it, or remove it)",
				 lint_place(l, STR("smtpd_restriction_classes")), PSTR(class));
	map_free(n.words, NULL);
}

void lint_unread(struct lint *l)
{
	lint_overrides(l);
	lint_unused_classes(l);
}
