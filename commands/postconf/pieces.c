/* SPDX-License-Identifier: ISC */
/*
 * main.cf and master.cf as they stand: entries with their continuation lines, and between them
 * comments and blank lines. Whoever changes an entry writes all other pieces back byte for byte.
 */
#include "commands/postconf/postconf.h"

static bool counts_for_nothing(struct str line)
{
	struct str text = str_trim(line);

	return text.len == 0 || text.at[0] == '#';
}

bool is_continuation(struct str line)
{
	return line.len > 0 && is_space(line.at[0]);
}

static struct str take_line(struct str *rest)
{
	const ssize_t end = str_find(*rest, '\n');
	struct str line = str_head(*rest, end < 0 ? rest->len : (size_t) end + 1);

	*rest = str_skip(*rest, line.len);
	return line;
}

/* Lines of nothing in front of a continuation belong to the entry; those behind its last one do not. */
static bool take_continuation(struct str *rest, struct str *ret_nothing, struct str *ret_line)
{
	struct str ahead = *rest, line;

	while (ahead.len > 0) {
		const char *const before = ahead.at;

		line = take_line(&ahead);
		if (counts_for_nothing(line))
			continue;
		if (!is_continuation(line))
			return false;
		*ret_nothing = str_make(rest->at, (size_t) (before - rest->at));
		*ret_line = line;
		*rest = ahead;
		return true;
	}
	return false;
}

static int count_lines(struct str text)
{
	int n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += text.at[i] == '\n';
	return n;
}

static struct piece take_entry(struct arena *a, struct str first, struct str *rest)
{
	AUTO(buf) logical = BUF(POSTCONF_MOST_FILE);
	AUTO(buf) comments = BUF(POSTCONF_MOST_FILE);
	struct piece e = { .is_entry = true };
	struct str nothing, line;

	buf_add(&logical, str_trim_end(first));
	while (take_continuation(rest, &nothing, &line)) {
		buf_add(&comments, nothing);
		buf_add_byte(&logical, ' ');
		buf_add(&logical, str_trim(line));
	}
	e.text = str_make(first.at, (size_t) (rest->at - first.at));
	e.logical = arena_copy(a, buf_str(&logical));
	e.comments = arena_copy(a, buf_str(&comments));
	return e;
}

struct pieces split_pieces(struct arena *a, struct str text)
{
	struct pieces list = { 0 };
	int number = 1;

	while (text.len > 0) {
		struct str line = take_line(&text);
		struct piece e = { .text = line };

		if (!counts_for_nothing(line))
			e = take_entry(a, line, &text);
		e.line = number;
		number += count_lines(e.text);
		*vec_add(a, &list) = e;
	}
	return list;
}

void add_commented_out(struct buf *b, const struct piece *e)
{
	struct str rest = e->text;

	while (rest.len > 0) {
		struct str line = take_line(&rest);

		if (!counts_for_nothing(line))
			buf_add_byte(b, '#');
		buf_add(b, line);
		if (!str_ends(line, STR("\n")))
			buf_add_byte(b, '\n');
	}
}
