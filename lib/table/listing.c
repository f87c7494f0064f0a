/* SPDX-License-Identifier: ISC */
#include "lib/table/listing.h"

#include <fcntl.h>
#include <unistd.h>

#include "lib/table/rules.h"

enum { MOST_TEXT = 256 << 20, MOST_DEPTH = 10 };

struct listing {
	void (*each)(void *arg, const struct table_entry *e);
	void *arg;
	bool has_rules;
	bool is_delimited;		/* their patterns are */
	bool of_aliases;		/* what is in databases */
	bool is_database;
	const char *path;
	bool is_complete;
};

/* Takes the pattern off; false: there is none, as in an endif. */
static bool cut_pattern(const struct listing *l, struct str *rest)
{
	AUTO(buf) ignored = BUF_WORDS;
	struct str pattern, flags;

	while (rest->len > 0 && (rest->at[0] == '!' || is_space(rest->at[0])))
		*rest = str_skip(*rest, 1);
	if (rest->len > 0 && l->is_delimited)
		return take_delimited(rest, &pattern, &flags, &ignored) >= 0;
	return str_token(rest, " \t\r\n", &pattern);
}

static void tell_alias(const struct listing *l, struct str line, int number)
{
	AUTO(buf) key = BUF(line.len * 4), value = BUF(line.len * 4), ignored = BUF_WORDS;
	struct table_entry e = { .path = l->path, .line = number };

	if (source_split_alias(line, &key, &value, &ignored) < 0)
		return;
	e.key = buf_str(&key);
	e.value = buf_str(&value);
	l->each(l->arg, &e);
}

static void tell(const struct listing *l, struct str line, int number)
{
	struct table_entry e = { .path = l->path, .line = number };
	AUTO(buf) ignored = BUF_WORDS;

	if (!l->has_rules) {
		if (source_split_entry(line, &e.key, &e.value, &ignored) < 0)
			return;
	} else {
		if (!cut_pattern(l, &line))
			return;
		e.value = str_trim(line);
		if (e.value.len == 0)		/* endif */
			return;
	}
	l->each(l->arg, &e);
}

static bool is_condition(struct str line)
{
	return str_starts_nocase(line, STR("if")) && (line.len == 2 || !is_alnum(line.at[2]));
}

static void list_file(struct listing *l)
{
	AUTO_FD fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	AUTO(buf) text = BUF(MOST_TEXT + 65536);
	struct source lines;
	struct str line;

	if (fd < 0 || source_read_file(fd, MOST_TEXT, &text) < 0) {
		l->is_complete = false;
		return;
	}
	source_start(&lines, l->path, buf_str(&text));
	while (source_next(&lines, &line))
		if (l->of_aliases && l->is_database)
			tell_alias(l, line, lines.line);
		else if (!l->has_rules || !is_condition(line))
			tell(l, line, lines.line);
	source_end(&lines);
}

/* { { rule }, { rule } } */
static void list_rules(const struct listing *l, struct str inner)
{
	struct str item, line;

	while (str_token_braced(&inner, ", \t\r\n", &item) > 0)
		if (str_unbrace(item, &line) >= 0 && !is_condition(line))
			tell(l, line, 0);
}

/* { key=value, { key = value } } */
static void list_pairs(const struct listing *l, struct str inner)
{
	struct str item;

	while (str_token_braced(&inner, ", \t\r\n", &item) > 0) {
		struct table_entry e = { .line = 0 };

		str_unbrace(item, &item);
		if (!str_cut(&item, '=', &e.key))
			continue;
		e.key = str_trim(e.key);
		e.value = str_trim(item);
		l->each(l->arg, &e);
	}
}

static void list(struct listing *l, struct str spec, unsigned depth)
{
	struct str name, type_name, inner, word;
	const struct table_type *type;
	AUTO(buf) path = BUF(4096);

	table_is_proxied(spec, &spec);
	if (table_is_composed(spec, &inner)) {
		l->is_complete &= depth < MOST_DEPTH;
		while (depth < MOST_DEPTH && str_token_braced(&inner, ", \t\r\n", &word) > 0)
			list(l, word, depth + 1);
		return;
	}
	name = spec;
	if (!str_cut(&name, ':', &type_name) || (type = table_type_find(type_name)) == NULL) {
		l->is_complete = false;
		return;
	}
	l->is_delimited = type == &regexp_type || type == &pcre_type;
	l->has_rules = l->is_delimited || type == &cidr_type;
	l->is_database = type->suffix != NULL;
	if (type != &inline_type && type != &texthash_type && !l->is_database && !l->has_rules) {
		l->is_complete = false;
		return;
	}
	l->path = NULL;
	if (str_unbrace(name, &inner) >= 0) {
		if (l->has_rules)
			list_rules(l, inner);
		else
			list_pairs(l, inner);
		return;
	}
	buf_add(&path, name);
	l->path = buf_text(&path);
	list_file(l);
}

bool table_each_entry(struct str spec, void (*each)(void *arg, const struct table_entry *e), void *arg)
{
	struct listing l = { .each = each, .arg = arg, .is_complete = true };

	list(&l, str_trim(spec), 0);
	return l.is_complete;
}

bool table_each_alias(struct str spec, void (*each)(void *arg, const struct table_entry *e), void *arg)
{
	struct listing l = { .each = each, .arg = arg, .of_aliases = true, .is_complete = true };

	list(&l, str_trim(spec), 0);
	return l.is_complete;
}
