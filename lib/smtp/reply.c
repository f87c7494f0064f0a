/* SPDX-License-Identifier: ISC */
#include "lib/smtp/reply.h"

#include <errno.h>

#include "lib/mail/dsn.h"

/* Control characters come from outside and go into logs and notifications. */
static void add_clean(struct buf *b, struct str line)
{
	if (buf_add_printable(b, line) < 0)
		buf_add_printable(b, str_head(line, b->limit - b->len));
}

int reply_feed(struct reply *r, struct str line)
{
	bool more;

	if (r->code != -1)		/* -1: within a reply of several lines */
		buf_clear(&r->lines);
	else
		buf_add_byte(&r->lines, '\n');
	add_clean(&r->lines, line);
	r->code = 0;
	if (line.len < 3 || line.at[0] < '2' || line.at[0] > '5' || !is_digit(line.at[1])
	    || !is_digit(line.at[2]))
		return -EBADMSG;
	if (line.len > 3 && line.at[3] != ' ' && line.at[3] != '-')
		return -EBADMSG;
	more = line.len > 3 && line.at[3] == '-';
	if (more) {
		if (r->lines.len + 1 >= r->lines.limit)
			return -EBADMSG;	/* it never ends */
		r->code = -1;
		return 0;
	}
	r->code = (line.at[0] - '0') * 100 + (line.at[1] - '0') * 10 + (line.at[2] - '0');
	return 1;
}

void reply_auto(struct reply *r)
{
	buf_free(&r->lines);
}

struct str reply_text(const struct reply *r, struct arena *a)
{
	struct str all = str_head(buf_str(&r->lines), MIN((size_t) 4096, arena_left(a)));
	struct str copy = arena_copy(a, all);
	char *at = (char *) (uintptr_t) copy.at;

	for (size_t i = 0; i < copy.len; i++)
		if (at[i] == '\n')
			at[i] = ' ';
	return copy;
}

bool reply_next(struct str *rest, struct str *ret_text)
{
	struct str line;

	if (rest->len == 0)
		return false;
	str_cut(rest, '\n', &line);
	*ret_text = str_skip(line, 4);
	return true;
}

struct str reply_dsn(const struct reply *r, struct str fallback, struct arena *a)
{
	struct str rest = buf_str(&r->lines), code = fallback, text;

	while (reply_next(&rest, &text))
		dsn_of_reply(r->code, text, code, a, &code, &text);
	return code;
}

/* ---- EHLO ---- */

static void take_size(struct str arguments, struct ehlo *ret)
{
	struct str number;
	uint64_t n;

	ret->size_limit = 0;
	if (str_token(&arguments, " \t", &number) && str_to_uint64(number, 10, &n) == 0)
		ret->size_limit = n;
}

void ehlo_parse(const struct reply *r, struct str discard, struct ehlo *ret)
{
	static const struct { struct str keyword; enum ehlo_feature feature; } known[] = {
		{ STR_INIT("PIPELINING"), EHLO_PIPELINING }, { STR_INIT("SIZE"), EHLO_SIZE },
		{ STR_INIT("8BITMIME"), EHLO_8BITMIME },
		{ STR_INIT("DSN"), EHLO_DSN }, { STR_INIT("SMTPUTF8"), EHLO_SMTPUTF8 },
		{ STR_INIT("ENHANCEDSTATUSCODES"), EHLO_ENHANCED }, { STR_INIT("STARTTLS"), EHLO_STARTTLS },
		{ STR_INIT("CHUNKING"), EHLO_CHUNKING }, { STR_INIT("AUTH"), EHLO_AUTH },
		{ STR_INIT("REQUIRETLS"), EHLO_REQUIRETLS },
	};
	struct str rest = buf_str(&r->lines), line, word;

	*ret = (struct ehlo){ .host = STR_NONE };
	if (reply_next(&rest, &line))
		str_token(&line, " \t", &ret->host);
	while (reply_next(&rest, &line)) {
		if (!str_token(&line, " \t", &word))
			continue;
		if (str_starts_nocase(word, STR("AUTH=")))	/* as it was before there was a standard */
			word = STR("AUTH");
		if (str_lists_nocase(discard, word))
			continue;
		for (size_t i = 0; i < COUNT_OF(known); i++) {
			if (!str_is_nocase(word, known[i].keyword))
				continue;
			ret->features |= known[i].feature;
			if (known[i].feature == EHLO_SIZE)
				take_size(line, ret);
		}
	}
}

/* RFC 4422 3.1 */
static bool is_mechanism(struct str name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!is_alnum(name.at[i]) && name.at[i] != '-' && name.at[i] != '_')
			return false;
	return name.len > 0 && name.len <= 20;
}

void ehlo_mechanisms(const struct reply *r, struct buf *ret)
{
	enum { MOST_MECHANISMS = 100 };
	struct str rest = buf_str(&r->lines), line, word;
	int count = 0;

	reply_next(&rest, &line);
	while (reply_next(&rest, &line)) {
		if (!str_starts_nocase(line, STR("AUTH ")) && !str_starts_nocase(line, STR("AUTH=")))
			continue;
		line = str_skip(line, 5);
		while (count < MOST_MECHANISMS && str_token(&line, " \t", &word))
			if (is_mechanism(word) && !str_lists_nocase(buf_str(ret), word)) {
				buf_addf(ret, "%s%.*s", count > 0 ? " " : "", PSTR(word));
				count++;
			}
	}
}
