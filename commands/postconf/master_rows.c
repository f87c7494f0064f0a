/* SPDX-License-Identifier: ISC */
/* Rows of master.cf, their columns, and the parameters that they override. */
#include "commands/postconf/postconf.h"

static const char *const column_names[MASTER_CF_COLUMNS] = {
	"service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command",
};

/* Where each column starts, unless one before it is too long. */
static const size_t column_starts[MASTER_CF_COLUMNS] = { 0, 11, 17, 25, 33, 41, 49, 57 };

/* "service/type/rest": missing parts match everything, and so does "*". */
struct pattern {
	struct str service, type, rest;
	bool used;
};

static bool part_matches(struct str part, struct str name)
{
	return part.len == 0 || str_is(part, STR("*")) || str_is(part, name);
}

/* A service name may hold slashes; the type is one of a few words. */
static struct pattern parse_pattern(const char *text)
{
	struct pattern p = { .rest = str_of(text) };

	str_cut(&p.rest, '/', &p.service);
	str_cut(&p.rest, '/', &p.type);
	return p;
}

static bool row_matches(const struct pattern *p, const struct service_entry *s)
{
	return part_matches(p->service, s->column[0]) && part_matches(p->type, s->column[1]);
}

struct walk {
	struct postconf *p;
	bool whole_rows;		/* patterns have no third part */
	void (*show)(struct walk *w, const struct service_entry *s);
	struct pattern *pattern;	/* the one that is being answered */
};

static void walk_pattern(struct walk *w, struct pattern *pattern)
{
	const struct master_cf *m = review_services(w->p->review);

	w->pattern = pattern;
	for (size_t i = 0; i < m->count; i++)
		if (m->services[i].line > 0 && row_matches(pattern, &m->services[i]))
			w->show(w, &m->services[i]);
}

static void walk_rows(struct walk *w, char **patterns, int count)
{
	struct pattern everything = { .service = STR("*") };

	if (count == 0)
		walk_pattern(w, &everything);
	for (int i = 0; i < count; i++) {
		struct pattern p = parse_pattern(patterns[i]);

		if (p.rest.len == 0 || !w->whole_rows)
			walk_pattern(w, &p);
		if (!p.used)
			warn("unmatched request: \"%s\"", patterns[i]);
	}
}

/* An argument as it may stand in master.cf: in braces when it holds white space. */
static void add_argument(struct buf *b, struct str argument)
{
	bool braces = str_find_any(argument, " \t") >= 0 || argument.len == 0;

	buf_addf(b, braces ? "{%.*s}" : "%.*s", PSTR(argument));
}

static void add_override(struct buf *b, struct str assignment)
{
	AUTO(buf) plain = BUF(POSTCONF_MOST_LINE);
	struct str value = assignment, name;

	str_cut(&value, '=', &name);
	buf_addf(&plain, "%.*s=%.*s", PSTR(str_trim(name)), PSTR(str_trim(value)));
	add_argument(b, buf_str(&plain));
}

/* What stands before an argument: with -f each option has a line of its own, and other lines are folded. */
static void add_separator(const struct postconf *p, struct buf *b, struct str argument, bool is_option)
{
	size_t column = b->len - (size_t) (str_find_last(buf_str(b), '\n') + 1);

	buf_add_text(b, p->fold && (is_option || column + 1 + argument.len >= FOLD_AT) ? "\n    " : " ");
}

static void add_command(const struct postconf *p, struct buf *b, const struct service_entry *s)
{
	bool options = true;

	buf_add(b, s->command);
	for (size_t i = 0; i < s->argc; i++) {
		options = options && s->argv[i].len > 0 && s->argv[i].at[0] == '-';
		add_separator(p, b, s->argv[i], options);
		add_argument(b, s->argv[i]);
		if (options && str_is(s->argv[i], STR("-o")) && i + 1 < s->argc) {
			buf_add_byte(b, ' ');
			add_override(b, s->argv[++i]);
		}
	}
}

static void show_row(struct walk *w, const struct service_entry *s)
{
	AUTO(buf) line = BUF(POSTCONF_MOST_LINE);

	w->pattern->used = true;
	for (int i = 0; i < MASTER_CF_COLUMNS - 1; i++) {
		buf_add(&line, s->column[i]);
		do
			buf_add_byte(&line, ' ');
		while (line.len < column_starts[i + 1]);
	}
	add_command(w->p, &line, s);
	buf_add_byte(&line, '\n');
	fwrite(line.at, 1, line.len, stdout);
}

void list_rows(struct postconf *p, char **patterns, int count)
{
	struct walk w = { .p = p, .show = show_row, .whole_rows = true };

	walk_rows(&w, patterns, count);
}

static void show_columns(struct walk *w, const struct service_entry *s)
{
	for (int i = 0; i < MASTER_CF_COLUMNS; i++) {
		AUTO(buf) value = BUF(POSTCONF_MOST_LINE);
		struct str name = arena_fmt(w->p->arena, "%.*s/%.*s/%s", PSTR(s->column[0]), PSTR(s->column[1]), column_names[i]);

		if (!part_matches(w->pattern->rest, str_of(column_names[i])))
			continue;
		w->pattern->used = true;
		if (i == MASTER_CF_COLUMNS - 1)
			add_command(&(struct postconf){ .fold = false }, &value, s);
		else
			buf_add(&value, s->column[i]);
		print_assignment(w->p, name, buf_str(&value));
	}
}

void list_columns(struct postconf *p, char **patterns, int count)
{
	struct walk w = { .p = p, .show = show_columns };

	walk_rows(&w, patterns, count);
}

/* ---- -P ---- */

struct override {
	struct str name, value;
};

static int by_name(const void *a, const void *b)
{
	return str_compare(((const struct override *) a)->name, ((const struct override *) b)->name);
}

static size_t collect_overrides(struct arena *a, const struct service_entry *s, struct override **ret)
{
	VEC(struct override) list = { 0 };

	for (size_t i = 0; i + 1 < s->argc && s->argv[i].len > 0 && s->argv[i].at[0] == '-'; i++)
		if (str_is(s->argv[i], STR("-o"))) {
			struct str value = s->argv[++i], name;

			str_cut(&value, '=', &name);
			*vec_add(a, &list) = (struct override){ str_trim(name), str_trim(value) };
		}
	*ret = list.at;
	return list.len;
}

/* The service sees main.cf with all its overrides; expansion does so too. */
static struct conf *conf_of_service(struct postconf *p, const struct override *list, size_t n)
{
	AUTO(buf) why = BUF_WORDS;
	struct conf *c;

	if (conf_load(conf_dir(p->conf), &c, &why) < 0)
		return NULL;
	for (size_t i = 0; i < n; i++)
		conf_set(c, list[i].name, list[i].value);
	return c;
}

static struct str expanded(struct postconf *p, struct conf *c, const struct service_entry *s, const struct override *o)
{
	AUTO(buf) why = BUF_WORDS;
	struct str value = o->value;

	if (c != NULL) {
		conf_set(c, STR("service_name"), s->column[0]);
		if (conf_expand(c, p->arena, o->value, &value, &why) < 0)
			warn("%.*s/%.*s/%.*s: %s", PSTR(s->column[0]), PSTR(s->column[1]), PSTR(o->name), buf_text(&why));
	}
	return value;
}

static void show_overrides(struct walk *w, const struct service_entry *s)
{
	struct arena *a = w->p->arena;
	struct override *list = NULL;
	size_t n = collect_overrides(a, s, &list);
	struct conf *c = w->p->expand ? conf_of_service(w->p, list, n) : NULL;

	if (n > 0)
		qsort(list, n, sizeof(*list), by_name);
	for (size_t i = 0; i < n; i++) {
		if (!part_matches(w->pattern->rest, list[i].name))
			continue;
		w->pattern->used = true;
		print_assignment(w->p, arena_fmt(a, "%.*s/%.*s/%.*s", PSTR(s->column[0]), PSTR(s->column[1]), PSTR(list[i].name)),
				 expanded(w->p, c, s, &list[i]));
	}
	conf_free(c);
}

void list_overrides(struct postconf *p, char **patterns, int count)
{
	struct walk w = { .p = p, .show = show_overrides };

	walk_rows(&w, patterns, count);
}
