/* SPDX-License-Identifier: ISC */
/*
 * Changing master.cf in place: whole rows (-M with -e, -X, -#), a column (-F with -e), a -o
 * parameter (-P with -e, -X). A row that changes is written anew; all others, comments and order
 * stay as they are.
 */
#include "commands/postconf/postconf.h"
#include "lib/base/die.h"

struct order {
	struct str argument;		/* as given */
	struct pattern where;
	struct str value;		/* of -e */
	int column;			/* with -F */
	bool used;
};

struct edit {
	struct edit_file file;
	const struct request *request;
	VEC(struct order) orders;
};

/* ---- what to change ---- */

static const char *form_of(const struct request *q)
{
	switch (q->mode) {
	case COLUMNS: return "-Fe or -FX requires service_name/type/field_name";
	case OVERRIDES: return "-Pe or -PX requires service_name/type/parameter";
	default: return "-Me, -MX or -M# requires service_name/type";
	}
}

static void check_place(const struct request *q, struct order *o)
{
	const bool whole = q->mode == ROWS;

	if (o->where.parts != (whole ? 2 : 3) || o->where.service.len == 0 || o->where.type.len == 0 ||
	    (!whole && (o->where.rest.len == 0 || str_find(o->where.rest, '/') >= 0)))
		die(POSTCONF_FAILURE, "%s", form_of(q));
	if (!whole && str_is(o->where.rest, STR("*")))
		die(POSTCONF_FAILURE, q->mode == COLUMNS ? "-Fe does not accept wild-card field name"
							 : "-Pe does not accept wild-card parameter name");
	if (q->mode != COLUMNS)
		return;
	o->column = column_by_name(o->where.rest);
	if (o->column < 0)
		die(POSTCONF_FAILURE, "invalid service attribute name: \"%.*s\"", PSTR(o->where.rest));
	if (o->column < MASTER_CF_COLUMNS - 1 && str_find_any(o->value, " \t\r") >= 0)
		die(POSTCONF_FAILURE, "-Fe does not accept whitespace in non-command field");
}

static void take_order(struct edit *e, struct str argument)
{
	struct order o = { .argument = argument };
	const char *bad = bad_argument(argument);
	AUTO(buf) why = BUF_WORDS;
	struct str place = argument;

	if (bad != NULL)
		die(POSTCONF_FAILURE, "%s", bad);
	if (e->request->edit == EDIT_SET && conf_split_assignment(argument, &place, &o.value, &why) < 0)
		die(POSTCONF_FAILURE, "%s", buf_text(&why));
	o.where = parse_pattern(str_trim(place));
	check_place(e->request, &o);
	*vec_add(e->file.arena, &e->orders) = o;
}

/* ---- rows ---- */

/* A row that stands in the way of what was asked: the file is left as it was. */
__attribute__((noreturn)) static void refuse(const struct edit *e, const struct order *o,
					     const struct buf *why)
{
	if (e->request->mode == ROWS && str_is(buf_str(why), STR("bad field count")))
		die(POSTCONF_FAILURE, "%s: \"%.*s\"", buf_text(why), PSTR(o->argument));
	die(POSTCONF_FAILURE, "%s", buf_text(why));
}

static size_t find_override(const struct row *r, struct str wanted, size_t from)
{
	struct str name, value;

	for (size_t at = from; next_override(r, &at, &name, &value);)
		if (str_is(name, wanted))
			return at - 1;		/* of the argument behind -o */
	return 0;
}

static void remove_arguments(struct row *r, size_t at, size_t n)
{
	for (size_t i = at; i + n < r->argv.len; i++)
		r->argv.at[i] = r->argv.at[i + n];
	r->argv.len -= n;
}

/* A new one goes behind the options, before what belongs to the program (pipe's argv=). */
static void insert_override(struct arena *a, struct row *r, struct str assignment)
{
	struct str name, value;
	size_t at = 0, end = 0;

	while (next_override(r, &at, &name, &value))
		end = at;
	at = end;
	while (at < r->argv.len && r->argv.at[at].len > 0 && r->argv.at[at].at[0] == '-')
		at++;
	*vec_add(a, &r->argv) = STR_NONE;
	*vec_add(a, &r->argv) = STR_NONE;
	for (size_t i = r->argv.len - 1; i >= at + 2; i--)
		r->argv.at[i] = r->argv.at[i - 2];
	r->argv.at[at] = STR("-o");
	r->argv.at[at + 1] = assignment;
}

static void set_override(struct arena *a, struct row *r, const struct order *o)
{
	const struct str assignment = arena_fmt(a, "%.*s=%.*s", PSTR(o->where.rest), PSTR(o->value));
	size_t at = find_override(r, o->where.rest, 0);

	if (at == 0)
		insert_override(a, r, assignment);
	for (; at != 0; at = find_override(r, o->where.rest, at + 1))
		r->argv.at[at] = assignment;
}

static void remove_override(struct row *r, const struct order *o)
{
	size_t at;

	while ((at = find_override(r, o->where.rest, 0)) != 0)
		remove_arguments(r, at - 1, 2);
}

static void change_row(struct edit *e, struct row *r, const struct order *o)
{
	struct arena *a = e->file.arena;
	AUTO(buf) why = BUF_WORDS;
	bool good = true;

	if (e->request->mode == COLUMNS)
		good = set_column(a, r, o->column, o->value, &why);
	else if (e->request->mode == ROWS)
		good = parse_row(a, o->value, r, &why);
	else if (e->request->edit == EDIT_REMOVE)
		remove_override(r, o);
	else
		set_override(a, r, o);
	if (!good)
		refuse(e, o, &why);
}

/* All orders for one row, in the order given. False: nobody wants anything of it. */
static bool change_as_ordered(struct edit *e, struct row *r)
{
	const struct row before = *r;
	bool changed = false;

	for (size_t i = 0; i < e->orders.len; i++) {
		struct order *o = &e->orders.at[i];

		if (!row_matches(&o->where, &before))
			continue;
		o->used = changed = true;
		if (e->request->edit == EDIT_SET || e->request->mode == OVERRIDES)
			change_row(e, r, o);
	}
	return changed;
}

/* Only the first two columns: a row that is wrong elsewhere can be replaced or removed. */
static bool read_row(struct edit *e, const struct piece *piece, struct row *ret)
{
	struct str rest = piece->logical;
	AUTO(buf) why = BUF_WORDS;
	struct row r = { .line = piece->line };

	str_token(&rest, " \t\r\n", &r.column[0]);
	str_token(&rest, " \t\r\n", &r.column[1]);
	*ret = r;
	if (e->request->mode == ROWS)
		return true;
	for (size_t i = 0; i < e->orders.len; i++)
		if (row_matches(&e->orders.at[i].where, &r)) {
			if (!parse_row(e->file.arena, piece->logical, ret, &why))
				die(POSTCONF_FAILURE, "file %s: line %d: %s", e->file.path, piece->line,
				    buf_text(&why));
			return true;
		}
	return false;
}

/* With a pattern for several rows -Me writes the new row once. */
static bool is_written(const struct edit *e, const struct row *r, const struct buf *text)
{
	return e->request->mode == ROWS && str_find_str(buf_str(&e->file.out), buf_str(text)) >= 0
	       && r->line > 0;
}

static void put_changed(struct edit *e, const struct piece *piece, const struct row *r, bool repeated)
{
	AUTO(buf) text = BUF(POSTCONF_MOST_LINE);

	if (e->request->mode == ROWS && e->request->edit == EDIT_COMMENT_OUT) {
		add_commented_out(&e->file.out, piece);
		return;
	}
	buf_add(&e->file.out, piece->comments);
	if (e->request->mode == ROWS && e->request->edit == EDIT_REMOVE)
		return;
	add_row(&text, r, true);
	if (!repeated || !is_written(e, r, &text))
		buf_add(&e->file.out, buf_str(&text));
}

static void rewrite(struct edit *e)
{
	const struct pieces list = split_pieces(e->file.arena, e->file.text);
	bool any = false;
	struct row row;

	for (size_t i = 0; i < list.len; i++) {
		const struct piece *piece = &list.at[i];

		if (piece->is_entry && !is_continuation(piece->logical) && read_row(e, piece, &row)
		    && change_as_ordered(e, &row)) {
			row.line = piece->line;
			put_changed(e, piece, &row, any);
			any = true;
		} else
			buf_add(&e->file.out, piece->text);
	}
}

/* -Me of a row that is not there adds it; the others say that they found nothing. */
static void finish(struct edit *e)
{
	struct buf *b = &e->file.out;

	for (size_t i = 0; i < e->orders.len; i++) {
		const struct order *o = &e->orders.at[i];
		AUTO(buf) why = BUF_WORDS;
		struct row row;

		if (o->used || (e->request->mode == ROWS && e->request->edit != EDIT_SET))
			continue;
		if (e->request->mode != ROWS) {
			warn("unmatched service_name/type: \"%.*s\"", PSTR(o->argument));
			continue;
		}
		if (!parse_row(e->file.arena, o->value, &row, &why))
			refuse(e, o, &why);
		if (b->len > 0 && b->at[b->len - 1] != '\n')
			buf_add_byte(b, '\n');
		add_row(b, &row, true);
	}
}

void edit_master_cf(const struct request *q, char **arguments, int count)
{
	struct edit e = { .request = q };

	edit_open(&e.file, q->dir, "master.cf");
	for (int i = 0; i < count; i++)
		take_order(&e, str_of(arguments[i]));
	rewrite(&e);
	finish(&e);
	edit_commit(&e.file);
}
