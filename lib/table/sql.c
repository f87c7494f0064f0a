/* SPDX-License-Identifier: ISC */
#include "lib/table/sql.h"

#include <errno.h>

#include "lib/base/die.h"

enum { MOST_STATEMENT = 1 << 20 };

struct scan {
	struct arena *arena;
	enum sql_dialect dialect;
	struct str rest;		/* of the query */
	struct buf out;
	struct sql *sql;
	struct buf *why;
};

static void take(struct scan *s, size_t n)
{
	buf_add(&s->out, str_head(s->rest, n));
	s->rest = str_skip(s->rest, n);
}

static int add_value(struct scan *s, struct str text)
{
	struct template t;
	int r = template_compile(s->arena, text, &t, s->why);

	if (r < 0)
		return r;
	*vec_add(s->arena, &s->sql->values) = t;
	if (s->dialect == SQL_PGSQL)
		buf_addf(&s->out, "$%zu", s->sql->values.len);
	else
		buf_add_byte(&s->out, '?');
	return 0;
}

static int refuse(struct scan *s, const char *what)
{
	buf_addf(s->why, "a %%-expansion inside %s: only whole values can be looked up, in single quotes",
		 what);
	return -EINVAL;
}

/* Are there expansions in it, other than %%? */
static bool has_expansion(struct str text)
{
	struct str head;

	while (str_cut(&text, '%', &head)) {
		if (text.len == 0 || text.at[0] != '%')
			return true;
		text = str_skip(text, 1);
	}
	return false;
}

/* Text of the statement in which only %% means something. */
static void add_plain(struct scan *s, struct str text)
{
	struct str head;

	while (str_cut(&text, '%', &head)) {
		buf_add(&s->out, head);
		buf_add_byte(&s->out, '%');
		text = str_skip(text, 1);
	}
	buf_add(&s->out, head);
}

/*
 * Length of what stands in quotes at the front, with its quotes: doubled ones, and those behind a
 * backslash, do not end it. 0: no end.
 */
static size_t quoted_length(struct str text, bool backslash)
{
	const char quote = text.at[0];

	for (size_t i = 1; i < text.len; i++) {
		if (text.at[i] == '\\' && backslash)
			i++;
		else if (text.at[i] == quote && i + 1 < text.len && text.at[i + 1] == quote)
			i++;
		else if (text.at[i] == quote)
			return i + 1;
	}
	return 0;
}

/* What a backslash and this character mean in a string; -1: not known here. */
static int escaped(char c, enum sql_dialect dialect)
{
	switch (c) {
	case 'n': return '\n';
	case 'r': return '\r';
	case 't': return '\t';
	case 'b': return '\b';
	case '\\': case '\'': case '"': return c;
	case 'Z': return dialect == SQL_MYSQL ? 26 : -1;
	case 'f': return dialect == SQL_PGSQL ? '\f' : 'f';
	case '0': return -1;
	default: return dialect == SQL_MYSQL ? c : -1;
	}
}

/* The string that a literal (without its outer quotes) means. */
static int unquote(const struct scan *s, struct str text, char quote, bool backslash, struct buf *ret)
{
	for (size_t i = 0; i < text.len; i++) {
		int c = (unsigned char) text.at[i];

		if (c == quote) {
			i++;			/* doubled */
		} else if (c == '\\' && backslash && i + 1 < text.len) {
			if (text.at[i + 1] == '%' || text.at[i + 1] == '_') {	/* means both, in patterns */
				buf_add_byte(ret, '\\');
				continue;
			}
			c = escaped(text.at[++i], s->dialect);
			if (c < 0) {
				buf_addf(s->why, "\"\\%c\" in a string with %%-expansions", text.at[i]);
				return -EINVAL;
			}
		}
		buf_add_byte(ret, (char) c);
	}
	return 0;
}

/*
 * Takes a prefix as in E'text' back from the statement. *ret_backslash: they mean something in this
 * string.
 */
static int take_prefix(struct scan *s, bool *ret_backslash)
{
	struct str out = buf_str(&s->out);
	char last = out.len > 0 ? out.at[out.len - 1] : ' ';
	bool alone = out.len < 2 || (!is_alnum(out.at[out.len - 2]) && out.at[out.len - 2] != '_'
				     && out.at[out.len - 2] != '$');

	*ret_backslash = s->dialect == SQL_MYSQL;
	if (s->dialect != SQL_PGSQL || (!is_alnum(last) && last != '&' && last != '_'))
		return 0;
	if (to_lower(last) == 'e' && alone) {
		*ret_backslash = true;
		return 1;
	}
	return is_alnum(last) || last == '&' ? -EINVAL : 0;
}

static int take_string(struct scan *s)
{
	bool backslash;
	int prefix = take_prefix(s, &backslash);
	size_t len = quoted_length(s->rest, backslash);
	AUTO(buf) text = BUF(MOST_STATEMENT);
	struct str inner;
	int r;

	if (len == 0) {
		buf_add_text(s->why, "a quote without its end");
		return -EINVAL;
	}
	inner = str_make(s->rest.at + 1, len - 2);
	if (!has_expansion(inner)) {
		add_plain(s, str_head(s->rest, len));
		s->rest = str_skip(s->rest, len);
		return 0;
	}
	if (prefix < 0)
		return refuse(s, "a string with a prefix");
	if (prefix > 0) {
		s->out.len--;		/* the E */
		s->out.at[s->out.len] = 0;
	}
	r = unquote(s, inner, s->rest.at[0], backslash, &text);
	s->rest = str_skip(s->rest, len);
	return r < 0 ? r : add_value(s, buf_str(&text));
}

/* "name" or `name`: in MySQL "text" is a string, and SQLite takes it for one when there is no such column. */
static int take_name(struct scan *s)
{
	size_t len;

	if (s->rest.at[0] == '"' && s->dialect != SQL_PGSQL
	    && has_expansion(str_head(s->rest, quoted_length(s->rest, s->dialect == SQL_MYSQL))))
		return take_string(s);
	len = quoted_length(s->rest, s->dialect == SQL_MYSQL && s->rest.at[0] == '"');
	if (len == 0) {
		buf_add_text(s->why, "a quote without its end");
		return -EINVAL;
	}
	if (has_expansion(str_head(s->rest, len)))
		return refuse(s, "a quoted name");
	add_plain(s, str_head(s->rest, len));
	s->rest = str_skip(s->rest, len);
	return 0;
}

/* A comment is left out: nothing in it is worth sending. */
static bool skip_comment(struct scan *s)
{
	const bool to_line_end = str_starts(s->rest, STR("--"))
				 || (s->dialect == SQL_MYSQL && s->rest.at[0] == '#');
	ssize_t end;

	if (to_line_end)
		end = str_find(s->rest, '\n');
	else if (str_starts(s->rest, STR("/*")))
		end = str_find_str(s->rest, STR("*/"));
	else
		return false;
	s->rest = end < 0 ? STR_NONE : str_skip(s->rest, (size_t) end + (to_line_end ? 1 : 2));
	buf_add_byte(&s->out, ' ');
	return true;
}

/* $tag$text$tag$ of PostgreSQL. 1 taken, 0 none here. */
static int take_dollar_quoted(struct scan *s)
{
	size_t tag = 1;
	struct str mark;
	ssize_t end;

	while (tag < s->rest.len && (is_alpha(s->rest.at[tag]) || s->rest.at[tag] == '_'
				     || (tag > 1 && is_digit(s->rest.at[tag]))))
		tag++;
	if (s->dialect != SQL_PGSQL || tag >= s->rest.len || s->rest.at[tag] != '$')
		return 0;
	mark = str_head(s->rest, tag + 1);
	end = str_find_str(str_skip(s->rest, mark.len), mark);
	if (end < 0) {
		buf_add_text(s->why, "a quote without its end");
		return -EINVAL;
	}
	if (has_expansion(str_head(s->rest, mark.len + (size_t) end)))
		return refuse(s, "dollar quotes");
	add_plain(s, str_head(s->rest, 2 * mark.len + (size_t) end));
	s->rest = str_skip(s->rest, 2 * mark.len + (size_t) end);
	return 1;
}

/* %s and such outside of quotes is a value too. */
static int take_percent(struct scan *s)
{
	struct str code = str_head(s->rest, 2);

	s->rest = str_skip(s->rest, 2);
	if (!str_is(code, STR("%%")))
		return add_value(s, code);
	buf_add_byte(&s->out, '%');
	return 0;
}

static int take_piece(struct scan *s)
{
	int r = 0;

	switch (s->rest.at[0]) {
	case '\'':
		return take_string(s);
	case '"':
	case '`':
		return take_name(s);
	case '%':
		return take_percent(s);
	case '$':
		r = take_dollar_quoted(s);
		break;
	case '-':
	case '/':
	case '#':
		r = skip_comment(s);
		break;
	default:
		break;
	}
	if (r == 0)
		take(s, 1);
	return MIN(r, 0);
}

int sql_compile(struct arena *a, struct str query, enum sql_dialect dialect, struct sql *ret_sql,
		struct buf *why)
{
	struct sql sql = { 0 };
	struct scan s = { .arena = a, .dialect = dialect, .rest = query, .out = BUF(MOST_STATEMENT),
			  .sql = &sql, .why = why };
	int r = query.len > MOST_STATEMENT / 4 ? -EMSGSIZE : 0;

	while (r == 0 && s.rest.len > 0)
		r = take_piece(&s);
	if (r == 0) {
		sql.statement = arena_copy(a, buf_str(&s.out));
		*ret_sql = sql;
	} else if (why->len == 0) {
		buf_add_text(why, "the query is too long");
	}
	buf_free(&s.out);
	return r;
}
