/* SPDX-License-Identifier: ISC */
/*
 * The lines of aliases(5), taken apart and put together again as Postfix's postalias does it, so
 * that tables that either made hold the same: quoting where a word needs it and nowhere else, one
 * space where words would run together, after a comma and before "<", and none elsewhere.
 */
#include <errno.h>

#include "lib/table/source.h"

#define OPERATORS "!%),.:;<>@]|"
#define OPENERS "\"(["

enum kind { START, COMMA, OPERATOR, ATOM, QUOTED, COMMENT, LITERAL };

struct token {
	enum kind kind;
	struct buf text;	/* without quotes and brackets; of a comment, all of it */
};

static bool is_special(char c)
{
	return c != 0 && strchr(OPERATORS OPENERS, c) != NULL;
}

static bool ends(enum kind kind, char c)
{
	switch (kind) {
	case QUOTED: return c == '"';
	case LITERAL: return c == ']';
	default: return is_space(c) || is_special(c);
	}
}

/*
 * The inside of an atom, a quoted string or a literal; the sign that ends the latter two is taken
 * too. One that has no end ends with the line.
 */
static void take_word(struct str *rest, struct token *t)
{
	size_t i;

	for (i = 0; i < rest->len && !ends(t->kind, rest->at[i]); i++) {
		if (rest->at[i] == '\\' && ++i == rest->len)
			break;
		buf_add_byte(&t->text, is_space(rest->at[i]) ? ' ' : rest->at[i]);
	}
	*rest = str_skip(*rest, i + (t->kind != ATOM));
}

static void take_comment(struct str *rest, struct token *t)
{
	int depth = 0;
	size_t i = 0;

	do {
		if (rest->at[i] == '\\' && i + 1 < rest->len)
			i++;
		else if (rest->at[i] == '(')
			depth++;
		else if (rest->at[i] == ')')
			depth--;
		i++;
	} while (i < rest->len && depth > 0);
	buf_add(&t->text, str_head(*rest, i));
	*rest = str_skip(*rest, i);
}

static bool needs_quotes(struct str atom)
{
	for (size_t i = 0; i < atom.len; i++)
		if (is_special(atom.at[i]) || atom.at[i] == '\\' || atom.at[i] == ' '
		    || (unsigned char) atom.at[i] < ' ' || atom.at[i] == 127)
			return true;
	return false;
}

static bool next_token(struct str *rest, struct token *t)
{
	char c;

	buf_clear(&t->text);
	while (rest->len > 0 && is_space(rest->at[0]))
		*rest = str_skip(*rest, 1);
	if (rest->len == 0)
		return false;
	c = rest->at[0];
	if (c == '(') {
		t->kind = COMMENT;
		take_comment(rest, t);
	} else if (c == '"' || c == '[') {
		t->kind = c == '"' ? QUOTED : LITERAL;
		*rest = str_skip(*rest, 1);
		take_word(rest, t);
	} else if (is_special(c)) {
		t->kind = c == ',' ? COMMA : OPERATOR;
		buf_add_byte(&t->text, c);
		*rest = str_skip(*rest, 1);
	} else {
		t->kind = ATOM;
		take_word(rest, t);
		if (needs_quotes(buf_str(&t->text)))
			t->kind = QUOTED;
	}
	return true;
}

static void put_escaped(struct buf *to, struct str text, const char *escaped)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] != 0 && strchr(escaped, text.at[i]) != NULL)
			buf_add_byte(to, '\\');
		buf_add_byte(to, text.at[i]);
	}
}

static bool is_token(const struct token *t, char c)
{
	return (t->kind == OPERATOR || t->kind == COMMA) && t->text.at[0] == c;
}

/* bare: without quotes, as a name is stored. */
static void put_token(struct buf *to, enum kind before, const struct token *t, bool bare)
{
	if ((before >= ATOM && t->kind >= ATOM) || (before >= OPERATOR && is_token(t, '<')))
		buf_add_byte(to, ' ');
	if (t->kind == QUOTED && !bare) {
		buf_add_byte(to, '"');
		put_escaped(to, buf_str(&t->text), "\"\\");
		buf_add_byte(to, '"');
	} else if (t->kind == LITERAL) {
		buf_add_byte(to, '[');
		put_escaped(to, buf_str(&t->text), "\\");
		buf_add_byte(to, ']');
	} else {
		buf_add(to, buf_str(&t->text));
	}
	if (t->kind == COMMA)
		buf_add_byte(to, ' ');
}

/* Up to the colon. */
static int split_name(struct str *line, struct token *t, struct buf *key, struct buf *why)
{
	bool is_one = true, is_local = true;

	for (enum kind before = START; next_token(line, t) && !is_token(t, ':'); before = t->kind) {
		is_one = is_one && t->kind != COMMA;
		is_local = is_local && !is_token(t, '@') && !is_token(t, '%');
		put_token(key, before, t, true);
	}
	if (!is_one || key->len == 0 || !is_token(t, ':')) {
		buf_add_text(why, "need name:value pair");
		return -EINVAL;
	}
	if (!is_local) {
		buf_add_text(why, "name must be local");
		return -EINVAL;
	}
	return 0;
}

int source_split_alias(struct str line, struct buf *key, struct buf *value, struct buf *why)
{
	struct token t = { .text = BUF(line.len) };
	enum kind before = START;
	int r;

	buf_clear(key);
	buf_clear(value);
	r = split_name(&line, &t, key, why);
	while (r == 0 && next_token(&line, &t)) {
		put_token(value, before, &t, false);
		before = t.kind;
	}
	if (r == 0 && value->len == 0) {
		buf_add_text(why, "need name:value pair");
		r = -EINVAL;
	}
	buf_free(&t.text);
	return r;
}
