/* SPDX-License-Identifier: ISC */
#include "lib/sasl/auth_line.h"

#include <errno.h>

/* ---- escaping ---- */

static const struct { char plain, code; } escapes[] = { { 0, '0' }, { 1, '1' }, { '\t', 't' }, { '\r', 'r' },
							{ '\n', 'n' } };

int auth_add_value(struct buf *b, struct str value)
{
	int r = 0;

	for (size_t i = 0; i < value.len && r >= 0; i++) {
		char code = 0;

		for (size_t e = 0; e < COUNT_OF(escapes); e++)
			if (value.at[i] == escapes[e].plain)
				code = escapes[e].code;
		r = code == 0 ? buf_add_byte(b, value.at[i]) : buf_addf(b, "\001%c", code);
	}
	return r;
}

/* Words of the server for people: decoded, printable, and not too long for a reply or a log line. */
static struct str readable(struct arena *a, struct str value, size_t most)
{
	AUTO(buf) plain = BUF(AUTH_LONGEST_LINE), printable = BUF(AUTH_LONGEST_LINE);

	for (size_t i = 0; i < value.len; i++) {
		char c = value.at[i];

		if (c == '\001' && i + 1 < value.len) {
			c = value.at[++i];
			for (size_t e = 0; e < COUNT_OF(escapes); e++)
				if (c == escapes[e].code)
					c = escapes[e].plain;
		}
		buf_add_byte(&plain, c);
	}
	buf_add_printable(&printable, str_head(buf_str(&plain), most));
	return arena_copy(a, buf_str(&printable));
}

/* ---- forms ---- */

bool is_base64(struct str text)
{
	size_t pad = 0;

	if (text.len % 4 != 0)
		return false;
	while (pad < 2 && pad < text.len && text.at[text.len - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < text.len - pad; i++)
		if (!is_alnum(text.at[i]) && text.at[i] != '+' && text.at[i] != '/')
			return false;
	return true;
}

bool is_mechanism_name(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_alnum(text.at[i]) && text.at[i] != '-' && text.at[i] != '_')
			return false;
	return text.len > 0 && text.len <= AUTH_LONGEST_NAME;
}

static bool take_id(struct str *rest, uint32_t *ret)
{
	struct str word;
	int64_t id;

	str_cut(rest, '\t', &word);
	if (str_to_int(word, 1, UINT32_MAX, &id) < 0)
		return false;
	*ret = (uint32_t) id;
	return true;
}

/* ---- lines ---- */

static int parse_version(struct arena *a, struct str rest, struct auth_line *l)
{
	struct str major;

	(void) a;
	str_cut(&rest, '\t', &major);
	return str_to_uint64(major, 10, &l->version) < 0 ? -EBADMSG : 0;
}

/* Some properties are good ones, some take away what a mechanism would be good for otherwise. */
static int parse_mechanism(struct arena *a, struct str rest, struct auth_line *l)
{
	static const struct { struct str name; unsigned has, lacks; } properties[] = {
		{ STR_INIT("plaintext"), 0, SASL_NOPLAINTEXT },
		{ STR_INIT("anonymous"), 0, SASL_NOANONYMOUS },
		{ STR_INIT("dictionary"), 0, SASL_NODICTIONARY }, { STR_INIT("active"), 0, SASL_NOACTIVE },
		{ STR_INIT("forward-secrecy"), SASL_FORWARD_SECRECY, 0 },
		{ STR_INIT("mutual-auth"), SASL_MUTUAL_AUTH, 0 },
	};
	unsigned has = SASL_NOPLAINTEXT | SASL_NOANONYMOUS | SASL_NODICTIONARY | SASL_NOACTIVE, lacks = 0;
	struct str word;

	(void) a;
	str_cut(&rest, '\t', &l->name);
	while (str_token(&rest, "\t", &word)) {
		l->is_private |= str_is(word, STR("private"));
		for (size_t i = 0; i < COUNT_OF(properties); i++)
			if (str_is(word, properties[i].name)) {
				has |= properties[i].has;
				lacks |= properties[i].lacks;
			}
	}
	l->options = has & ~lacks;
	return is_mechanism_name(l->name) ? 0 : -EBADMSG;
}

static int parse_challenge(struct arena *a, struct str rest, struct auth_line *l)
{
	(void) a;
	if (!take_id(&rest, &l->id) || !is_base64(rest))
		return -EBADMSG;
	l->challenge = rest;
	return 0;
}

static bool take_value(struct str word, struct str name, struct str *ret)
{
	if (!str_starts(word, name))
		return false;
	*ret = str_skip(word, name.len);
	return true;
}

/*
 * A success must say whose: a name that is missing, or would have to be cut, is a failure that is
 * not the client's.
 */
static int parse_end(struct arena *a, struct str rest, struct auth_line *l)
{
	struct str word, value, user = STR_NONE;

	if (!take_id(&rest, &l->id))
		return -EBADMSG;
	while (str_token(&rest, "\t", &word)) {
		if (take_value(word, STR("user="), &value))
			user = value;
		else if (take_value(word, STR("reason="), &value))
			l->reason = readable(a, value, AUTH_LONGEST_REASON);
		else if (str_is(word, STR("temp")) || str_is(word, STR("code=temp_fail")))
			l->is_temporary = true;
	}
	l->user = readable(a, user, AUTH_LONGEST_USER);
	if (l->word == AUTH_OK && (user.len == 0 || user.len > AUTH_LONGEST_USER)) {
		l->word = AUTH_FAIL;
		l->is_temporary = true;
		l->reason = STR("no usable user name in the answer");
	}
	return 0;
}

int auth_line_parse(struct arena *a, struct str line, struct auth_line *ret)
{
	static const struct {
		struct str name;
		enum auth_word word;
		int (*parse)(struct arena *a, struct str rest, struct auth_line *l);
	} rows[] = {
		{ STR_INIT("VERSION"), AUTH_VERSION, parse_version },
		{ STR_INIT("MECH"), AUTH_MECH, parse_mechanism }, { STR_INIT("DONE"), AUTH_DONE, NULL },
		{ STR_INIT("OK"), AUTH_OK, parse_end }, { STR_INIT("CONT"), AUTH_CONT, parse_challenge },
		{ STR_INIT("FAIL"), AUTH_FAIL, parse_end },
	};
	struct auth_line l = { .word = AUTH_OTHER, .name = STR_NONE, .challenge = STR_NONE, .user = STR_NONE,
			       .reason = STR_NONE };
	struct str word;
	int r = 0;

	if (line.len > AUTH_LONGEST_LINE || memchr(line.at, 0, line.len) != NULL)
		return -EBADMSG;
	str_cut(&line, '\t', &word);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (!str_is(word, rows[i].name))
			continue;
		l.word = rows[i].word;
		r = rows[i].parse == NULL ? 0 : rows[i].parse(a, line, &l);
	}
	if (r == 0)
		*ret = l;
	return r;
}
