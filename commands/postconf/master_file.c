/* SPDX-License-Identifier: ISC */
/*
 * Rows of master.cf as postconf shows and changes them: read with few demands, because one looks
 * with postconf for what is wrong. Whoever runs services reads master.cf with lib/conf/master_cf.h.
 */
#include "commands/postconf/postconf.h"

const char *const column_names[MASTER_CF_COLUMNS] = {
	"service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command",
};

enum { TYPE = 1, PRIVATE, UNPRIVILEGED, CHROOT, WAKEUP, PROCESS_LIMIT, COMMAND };

int column_by_name(struct str name)
{
	for (int i = 0; i < MASTER_CF_COLUMNS; i++)
		if (str_is(name, str_of(column_names[i])))
			return i;
	return -1;
}

static bool is_one_of(struct str text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (str_is(text, str_of(*words)))
			return true;
	return false;
}

static bool is_number(struct str text)
{
	int64_t n;

	return str_is(text, STR("-")) || str_to_int(text, 0, INT32_MAX, &n) == 0;
}

static bool is_possible(int column, struct str value)
{
	static const char *const answers[] = { "-", "y", "n", NULL };

	enum service_type type;

	if (value.len == 0)
		return false;
	switch (column) {
	case TYPE: return service_type_parse(value, &type) == 0;
	case PRIVATE:
	case UNPRIVILEGED:
	case CHROOT: return is_one_of(value, answers);
	case WAKEUP: return is_number(str_ends(value, STR("?")) ? str_head(value, value.len - 1) : value);
	case PROCESS_LIMIT: return is_number(value);
	default: return true;
	}
}

static bool check_column(int column, struct str value, struct str where, struct buf *why)
{
	if (is_possible(column, value))
		return true;
	buf_addf(why, "invalid %s field \"%.*s\" in \"%.*s\"", column_names[column], PSTR(value), PSTR(where));
	return false;
}

/* ---- arguments ---- */

static bool is_flag_letter(char c)
{
	return c == 'v' || c == 'D' || c == 'd' || c == 'l' || c == 'u' || c == 'S' || c == 'z' || c == 'V';
}

/* "-vox=y" is "-v", "-o", "x=y": then everybody who looks for -o finds it. Other options stay as they are. */
static bool take_apart(struct arena *a, struct row *r, struct str option)
{
	size_t n = 1;

	while (n < option.len && is_flag_letter(option.at[n]))
		n++;
	if (option.len < 3 || n == option.len || option.at[n] != 'o')
		return false;
	if (n > 1)
		*vec_add(a, &r->argv) = str_head(option, n);
	*vec_add(a, &r->argv) = STR("-o");
	if (n + 1 < option.len)
		*vec_add(a, &r->argv) = str_skip(option, n + 1);
	return true;
}

static bool take_arguments(struct arena *a, struct row *r, struct str rest, struct buf *why)
{
	bool options = true;
	struct str one;
	int found;

	r->argv.len = 0;
	while ((found = str_token_braced(&rest, " \t\r\n", &one)) > 0) {
		const bool follows_o = r->argv.len > 0 && str_is(r->argv.at[r->argv.len - 1], STR("-o"));

		if (one.len >= 2 && one.at[0] == '{' && one.at[one.len - 1] == '}')
			one = str_trim(str_make(one.at + 1, one.len - 2));
		one = arena_copy(a, one);
		options = options && (follows_o || (one.len > 0 && one.at[0] == '-'));
		if (!options || follows_o || !take_apart(a, r, one))
			*vec_add(a, &r->argv) = one;
	}
	if (found < 0)
		buf_addf(why, "missing '}' in \"%.*s\"", PSTR(rest));
	return found == 0;
}

static bool take_command(struct arena *a, struct row *r, struct str text, struct buf *why)
{
	struct str command;

	if (!str_token(&text, " \t\r\n", &command))
		return check_column(COMMAND, STR_NONE, text, why);
	r->column[COMMAND] = arena_copy(a, command);
	return take_arguments(a, r, text, why);
}

bool parse_row(struct arena *a, struct str line, struct row *ret, struct buf *why)
{
	struct row r = { .line = 0 };
	struct str rest = line, word;

	for (int i = 0; i < COMMAND; i++) {
		if (!str_token(&rest, " \t\r\n", &word)) {
			buf_addf(why, "bad field count");
			return false;
		}
		r.column[i] = arena_copy(a, word);
	}
	if (str_trim(rest).len == 0) {
		buf_addf(why, "bad field count");
		return false;
	}
	for (int i = 0; i < COMMAND; i++)
		if (!check_column(i, r.column[i], line, why))
			return false;
	if (!take_command(a, &r, rest, why))
		return false;
	*ret = r;
	return true;
}

bool set_column(struct arena *a, struct row *r, int column, struct str value, struct buf *why)
{
	if (column == COMMAND)
		return take_command(a, r, value, why);
	if (!check_column(column, value, value, why))
		return false;
	r->column[column] = arena_copy(a, value);
	return true;
}

bool next_override(const struct row *r, size_t *at, struct str *ret_name, struct str *ret_value)
{
	for (; *at + 1 < r->argv.len && r->argv.at[*at].len > 0 && r->argv.at[*at].at[0] == '-'; ++*at)
		if (str_is(r->argv.at[*at], STR("-o"))) {
			*ret_value = r->argv.at[++*at];
			++*at;
			if (str_cut(ret_value, '=', ret_name)) {
				*ret_name = str_trim(*ret_name);
				*ret_value = str_trim(*ret_value);
				return true;
			}
			--*at;
		}
	return false;
}

/* ---- the file ---- */

bool read_rows(struct arena *a, const char *dir, struct rows *ret, struct buf *why)
{
	const char *path = arena_fmt(a, "%s/master.cf", dir).at;
	struct pieces list;
	struct str text;

	if (conf_read_file(a, path, &text, why) < 0)
		return false;
	list = split_pieces(a, text);
	for (size_t i = 0; i < list.len; i++) {
		AUTO(buf) words = BUF_WORDS;
		struct row row;

		if (!list.at[i].is_entry || is_continuation(list.at[i].logical))
			continue;
		if (!parse_row(a, list.at[i].logical, &row, &words)) {
			buf_addf(why, "file %s: line %d: %s", path, list.at[i].line, buf_text(&words));
			return false;
		}
		row.line = list.at[i].line;
		*vec_add(a, ret) = row;
	}
	return true;
}

/* ---- patterns ---- */

bool part_matches(struct str part, struct str name)
{
	return part.len == 0 || str_is(part, STR("*")) || str_is(part, name);
}

bool row_matches(const struct pattern *p, const struct row *r)
{
	return part_matches(p->service, r->column[0]) && part_matches(p->type, r->column[1]);
}

struct pattern parse_pattern(struct str text)
{
	struct pattern p = { .parts = 1, .rest = text };

	p.parts += str_cut(&p.rest, '/', &p.service);
	p.parts += str_cut(&p.rest, '/', &p.type);
	return p;
}

/* ---- a row as text ---- */

/* Where each column starts, unless one before it is too long. */
static const size_t column_starts[MASTER_CF_COLUMNS] = { 0, 11, 17, 25, 33, 41, 49, 57 };

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

	if (!str_cut(&value, '=', &name)) {
		add_argument(b, assignment);
		return;
	}
	buf_addf(&plain, "%.*s=%.*s", PSTR(str_trim(name)), PSTR(str_trim(value)));
	add_argument(b, buf_str(&plain));
}

/*
 * What stands before an argument. With -f: a new line before each -o, and for what follows one
 * unless it is another kind of argument on a line that has not been broken yet; and where a line
 * would become too long.
 */
static void add_separator(struct buf *b, struct str argument, bool fold, bool new_line)
{
	size_t column = b->len - (size_t) (str_find_last(buf_str(b), '\n') + 1);

	buf_add_text(b, fold && (new_line || column + 1 + argument.len >= FOLD_AT) ? "\n    " : " ");
}

void add_command(struct buf *b, const struct row *r, bool fold)
{
	bool options = true, after_override = false;

	buf_add(b, r->column[COMMAND]);
	for (size_t i = 0; i < r->argv.len; i++) {
		const struct str argument = r->argv.at[i];
		bool override = false;

		options = options && argument.len > 0 && argument.at[0] == '-';
		override = options && str_is(argument, STR("-o")) && i + 1 < r->argv.len;
		add_separator(b, argument, fold, override || after_override);
		add_argument(b, argument);
		after_override = override;
		if (override) {
			buf_add_byte(b, ' ');
			add_override(b, r->argv.at[++i]);
		}
	}
}

void add_row(struct buf *b, const struct row *r, bool fold)
{
	const size_t start = b->len;

	for (int i = 0; i < COMMAND; i++) {
		buf_add(b, r->column[i]);
		do
			buf_add_byte(b, ' ');
		while (b->len - start < column_starts[i + 1]);
	}
	add_command(b, r, fold);
	buf_add_byte(b, '\n');
}
