/* SPDX-License-Identifier: ISC */
/*
 * See destinations.h. One pass from left to right over each byte, and one more over the item it belongs
 * to.
 */
#include "local/destinations.h"

#include <errno.h>

#include "lib/mail/mail_address.h"

struct list_parser {
	struct arena *arena;
	struct str rest;
	size_t most;
	VEC(struct destination) found;
};

/*
 * How long the item at the start of text is: to a comma or line end outside of quotes, comments and
 * brackets.
 */
static size_t item_length(struct str text)
{
	bool in_quotes = false, in_angle = false;
	size_t depth = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if (c == '\n' && !in_quotes && depth == 0)
			return i;
		if (c == '\\' && i + 1 < text.len && text.at[i + 1] != '\n')
			i++;
		else if (c == '"')
			in_quotes = !in_quotes;
		else if (in_quotes)
			continue;
		else if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (depth == 0 && (c == '<' || c == '>'))
			in_angle = c == '<';
		else if (c == ',' && depth == 0 && !in_angle)
			return i;
	}
	return text.len;
}

static size_t line_length(struct str text)
{
	ssize_t end = str_find(text, '\n');

	return end < 0 ? text.len : (size_t) end;
}

/* Is it "..." and nothing else? */
static bool is_all_quoted(struct str item)
{
	if (item.len < 2 || item.at[0] != '"')
		return false;
	for (size_t i = 1; i < item.len; i++) {
		if (item.at[i] == '"')
			return i + 1 == item.len;
		if (item.at[i] == '\\')
			i++;
	}
	return false;
}

static struct str without_quotes(struct list_parser *p, struct str item)
{
	char *to = arena_get(p->arena, item.len + 1);
	size_t len = 0;

	for (size_t i = 0; i < item.len; i++) {
		if (item.at[i] == '"')
			continue;
		if (item.at[i] == '\\' && i + 1 < item.len)
			i++;
		to[len++] = item.at[i];
	}
	return str_make(to, len);
}

static int add(struct list_parser *p, enum destination_kind kind, struct str what)
{
	struct destination one = { kind, str_trim(what) };

	if (p->found.len >= p->most)
		return -E2BIG;
	if (one.what.len == 0 || memchr(one.what.at, 0, one.what.len) != NULL)
		return -EINVAL;
	*vec_add(p->arena, &p->found) = one;
	return 0;
}

/* 1: it was one of the marked kinds, 0: not, < 0. */
static int add_marked(struct list_parser *p, struct str item)
{
	static const struct str include = STR_INIT(":include:");
	int r;

	if (str_starts(item, STR("|")))
		r = add(p, TO_COMMAND, str_skip(item, 1));
	else if (str_starts_nocase(item, include))
		r = add(p, TO_INCLUDE, str_skip(item, include.len));
	else if (str_starts(item, STR("/")))
		r = add(p, TO_FILE, item);
	else if (str_starts(item, STR("~/")))
		r = add(p, TO_HOME_FILE, str_skip(item, 1));
	else if (str_starts(item, STR("\\")))
		r = add(p, TO_USER, str_skip(item, 1));
	else
		return 0;
	return r < 0 ? r : 1;
}

static int add_addresses(struct list_parser *p, struct str item)
{
	struct address_list list = { .rest = item };
	struct str address;
	int r;

	while ((r = address_list_next(&list, p->arena, &address)) > 0) {
		if (address.len == 0)
			return -EINVAL;
		r = add(p, TO_ADDRESS, address);
		if (r < 0)
			return r;
	}
	return r;
}

/* "\user", which a blank ends as it does an address. What follows stays in *item. */
static int add_users(struct list_parser *p, struct str *item)
{
	struct str word;
	int r = 0;

	while (r >= 0 && str_starts(*item, STR("\\")) && str_token(item, " \t\r\n", &word)) {
		r = add(p, TO_USER, str_skip(word, 1));
		*item = str_trim(*item);
	}
	return r;
}

static int add_item(struct list_parser *p, struct str item)
{
	int r;

	if (is_all_quoted(item)) {
		item = without_quotes(p, item);
		r = add_marked(p, item);
		return r == 0 ? add(p, TO_ADDRESS, item) : r;
	}
	r = add_users(p, &item);
	if (r < 0 || item.len == 0)
		return r;
	r = add_marked(p, str_starts(item, STR("|")) ? without_quotes(p, item) : item);
	return r == 0 ? add_addresses(p, item) : r;
}

static bool is_comment(const struct list_parser *p, struct str text)
{
	return p->rest.len > 0 && p->rest.at[0] == '#' && (p->rest.at == text.at || p->rest.at[-1] == '\n');
}

int destinations_parse(struct str text, size_t most, struct arena *a, struct destinations *ret,
		       struct str *ret_bad)
{
	struct list_parser p = { .arena = a, .rest = text, .most = most };

	while (p.rest.len > 0) {
		struct str item;
		size_t n;
		int r;

		if (is_comment(&p, text)) {
			p.rest = str_skip(p.rest, line_length(p.rest) + 1);
			continue;
		}
		if (is_space(p.rest.at[0]) || p.rest.at[0] == ',') {
			p.rest = str_skip(p.rest, 1);
			continue;
		}
		n = item_length(p.rest);
		item = str_trim(str_head(p.rest, n));
		p.rest = str_skip(p.rest, n);
		r = add_item(&p, item);
		if (r < 0) {
			*ret_bad = item;
			return r;
		}
	}
	ret->at = p.found.at;
	ret->count = p.found.len;
	return 0;
}
