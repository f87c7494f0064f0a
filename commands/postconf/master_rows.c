/* SPDX-License-Identifier: ISC */
/* What master.cf says: whole rows, their columns, and the parameters that they override. */
#include "commands/postconf/postconf.h"
#include "lib/base/die.h"

struct walk {
	struct postconf *p;
	int most_parts;			/* of a pattern */
	bool of_columns;		/* and its third part names a column */
	const char *form;		/* what a pattern should look like */
	void (*show)(struct walk *w, const struct row *r);
	const struct pattern *pattern;	/* the one that is being answered */
	bool used;
	struct rows rows;
};

/* ---- -x: a service sees main.cf with all its overrides ---- */

static struct conf *conf_of_service(struct postconf *p, const struct row *r)
{
	AUTO(buf) why = BUF_WORDS;
	struct str name, value;
	struct conf *c;

	if (conf_load(conf_dir(p->conf), &c, &why) < 0)
		return NULL;
	for (size_t at = 0; next_override(r, &at, &name, &value);)
		conf_set(c, name, value);
	conf_set(c, STR("service_name"), r->column[0]);
	return c;
}

static struct str expanded(struct postconf *p, struct conf *c, const struct row *r, struct str name,
			   struct str value)
{
	AUTO(buf) why = BUF_WORDS;

	if (c != NULL && conf_expand(c, p->arena, value, &value, &why) < 0) {
		warn("%.*s/%.*s/%.*s: %s", PSTR(r->column[0]), PSTR(r->column[1]), PSTR(name), buf_text(&why));
		p->failed = true;
	}
	return value;
}

/* The row as it is, or with the values of its -o expanded. */
static struct row as_wanted(struct postconf *p, const struct row *r)
{
	struct row copy = *r;
	struct str name, value;
	struct conf *c;

	if (!p->expand)
		return copy;
	c = conf_of_service(p, r);
	copy.argv.at = NULL;
	copy.argv.len = copy.argv.cap = 0;
	for (size_t i = 0; i < r->argv.len; i++)
		*vec_add(p->arena, &copy.argv) = r->argv.at[i];
	for (size_t at = 0; next_override(r, &at, &name, &value);)
		copy.argv.at[at - 1] = arena_fmt(p->arena, "%.*s=%.*s", PSTR(name),
						 PSTR(expanded(p, c, r, name, value)));
	conf_free(c);
	return copy;
}

/* ---- the walk ---- */

static void walk_pattern(struct walk *w, const struct pattern *pattern)
{
	w->pattern = pattern;
	w->used = false;
	for (size_t i = 0; i < w->rows.len; i++)
		if (row_matches(pattern, &w->rows.at[i]))
			w->show(w, &w->rows.at[i]);
}

static struct pattern checked_pattern(struct walk *w, const char *text)
{
	struct pattern p = parse_pattern(str_of(text));

	if (p.parts > w->most_parts || str_find(p.rest, '/') >= 0)
		die(POSTCONF_FAILURE, "%s", w->form);
	if (w->of_columns && p.rest.len > 0 && !str_is(p.rest, STR("*")) && column_by_name(p.rest) < 0)
		die(POSTCONF_FAILURE, "invalid service attribute name: \"%.*s\"", PSTR(p.rest));
	return p;
}

static void walk_rows(struct walk *w, char **patterns, int count)
{
	static const struct pattern everything = { .service = STR_INIT("*") };
	AUTO(buf) why = BUF_WORDS;

	if (!read_rows(w->p->arena, conf_dir(w->p->conf), &w->rows, &why))
		die(POSTCONF_FAILURE, "%s", buf_text(&why));
	if (count == 0)
		walk_pattern(w, &everything);
	for (int i = 0; i < count; i++) {
		const struct pattern p = checked_pattern(w, patterns[i]);

		walk_pattern(w, &p);
		if (!w->used)
			warn("unmatched request: \"%s\"", patterns[i]);
	}
}

/* ---- -M ---- */

static void print_json_row(struct postconf *p, const struct row *r)
{
	print_separator(p);
	putchar('{');
	for (int i = 0; i < MASTER_CF_COLUMNS; i++) {
		printf("\"%s\": ", column_names[i]);
		print_json_text(r->column[i]);
		fputs(", ", stdout);
	}
	fputs("\"arguments\": [", stdout);
	for (size_t i = 0; i < r->argv.len; i++) {
		fputs(i == 0 ? "" : ", ", stdout);
		print_json_text(r->argv.at[i]);
	}
	printf("], \"line\": %d}", r->line);
}

static void show_row(struct walk *w, const struct row *r)
{
	const struct row wanted = as_wanted(w->p, r);
	AUTO(buf) line = BUF(POSTCONF_MOST_LINE);

	w->used = true;
	if (w->p->json) {
		print_json_row(w->p, &wanted);
		return;
	}
	add_row(&line, &wanted, w->p->fold);
	fwrite(line.at, 1, line.len, stdout);
}

void list_rows(struct postconf *p, char **patterns, int count)
{
	struct walk w = { .p = p, .show = show_row, .most_parts = 2,
			  .form = "-M option requires service_name[/type]" };

	answer_begin(p, '[');
	walk_rows(&w, patterns, count);
	answer_end(p, ']');
}

/* ---- -F ---- */

static void print_folded_command(struct postconf *p, struct str name, const struct row *r)
{
	AUTO(buf) text = BUF(POSTCONF_MOST_LINE);

	if (!p->no_names)
		buf_addf(&text, "%.*s = ", PSTR(name));
	add_command(&text, r, true);
	printf("%s\n", buf_text(&text));
}

static void show_columns(struct walk *w, const struct row *r)
{
	const struct row wanted = as_wanted(w->p, r);

	for (int i = 0; i < MASTER_CF_COLUMNS; i++) {
		AUTO(buf) value = BUF(POSTCONF_MOST_LINE);
		struct str name = arena_fmt(w->p->arena, "%.*s/%.*s/%s", PSTR(r->column[0]),
					    PSTR(r->column[1]), column_names[i]);

		if (!part_matches(w->pattern->rest, str_of(column_names[i])))
			continue;
		w->used = true;
		if (i < MASTER_CF_COLUMNS - 1) {
			print_assignment(w->p, name, r->column[i]);
			continue;
		}
		add_command(&value, &wanted, false);
		if (w->p->fold && !w->p->no_values)
			print_folded_command(w->p, name, &wanted);
		else
			print_assignment(w->p, name, buf_str(&value));
	}
}

void list_columns(struct postconf *p, char **patterns, int count)
{
	struct walk w = { .p = p, .show = show_columns, .most_parts = 3, .of_columns = true,
			  .form = "-F option requires service_name[/type[/field]]" };

	answer_begin(p, '{');
	walk_rows(&w, patterns, count);
	answer_end(p, '}');
}

/* ---- -P ---- */

struct override {
	struct str name, value;
};

static int by_name(const void *a, const void *b)
{
	return str_compare(((const struct override *) a)->name, ((const struct override *) b)->name);
}

/* In order of name; of two for one name the later counts. */
static size_t collect_overrides(struct arena *a, const struct row *r, struct override **ret)
{
	VEC(struct override) list = { 0 };
	struct override o;

	for (size_t at = 0; next_override(r, &at, &o.name, &o.value);) {
		size_t i = 0;

		while (i < list.len && !str_is(list.at[i].name, o.name))
			i++;
		if (i < list.len)
			list.at[i] = o;
		else
			*vec_add(a, &list) = o;
	}
	if (list.len > 0)
		qsort(list.at, list.len, sizeof(*list.at), by_name);
	*ret = list.at;
	return list.len;
}

static void show_overrides(struct walk *w, const struct row *r)
{
	struct arena *a = w->p->arena;
	struct override *list = NULL;
	size_t n = collect_overrides(a, r, &list);
	struct conf *c = w->p->expand ? conf_of_service(w->p, r) : NULL;

	for (size_t i = 0; i < n; i++) {
		if (!part_matches(w->pattern->rest, list[i].name))
			continue;
		w->used = true;
		print_assignment(w->p, arena_fmt(a, "%.*s/%.*s/%.*s", PSTR(r->column[0]), PSTR(r->column[1]),
						 PSTR(list[i].name)),
				 expanded(w->p, c, r, list[i].name, list[i].value));
	}
	conf_free(c);
}

void list_overrides(struct postconf *p, char **patterns, int count)
{
	struct walk w = { .p = p, .show = show_overrides, .most_parts = 3,
			  .form = "-P option requires service_name[/type[/parameter]]" };

	answer_begin(p, '{');
	walk_rows(&w, patterns, count);
	answer_end(p, '}');
}
