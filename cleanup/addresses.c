/* SPDX-License-Identifier: ISC */
/*
 * Header addresses of mail that was handed in on this machine: "user" becomes "user@$myorigin". Only what is plainly an address without
 * its domain is touched, by inserting what is missing behind it; comments, phrases, quoting and folding stay as they are.
 */
#include "cleanup/message.h"

#include "lib/base/die.h"

enum { MOST_NESTING = 100 };

/* The end of a quoted string or comment that starts at `at`; the text's end when it is not closed. */
static size_t skip_quoted(struct str s, size_t at)
{
	for (at++; at < s.len && s.at[at] != '"'; at++)
		if (s.at[at] == '\\')
			at++;
	return MIN(at + 1, s.len);
}

static size_t skip_comment(struct str s, size_t at)
{
	int depth = 0;

	for (; at < s.len; at++) {
		if (s.at[at] == '\\')
			at++;
		else if (s.at[at] == '(' && depth < MOST_NESTING)
			depth++;
		else if (s.at[at] == ')' && --depth == 0)
			return at + 1;
	}
	return s.len;
}

/* What one mailbox consists of, as far as it is simple. */
struct mailbox {
	size_t start, end;		/* of the address, end behind it */
	int words;			/* outside of comments and angle brackets */
	bool quoted, angle;
};

static bool ends_mailbox(char c)
{
	return c == ',' || c == ';' || c == ':';
}

static bool ends_word(char c)
{
	return is_space(c) || (c != '\0' && strchr(",;:<>()\"", c) != NULL);
}

static size_t read_word(struct str s, size_t at)
{
	while (at < s.len && !ends_word(s.at[at]))
		at++;
	return at;
}

/* From `at` to what ends the mailbox (returned). */
static size_t read_mailbox(struct str s, size_t at, struct mailbox *ret)
{
	struct mailbox b = { 0 };

	while (at < s.len && !ends_mailbox(s.at[at])) {
		size_t start = at;

		if (s.at[at] == '"') {
			at = skip_quoted(s, at);
			b.quoted |= !b.angle;
		} else if (s.at[at] == '(') {
			at = skip_comment(s, at);
		} else if (s.at[at] == '<') {
			b.angle = true;
			b.start = ++at;
			at = b.end = read_word(s, at);
			if (at >= s.len || s.at[at] != '>')
				b.end = b.start;	/* something we do not understand */
			while (at < s.len && s.at[at] != '>')
				at++;
			at = MIN(at + 1, s.len);
		} else if (ends_word(s.at[at])) {
			at++;			/* a blank, or a bracket that closes nothing */
		} else {
			at = read_word(s, at);
			if (!b.angle && b.words++ == 0) {
				b.start = start;
				b.end = at;
			}
		}
	}
	*ret = b;
	return at;
}

/* What is missing behind the address; empty when it is complete or not plain. */
static struct str missing_part(struct message *m, struct str s, const struct mailbox *b)
{
	struct str address = str_make(s.at + b->start, b->end - b->start), full;

	if (address.len == 0 || (!b->angle && (b->words != 1 || b->quoted)) || str_find_any(address, "\"\\") >= 0)
		return STR_NONE;
	full = rewrite_address(the_cleanup.route, m->arena, address, true);
	return str_starts(full, address) ? str_skip(full, address.len) : STR_NONE;
}

struct str complete_header_addresses(struct message *m, struct str whole, size_t name_len)
{
	ssize_t colon = str_find(str_skip(whole, name_len), ':');
	size_t at = name_len + (size_t) colon + 1, copied = 0;
	int64_t left = the_cleanup.conf.header_address_token_limit;
	AUTO(buf) b = BUF(MOST_HEADERS);

	if (colon < 0)
		return whole;
	while (at < whole.len && left-- > 0) {
		struct mailbox box;
		struct str missing;

		at = read_mailbox(whole, at, &box);
		/* "group: a, b;" has a name before the colon, and no address */
		missing = at < whole.len && whole.at[at] == ':' ? STR_NONE : missing_part(m, whole, &box);
		if (missing.len > 0) {
			buf_add(&b, str_make(whole.at + copied, box.end - copied));
			buf_add(&b, missing);
			copied = box.end;
		}
		at++;
	}
	if (copied == 0)
		return whole;
	buf_add(&b, str_skip(whole, copied));
	return arena_copy(m->arena, buf_str(&b));
}
