/* SPDX-License-Identifier: ISC */
/*
 * regexp tables meet short and long keys by different ways (lib/table/regexp.c), with the same
 * answer. A pattern of the few bytes in front of the first line end is tried on the rest, as it is
 * and behind 2,000 bytes that only lengthen it. Repetitions by number are left out: what the C
 * library needs for them is another matter, and signs of repetition in a row are refused. So are ^
 * and $ in the middle of a pattern, which to it match at line ends inside of a short key.
 */
#include <regex.h>

#include "lib/base/die.h"
#include "lib/table/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LONGEST_PATTERN = 24, LONGEST_TAIL = 200, FRONT = 2000 };

static bool occurs(const char *pattern, struct str key, bool *ret_is_valid)
{
	regex_t code;
	int result;

	*ret_is_valid = regcomp(&code, pattern, REG_EXTENDED | REG_ICASE | REG_NOSUB) == 0;
	if (!*ret_is_valid)
		return false;
	result = regexec(&code, key.at, 0, NULL, 0);
	regfree(&code);
	return result == 0;
}

static bool has_inner_anchor(struct str pattern)
{
	for (size_t i = 0; i < pattern.len; i++)
		if ((pattern.at[i] == '^' && i > 0) || (pattern.at[i] == '$' && i + 1 < pattern.len))
			return true;
	return false;
}

static bool has_repetitions_in_a_row(struct str pattern)
{
	for (size_t i = 1; i < pattern.len; i++)
		if (strchr("*+?", pattern.at[i]) != NULL && strchr("*+?", pattern.at[i - 1]) != NULL)
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str all = str_make((const char *) data, size), pattern, key, value;
	AUTO(buf) why = BUF_WORDS;
	struct arena *a;
	struct table *t;
	char *text;
	bool valid, expected;
	int r;

	if (!str_cut(&all, '\n', &pattern) || pattern.len == 0 || pattern.len > LONGEST_PATTERN
	    || all.len > LONGEST_TAIL || str_find_any(pattern, "{}/\\,") >= 0 || str_has_control(pattern)
	    || memchr(all.at, 0, all.len) != NULL || str_starts(pattern, STR("*"))
	    || has_repetitions_in_a_row(pattern) || (has_inner_anchor(pattern) && str_find(all, '\n') >= 0))
		return 0;
	a = arena_new("fuzz", NULL, 16 << 20);
	text = arena_get(a, FRONT + all.len + 1);
	memset(text, 'z', FRONT);
	memcpy(text + FRONT, all.at, all.len);
	key = str_make(text, FRONT + all.len);
	expected = occurs(str_c(a, pattern), key, &valid);
	if (valid && table_open(arena_fmt(a, "regexp:{{/%.*s/ yes}}", PSTR(pattern)), 0, &t, &why) == 0) {
		r = table_get(t, a, key, &value);
		BUG_UNLESS(r < 0 || (r > 0) == expected);
		table_free(t);
	}
	arena_free(a);
	return 0;
}
