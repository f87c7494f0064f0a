/* SPDX-License-Identifier: ISC */
/*
 * postroad lint: reads the whole configuration as the daemons do, and says what is wrong with it or
 * will be: what `check` says, what each daemon says when it rehearses, tables, relaying, routing,
 * aliases, ports. Nothing is changed.
 */
#include "commands/postroad/lint.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/map.h"
#include "lib/daemon/rehearsal.h"
#include "lib/mail/mail_address.h"
#include "lib/table/listing.h"
#include "lib/table/type.h"

enum { REHEARSAL_MS = 120000 };

/* ---- how it is said: each thing once ---- */

/* The place that the words begin with, "FILE, line N: "; *ret_rest is behind it. */
static bool cut_place(struct str text, struct str *ret_file, struct str *ret_line, struct str *ret_rest)
{
	const ssize_t at = str_find_str(text, STR(", line "));
	struct str rest, line;
	int64_t number;

	if (at <= 0 || text.at[0] != '/' || str_find(str_head(text, (size_t) at), ' ') >= 0)
		return false;
	rest = str_skip(text, (size_t) at + 7);
	if (!str_cut(&rest, ':', &line) || str_to_int(line, 1, INT32_MAX, &number) < 0)
		return false;
	*ret_file = str_head(text, (size_t) at);
	*ret_line = line;
	*ret_rest = rest;
	return true;
}

/* "FILE:N: words" leads an editor there. In memory that lasts. */
static struct str as_editors_read_it(struct arena *a, struct str text)
{
	struct str file, line, rest;

	if (!cut_place(text, &file, &line, &rest))
		return arena_copy(a, text);
	return arena_fmt(a, "%.*s:%.*s:%.*s", PSTR(file), PSTR(line), PSTR(rest));
}

/* Each daemon stumbles over a table that cannot be opened, and no way leads through it. */
static bool is_a_consequence(const struct lint *l, struct str line)
{
	for (size_t i = 0; i < l->causes.len; i++)
		if (str_ends(line, l->causes.at[i]))
			return true;
	return false;
}

void lint_say(struct lint *l, bool fatal, const char *format, ...)
{
	AUTO(buf) text = BUF(8192);
	struct str line;
	va_list arguments;

	va_start(arguments, format);
	buf_addv(&text, format, arguments);
	va_end(arguments);
	line = as_editors_read_it(l->arena, buf_str(&text));
	if (is_a_consequence(l, line) || map_put(l->seen, line, l) != NULL)
		return;
	if (fatal)
		log_error("%.*s", PSTR(line));
	else
		log_warning("%.*s", PSTR(line));
	l->wrong++;
}

static void say_wrong(void *arg, const char *text)
{
	lint_say(arg, true, "%s", text);
}

static void say_odd(void *arg, const char *text)
{
	lint_say(arg, false, "%s", text);
}

/* What a start only warns of does not make the status of lint either. */
static void say_found(void *arg, bool fatal, const char *text)
{
	struct lint *l = arg;
	const int before = l->wrong;

	lint_say(l, fatal, "%s", text);
	if (!fatal)
		l->wrong = before;
}

const char *lint_place(struct lint *l, struct str name)
{
	const char *file;
	int line;

	if (conf_where(l->conf, name, &file, &line))
		return arena_fmt(l->arena, "%s, line %d: %.*s", file, line, PSTR(name)).at;
	return arena_fmt(l->arena, "%.*s", PSTR(name)).at;
}

/* ---- the daemons ---- */

static void heard(void *arg, bool fatal, struct str line)
{
	lint_say(arg, fatal, "%.*s", PSTR(line));
}

/*
 * smtpd also looks at its restrictions, and whether a stranger could relay through it; local at
 * what the aliases name.
 */
static const char *const *more_for(const struct service_entry *s)
{
	static const char *const lint_words[] = { "lint", NULL };

	return &lint_words[!str_is(s->command, STR("smtpd")) && !str_is(s->command, STR("local"))];
}

static void lint_daemons(struct lint *l)
{
	AUTO(buf) why = BUF_WORDS;

	if (rehearse_services(l->conf, &l->work->world.common, &l->table, REHEARSAL_MS, more_for,
			      heard, l, &why) < 0)
		lint_say(l, true, "%s", buf_text(&why));
}

/* ---- tables ---- */

/* Tables decide about commands, rights and routes. */
static void lint_writers(struct lint *l, const char *place, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IWOTH) != 0)
		lint_say(l, false, "%s: %s: everybody may write to it (mend: chmod o-w %s)",
			 place, path, path);
}

static void lint_age(struct lint *l, const char *place, struct str type, struct str name)
{
	const struct table_type *kind = table_type_find(type);
	struct stat source, indexed;

	if (kind == NULL || kind->suffix == NULL || stat(str_c(l->arena, name), &source) < 0 ||
	    stat(arena_fmt(l->arena, "%.*s%s", PSTR(name), kind->suffix).at, &indexed) < 0)
		return;
	if (indexed.st_mtim.tv_sec < source.st_mtim.tv_sec)
		lint_say(l, false, "%s: %.*s:%.*s is older than its source (mend: run postmap, or for aliases newaliases)",
			 place, PSTR(type), PSTR(name));
}

/* The source is there. */
static bool is_to_be_made(struct lint *l, struct str type, struct str name)
{
	const struct table_type *kind = table_type_find(type);

	return kind != NULL && kind->suffix != NULL && access(str_c(l->arena, name), F_OK) == 0 &&
	       access(arena_fmt(l->arena, "%.*s%s", PSTR(name), kind->suffix).at, F_OK) < 0;
}

/* Servers show only when they are asked whether they are there. */
static void lint_server(struct lint *l, const char *place, struct str spec, struct table *t)
{
	struct str inner, value;

	if (table_is_proxied(spec, &inner)
	    && table_get(t, l->arena, STR("postmaster@not-here.invalid"), &value) < 0)
		lint_say(l, true, "%s: %.*s cannot be asked: %s", place, PSTR(spec), table_why(t));
	table_free(t);
}

static void lint_specs(struct lint *l, const char *place, struct str text, int depth);

static void lint_table(struct lint *l, const char *place, struct str spec, int depth)
{
	AUTO(buf) why = BUF_WORDS;
	struct str inner, type, name = spec;
	struct table *t;

	table_is_proxied(spec, &spec);
	if (table_is_composed(spec, &inner)) {
		lint_specs(l, place, inner, depth + 1);
		return;
	}
	name = spec;
	if (!str_cut(&name, ':', &type)
	    || map_put(l->seen, arena_fmt(l->arena, "table %.*s", PSTR(spec)), l) != NULL)
		return;
	if (table_open(spec, TABLE_MUST_EXIST | TABLE_NO_PROXY, &t, &why) < 0) {
		lint_say(l, true, "%s: %s%s", place, buf_text(&why),
			 is_to_be_made(l, type, name) ? " (mend: run postmap, or for aliases newaliases)" : "");
		*vec_add(l->arena, &l->causes) = arena_copy(l->arena, buf_str(&why));
	} else {
		lint_server(l, place, spec, t);
	}
	lint_age(l, place, type, name);
	lint_table_password(l, place, type, name);
	if (name.len > 0 && name.at[0] == '/')
		lint_writers(l, place, str_c(l->arena, name));
}

/* unix:passwd.byname is a table, and "check_policy_service unix:private/policy" is about none. */
static bool is_socket(struct str type, struct str name)
{
	return str_is(type, STR("unix")) && str_find(name, '/') >= 0;
}

/* Every type:name among the words of a value, whatever it is about. */
static void lint_specs(struct lint *l, const char *place, struct str text, int depth)
{
	struct str word, name, type;

	while (depth < 10 && str_token_braced(&text, ", \t\r\n", &word) > 0) {
		if (word.len > 2 && word.at[0] == '{' && word.at[word.len - 1] == '}') {
			lint_specs(l, place, str_make(word.at + 1, word.len - 2), depth + 1);
			continue;
		}
		name = word;
		if (str_cut(&name, ':', &type) && name.len > 0 && table_type_find(type) != NULL
		    && !is_socket(type, name))
			lint_table(l, place, arena_copy(l->arena, word), depth);
	}
}

/*
 * What nothing reads, as a cache that Postfix would have made, does not matter; and what proxymap
 * alone reads says which tables of other parameters it may open.
 */
static bool names_tables(struct str parameter)
{
	const struct param *p = conf_param(parameter);

	return conf_absence(parameter) == NULL && (p == NULL || strcmp(p->programs, "proxymap") != 0);
}

static void lint_tables(struct lint *l)
{
	AUTO(buf) why = BUF_WORDS;
	struct str name, raw, value, assignment;

	for (size_t i = 0; conf_next_set(l->conf, &i, &name, &raw);)
		if (names_tables(name) && conf_expand(l->conf, l->arena, raw, &value, &why) == 0)
			lint_specs(l, lint_place(l, name), value, 0);
	for (size_t i = 0; i < l->table.count; i++)
		for (size_t at = 0; service_override(&l->table.services[i], &at, &assignment);)
			if (conf_split_assignment(assignment, &name, &raw, &why) == 0
			    && names_tables(name) && conf_expand(l->conf, l->arena, raw, &value, &why) == 0)
				lint_specs(l, arena_fmt(l->arena, "%s/master.cf, line %d: -o %.*s",
							conf_dir(l->conf), l->table.services[i].line,
							PSTR(name)).at, value, 0);
}

/*
 * In main.cf there are no comments behind a value, though many a file has them: they become part of
 * it, or cut off the rest of a list.
 */
static void lint_comments(struct lint *l)
{
	struct str name, raw;

	for (size_t i = 0; conf_next_set(l->conf, &i, &name, &raw);)
		if (str_starts(raw, STR("#")) || str_find_str(raw, STR(" #")) >= 0
		    || str_find_str(raw, STR("\t#")) >= 0)
			lint_say(l, false, "%s: a comment behind a value is none (mend: give it a line of its own)",
				 lint_place(l, name));
}

/*
 * White space before a parameter's name makes its line a part of the value above; examples are
 * easily copied from a document together with theirs.
 */
static void lint_indented(struct lint *l)
{
	struct str name, raw, word, last = STR_NONE;

	for (size_t i = 0; conf_next_set(l->conf, &i, &name, &raw); last = STR_NONE)
		for (; str_token_braced(&raw, " \t\r\n", &word) > 0; last = word)
			if (str_is(word, STR("=")) && conf_param(last) != NULL)
				lint_say(l, false, "%s: \"%.*s =\" is a part of its value (mend: no white space before that line)",
					 lint_place(l, name), PSTR(last));
}

/* ---- keys ---- */

static void lint_secrets(struct lint *l)
{
	static const char *const files[] = { "smtpd_tls_key_file", "smtpd_tls_eckey_file",
					     "smtpd_tls_chain_files", "smtp_tls_key_file",
					     "smtp_tls_eckey_file", "smtp_tls_chain_files" };
	struct str value, path;
	struct stat st;

	for (size_t i = 0; i < COUNT_OF(files); i++) {
		if (!conf_get(l->conf, l->arena, str_of(files[i]), &value))
			continue;
		while (str_token(&value, ", \t\r\n", &path))
			if (path.at[0] == '/' && stat(str_c(l->arena, path), &st) == 0
			    && (st.st_mode & (S_IROTH | S_IWOTH)) != 0)
				lint_say(l, false, "%s: %.*s: everybody may read the key (mend: chmod o-rwx %.*s)",
					 lint_place(l, str_of(files[i])),
					 PSTR(path), PSTR(path));
	}
}

/* ---- aliases: RFC 5321 4.5.1, and root's mail, which is never delivered with root's rights ---- */

/*
 * Names of aliases that lead to each other and to nothing else: the mail would be nobody's. An
 * alias to itself is the user of that name, and what is no alias is somebody or something else.
 */
static bool leads_somewhere(struct lint *l, struct tables *ts, struct str name, struct map *passed)
{
	struct str value, one;

	if (map_put(passed, arena_lower(l->arena, name), l) != NULL)
		return false;
	if (tables_get(ts, l->arena, name, &value) <= 0)
		return true;
	while (str_token(&value, ", \t\r\n", &one))
		if (str_find_any(one, "@:/|\"\\") >= 0 || str_is_nocase(one, name)
		    || leads_somewhere(l, ts, one, passed))
			return true;
	return false;
}

static void lint_needed_alias(struct lint *l, struct tables *ts, const char *name)
{
	struct map *passed = map_new();
	struct str value;

	if (tables_get(ts, l->arena, str_of(name), &value) == 0)
		lint_say(l, false, "%s: there is no alias for %s (mend: give it one)",
			 lint_place(l, STR("alias_maps")), name);
	else if (!leads_somewhere(l, ts, str_of(name), passed))
		lint_say(l, true, "%s: the alias for %s leads to other aliases in a circle, and to nobody (mend: name somebody)",
			 lint_place(l, STR("alias_maps")), name);
	map_free(passed, NULL);
}

/* What newaliases makes, and nobody reads. */
static void lint_alias_database(struct lint *l, struct str maps)
{
	struct str databases, one, map;
	const char *file;
	int line;

	if (!conf_where(l->conf, STR("alias_database"), &file, &line)
	    || !conf_get(l->conf, l->arena, STR("alias_database"), &databases))
		return;
	while (str_token_braced(&databases, ", \t\r\n", &one) > 0) {
		struct str rest = maps;
		bool is_read = false;

		while (!is_read && str_token_braced(&rest, ", \t\r\n", &map) > 0) {
			table_is_proxied(map, &map);
			is_read = str_is(map, one);
		}
		if (!is_read)
			lint_say(l, false, "%s: newaliases makes %.*s, which alias_maps does not name (mend: name it in both, or in neither)",
				 lint_place(l, STR("alias_database")), PSTR(one));
	}
}

static void lint_aliases(struct lint *l)
{
	static const char *const needed[] = { "postmaster", "root", "mailer-daemon" };
	AUTO(buf) why = BUF_WORDS;
	struct str maps = STR_NONE;
	struct tables *ts;

	conf_get(l->conf, l->arena, STR("alias_maps"), &maps);
	lint_alias_database(l, maps);
	if (maps.len == 0 || tables_open(maps, TABLE_FOLD_KEY, &ts, &why) < 0)
		return;		/* no local delivery, or said already */
	for (size_t i = 0; i < COUNT_OF(needed); i++)
		lint_needed_alias(l, ts, needed[i]);
	tables_free(ts);
}

/* Keys that were put into a table (postmap -F). */
static void lint_keys_in_tables(struct lint *l)
{
	const char *place = lint_place(l, STR("tls_server_sni_maps"));
	const struct table_type *kind;
	struct str value, spec, type;
	struct stat st;

	if (!conf_get(l->conf, l->arena, STR("tls_server_sni_maps"), &value))
		return;
	while (str_token_braced(&value, ", \t\r\n", &spec) > 0) {
		const char *path;

		if (!str_cut(&spec, ':', &type) || (kind = table_type_find(type)) == NULL
		    || kind->suffix == NULL)
			continue;
		path = arena_fmt(l->arena, "%.*s%s", PSTR(spec), kind->suffix).at;
		if (stat(path, &st) == 0 && (st.st_mode & S_IROTH) != 0)
			lint_say(l, false, "%s: %s: everybody may read the keys in it (mend: chmod o-rwx %s)",
				 place, path, path);
	}
}

/* ---- ids ---- */

struct ids {
	struct lint *lint;
	const char *place;
	int64_t least;
};

static void try_id(void *arg, const struct table_entry *e)
{
	const struct ids *ids = arg;
	int64_t id;

	if (str_to_int(str_trim(e->value), ids->least, INT32_MAX, &id) < 0)
		lint_say(ids->lint, true, "%s: \"%.*s\" is no id, a number from %lld: mail is deferred (mend: id -u and id -g tell it)",
			 ids->place, PSTR(str_head(e->value, 100)), (long long) ids->least);
}

/* Names of accounts, where virtual wants numbers. */
static void lint_ids(struct lint *l, struct str parameter, int64_t least)
{
	struct ids ids = { l, lint_place(l, parameter), least };
	struct str specs, spec, type;

	if (!conf_get(l->conf, l->arena, parameter, &specs))
		return;
	while (str_token_braced(&specs, ", \t\r\n", &spec) > 0) {
		table_each_entry(spec, try_id, &ids);
		if (str_cut(&spec, ':', &type) && str_is(type, STR("static")))
			try_id(&ids, &(struct table_entry){ .value = spec });
	}
}

static void lint_virtual_ids(struct lint *l)
{
	struct str text = STR_NONE;
	int64_t least = 1;

	if (conf_get(l->conf, l->arena, STR("virtual_minimum_uid"), &text))
		str_to_int(text, 1, INT32_MAX, &least);
	lint_ids(l, STR("virtual_uid_maps"), least);
	lint_ids(l, STR("virtual_gid_maps"), 1);
}

/* ---- all of it ---- */

int do_lint(struct work *w)
{
	struct lint l = { .work = w, .conf = w->world.conf, .arena = arena_new("lint", NULL, 256 << 20),
			  .seen = map_new() };
	AUTO(buf) why = BUF_WORDS;
	struct instance_state running;
	int status;

	accounts_for_tables();
	l.is_running = find_running(w, &running, true);
	if (!l.is_running)
		table_set_services(NULL);
	conf_check_values(l.conf, say_wrong, &l);
	conf_review(l.conf, say_odd, &l);
	lint_comments(&l);
	lint_indented(&l);
	find_obstacles(w, true, say_found, &l);
	if (master_cf_load(l.conf, l.arena, &l.table, &why) >= 0) {
		lint_tables(&l);
		lint_secrets(&l);
		lint_keys_in_tables(&l);
		lint_passwords(&l);
		lint_virtual_ids(&l);
		lint_daemons(&l);
		lint_rows(&l);
		lint_unread(&l);
	}
	if (route_open(l.conf, &w->world.common, &l.route, &why) >= 0) {
		lint_keys(&l);
		lint_routes(&l);
		route_free(l.route);
	}
	lint_aliases(&l);
	if (l.wrong == 0)
		log_info("no errors found");
	status = l.wrong > 0;
	map_free(l.seen, NULL);
	arena_free(l.arena);
	return status;
}
