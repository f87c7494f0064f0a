/* SPDX-License-Identifier: ISC */
/* Byte string views: comparing, searching, cutting, numbers. Nothing here allocates. */
#include "lib/base/str.h"

#include <errno.h>

static bool in_set(char c, const char *set)
{
	return c != 0 && strchr(set, c) != NULL;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_is(str_head(s, prefix.len), prefix);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_is_nocase(str_head(s, prefix.len), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.len >= suffix.len && str_is(str_tail(s, suffix.len), suffix);
}

bool str_ends_nocase(struct str s, struct str suffix)
{
	return s.len >= suffix.len && str_is_nocase(str_tail(s, suffix.len), suffix);
}

int str_compare(struct str a, struct str b)
{
	size_t common = MIN(a.len, b.len);
	int order = common == 0 ? 0 : memcmp(a.at, b.at, common);

	if (order != 0)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

int str_compare_nocase(struct str a, struct str b)
{
	size_t common = MIN(a.len, b.len);

	for (size_t i = 0; i < common; i++) {
		int order = (unsigned char) to_lower(a.at[i]) - (unsigned char) to_lower(b.at[i]);

		if (order != 0)
			return order;
	}
	return a.len < b.len ? -1 : a.len > b.len;
}

ssize_t str_find(struct str s, char c)
{
	const char *found = s.len == 0 ? NULL : memchr(s.at, c, s.len);

	return found == NULL ? -1 : found - s.at;
}

ssize_t str_find_last(struct str s, char c)
{
	const char *found = s.len == 0 ? NULL : memrchr(s.at, c, s.len);

	return found == NULL ? -1 : found - s.at;
}

ssize_t str_find_str(struct str s, struct str needle)
{
	const char *found;

	if (needle.len == 0)
		return 0;
	found = s.len == 0 ? NULL : memmem(s.at, s.len, needle.at, needle.len);
	return found == NULL ? -1 : found - s.at;
}

ssize_t str_find_any(struct str s, const char *set)
{
	for (size_t i = 0; i < s.len; i++)
		if (in_set(s.at[i], set))
			return (ssize_t) i;
	return -1;
}

struct str str_tail(struct str s, size_t n)
{
	n = MIN(n, s.len);
	return (struct str){ s.at + (s.len - n), n };
}

struct str str_trim_end(struct str s)
{
	while (s.len > 0 && is_space(s.at[s.len - 1]))
		s.len--;
	return s;
}

struct str str_trim(struct str s)
{
	while (s.len > 0 && is_space(s.at[0]))
		s = str_skip(s, 1);
	return str_trim_end(s);
}

bool str_cut(struct str *rest, char at, struct str *ret_head)
{
	ssize_t where = str_find(*rest, at);

	if (where < 0) {
		*ret_head = *rest;
		*rest = str_skip(*rest, rest->len);
		return false;
	}
	*ret_head = str_head(*rest, (size_t) where);
	*rest = str_skip(*rest, (size_t) where + 1);
	return true;
}

static void skip_separators(struct str *rest, const char *separators)
{
	while (rest->len > 0 && in_set(rest->at[0], separators))
		*rest = str_skip(*rest, 1);
}

bool str_token(struct str *rest, const char *separators, struct str *ret_token)
{
	ssize_t end;

	skip_separators(rest, separators);
	if (rest->len == 0)
		return false;
	end = str_find_any(*rest, separators);
	*ret_token = end < 0 ? *rest : str_head(*rest, (size_t) end);
	*rest = str_skip(*rest, ret_token->len);
	return true;
}

bool str_lists(struct str list, struct str word)
{
	struct str one;

	while (str_token(&list, ", \t\r\n", &one))
		if (str_is(one, word))
			return true;
	return false;
}

bool str_lists_nocase(struct str list, struct str word)
{
	struct str one;

	while (str_token(&list, ", \t\r\n", &one))
		if (str_is_nocase(one, word))
			return true;
	return false;
}

int str_token_braced(struct str *rest, const char *separators, struct str *ret_token)
{
	size_t depth = 0;
	size_t i = 0;

	skip_separators(rest, separators);
	if (rest->len == 0)
		return 0;
	for (; i < rest->len; i++) {
		char c = rest->at[i];

		if (c == '{')
			depth++;
		else if (c == '}' && depth > 0)
			depth--;
		else if (depth == 0 && in_set(c, separators))
			break;
	}
	if (depth > 0)
		return -EINVAL;
	*ret_token = str_head(*rest, i);
	*rest = str_skip(*rest, i);
	return 1;
}

int str_unbrace(struct str text, struct str *ret_inner)
{
	size_t depth = 0, i = 0;

	text = str_trim(text);
	for (; i < text.len; i++) {
		depth += text.at[i] == '{';
		depth -= text.at[i] == '}' && depth > 0;
		if (depth == 0)
			break;
	}
	if (i == 0 || i + 1 != text.len)
		return -EINVAL;
	*ret_inner = str_trim(str_make(text.at + 1, text.len - 2));
	return 0;
}

int str_to_int(struct str s, int64_t min, int64_t max, int64_t *ret_number)
{
	bool negative = s.len > 0 && s.at[0] == '-';
	int64_t number = 0;

	if (negative)
		s = str_skip(s, 1);
	if (s.len == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++)
		if (!is_digit(s.at[i]))
			return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		int digit = s.at[i] - '0';

		if (__builtin_mul_overflow(number, 10, &number)
		    || __builtin_add_overflow(number, negative ? -digit : digit, &number))
			return -ERANGE;
	}
	if (number < min || number > max)
		return -ERANGE;
	*ret_number = number;
	return 0;
}

int str_to_uint64(struct str s, unsigned base, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (s.len == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		int digit = hex_value(s.at[i]);

		if (digit < 0 || (unsigned) digit >= base)
			return -EINVAL;
		if (__builtin_mul_overflow(number, (uint64_t) base, &number)
		    || __builtin_add_overflow(number, (uint64_t) digit, &number))
			return -ERANGE;
	}
	*ret_number = number;
	return 0;
}

int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c = to_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool str_is_ascii(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char) s.at[i] > 127)
			return false;
	return true;
}

/* Is any of its eight bytes a control character, DEL, or not ASCII? */
static bool has_odd_byte(uint64_t word)
{
	const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
	uint64_t del = word ^ (ones * 0x7f);

	return ((word | (word - ones * 0x20) | ((del - ones) & ~del)) & tops) != 0;
}

size_t str_plain_len(struct str s)
{
	size_t i = 0;
	uint64_t word;

	for (; i + sizeof(word) <= s.len; i += sizeof(word)) {
		memcpy(&word, s.at + i, sizeof(word));
		if (has_odd_byte(word))
			break;
	}
	while (i < s.len && is_print(s.at[i]))
		i++;
	return i;
}

bool str_has_control(struct str s)
{
	for (s = str_skip(s, str_plain_len(s)); s.len > 0; s = str_skip(s, str_plain_len(s))) {
		if ((unsigned char) s.at[0] < 0x80)
			return true;
		s = str_skip(s, 1);
	}
	return false;
}

/* How many bytes the UTF-8 sequence at the head of s has (RFC 3629), 0 when it is none. */
static size_t utf8_sequence(struct str s)
{
	const unsigned char *at = (const unsigned char *) s.at;
	size_t more = at[0] < 0x80 ? 0 : at[0] >= 0xf0 ? 3 : at[0] >= 0xe0 ? 2 : 1;

	if (more == 0)
		return 1;
	if (at[0] < 0xc2 || at[0] > 0xf4 || s.len <= more)
		return 0;
	for (size_t i = 1; i <= more; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f)
	    || (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return more + 1;
}

bool str_is_utf8(struct str s)
{
	for (s = str_skip(s, str_plain_len(s)); s.len > 0;) {
		size_t n = utf8_sequence(s);

		if (n == 0)
			return false;
		s = str_skip(s, n);
	}
	return true;
}
