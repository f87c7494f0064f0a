/* SPDX-License-Identifier: ISC */
#include "agents/pipe/attributes.h"

#include <errno.h>

static int fail(struct buf *why, const char *words, struct str what)
{
	buf_addf(why, "%s: \"%.*s\"", words, PSTR(what));
	return -EINVAL;
}

static int parse_flags(struct str text, unsigned *ret, struct buf *why)
{
	static const struct { char letter; unsigned flag; } rows[] = {
		{ 'B', PIPE_EMPTY_LINE }, { 'D', PIPE_DELIVERED_TO }, { 'F', PIPE_FROM },
		{ 'O', PIPE_ORIGINAL_TO },
		{ 'R', PIPE_RETURN_PATH }, { 'X', PIPE_FINAL }, { 'h', PIPE_LOWER_DOMAIN },
		{ 'q', PIPE_QUOTE_LOCAL },
		{ 'u', PIPE_LOWER_LOCAL }, { '.', PIPE_DOTS }, { '>', PIPE_QUOTE_FROM },
	};

	for (size_t i = 0; i < text.len; i++) {
		size_t row = 0;

		while (row < COUNT_OF(rows) && rows[row].letter != text.at[i])
			row++;
		if (row == COUNT_OF(rows))
			return fail(why, "unknown flag", str_make(text.at + i, 1));
		*ret |= rows[row].flag;
	}
	return 0;
}

/* The octet of "\ooo" or "\n", behind the backslash; *rest goes on after it. -1: none. */
static int escaped(struct str *rest)
{
	static const char letters[] = "abfnrtv\\", meanings[] = "\a\b\f\n\r\t\v\\";
	int value = 0, digits = 0;
	const char *known;

	for (; digits < 3 && rest->len > 0 && rest->at[0] >= '0' && rest->at[0] <= '7'; digits++) {
		value = value * 8 + (rest->at[0] - '0');
		*rest = str_skip(*rest, 1);
	}
	if (digits > 0)
		return value < 256 ? value : -1;
	known = rest->len > 0 ? strchr(letters, rest->at[0]) : NULL;
	if (known == NULL || *known == 0)
		return -1;
	*rest = str_skip(*rest, 1);
	return (unsigned char) meanings[known - letters];
}

static int parse_eol(struct str text, struct arena *a, struct str *ret, struct buf *why)
{
	struct str rest = text;
	AUTO(buf) eol = BUF(100);

	while (rest.len > 0) {
		int c = (unsigned char) rest.at[0];

		rest = str_skip(rest, 1);
		if (c == '\\')
			c = escaped(&rest);
		if (c < 0 || buf_add_byte(&eol, (char) c) < 0)
			return fail(why, "bad end of line", text);
	}
	*ret = arena_copy(a, buf_str(&eol));
	return 0;
}

static int parse_user(struct str text, struct attributes *ret, struct buf *why)
{
	struct str user;

	ret->group = text;
	if (!str_cut(&ret->group, ':', &user))
		ret->group = STR_NONE;
	else if (ret->group.len == 0)
		return fail(why, "no group behind the colon", text);
	ret->user = user;
	return user.len > 0 ? 0 : fail(why, "no user name", text);
}

static int parse_one(struct str name, struct str value, struct arena *a, struct attributes *ret,
		     struct buf *why)
{
	if (str_is(name, STR("flags")))
		return parse_flags(value, &ret->flags, why);
	if (str_is(name, STR("user")))
		return parse_user(value, ret, why);
	if (str_is(name, STR("eol")))
		return parse_eol(value, a, &ret->eol, why);
	if (str_is(name, STR("null_sender")))
		ret->null_sender = value;
	else if (str_is(name, STR("directory")))
		ret->directory = str_c(a, value);
	else if (str_is(name, STR("chroot")))
		ret->chroot = str_c(a, value);
	else if (!str_is(name, STR("size")))
		return fail(why, "unknown attribute", name);
	else if (str_to_int(value, 0, INT64_MAX, &ret->size) < 0)
		return fail(why, "bad size", value);
	return 0;
}

int attributes_parse(const struct str *words, size_t n, struct arena *a, struct attributes *ret,
		     struct buf *why)
{
	struct attributes found = { .eol = STR("\n"), .null_sender = STR("MAILER-DAEMON") };

	for (size_t i = 0; i < n && found.argc == 0; i++) {
		struct str value = words[i], name;

		if (!str_cut(&value, '=', &name))
			return fail(why, "attribute without a value", words[i]);
		if (str_is(name, STR("argv"))) {		/* the last: all that follows are arguments */
			struct str *argv = arena_get(a, (n - i) * sizeof(*argv));

			argv[0] = value;
			for (size_t k = 1; k < n - i; k++)
				argv[k] = words[i + k];
			found.argv = argv;
			found.argc = n - i;
		} else if (parse_one(name, value, a, &found, why) < 0) {
			return -EINVAL;
		}
	}
	if (found.argc == 0 || found.argv[0].len == 0)
		return fail(why, "no command", STR("argv="));
	if (found.user.len == 0)
		return fail(why, "nobody to run the command as", STR("user="));
	*ret = found;
	return 0;
}
