/* SPDX-License-Identifier: ISC */
/*
 * Command lines are split at blanks only: CR and LF never get here, other control characters are
 * part of a word.
 */
#include "lib/smtp/command.h"

#include <errno.h>

static struct str skip_blanks(struct str s)
{
	while (s.len > 0 && is_blank(s.at[0]))
		s = str_skip(s, 1);
	return s;
}

int command_parse(struct str line, bool utf8, struct command *ret)
{
	struct str rest = skip_blanks(line);
	struct command c = { .line = line };

	if (str_find(line, '\0') >= 0 || !command_word(&rest, &c.verb))
		return -EINVAL;
	if (utf8 && !str_is_utf8(line))
		return -EILSEQ;
	c.args = str_trim(rest);
	*ret = c;
	return 0;
}

bool command_keyword(struct str *args, struct str keyword)
{
	if (!str_starts_nocase(*args, keyword))
		return false;
	*args = skip_blanks(str_skip(*args, keyword.len));
	return true;
}

bool command_word(struct str *args, struct str *ret_word)
{
	return str_token(args, " \t", ret_word);
}

int command_bdat(struct str args, uint64_t *ret_size, bool *ret_last)
{
	struct str number, word;
	int64_t size;
	bool last = false;
	int r;

	if (!command_word(&args, &number))
		return -EINVAL;
	if (command_word(&args, &word)) {
		last = true;
		if (!str_is_nocase(word, STR("LAST")) || command_word(&args, &word))
			return -EINVAL;
	}
	for (size_t i = 0; i < number.len; i++)
		if (!is_digit(number.at[i]))		/* no sign either */
			return -EINVAL;
	r = str_to_int(number, 0, INT64_MAX, &size);
	if (r < 0)
		return r;
	*ret_size = (uint64_t) size;
	*ret_last = last;
	return 0;
}
