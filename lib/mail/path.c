/* SPDX-License-Identifier: ISC */
/*
 * The path of MAIL FROM and RCPT TO (RFC 5321 4.1.2, RFC 6531 3.3).
 *
 * One pass from left to right over a line whose length the command reader has bounded. Lenient where
 * clients in the field are sloppy and nothing can be misunderstood (blanks around the path and its '@', a
 * second pair of brackets, dots in odd places, a local part alone); strict where one text could be read as
 * two addresses: no comments, no second '@', no control characters.
 */
#include "lib/mail/mail_address.h"

#include <errno.h>

#include "lib/mail/atext.h"

struct path {
	struct str in;			/* not yet read */
	char *to;			/* the internal form; has room for all of the input */
	size_t len;
};

static bool next_is(const struct path *p, char c)
{
	return p->in.len > 0 && p->in.at[0] == c;
}

static char take(struct path *p)
{
	char c = p->in.at[0];

	p->in = str_skip(p->in, 1);
	return c;
}

static bool take_if(struct path *p, char c)
{
	if (!next_is(p, c))
		return false;
	take(p);
	return true;
}

static void skip_blanks(struct path *p)
{
	while (p->in.len > 0 && is_blank(p->in.at[0]))
		take(p);
}

static void put(struct path *p, char c)
{
	p->to[p->len++] = c;
}

static int quoted_string(struct path *p)
{
	take(p);
	while (p->in.len > 0) {
		char c = take(p);

		if (c == '"')
			return 0;
		if (c == '\\') {
			if (p->in.len == 0)
				return -EINVAL;
			c = take(p);
		}
		if (is_control(c))
			return -EINVAL;
		put(p, c);
	}
	return -EINVAL;
}

/* Dot-string, quoted-string, or any sequence of words and dots. 0, or -EINVAL. */
static int local_part(struct path *p, bool *ret_quoted)
{
	*ret_quoted = false;
	while (p->in.len > 0) {
		if (next_is(p, '"')) {
			int r = quoted_string(p);

			if (r < 0)
				return r;
			*ret_quoted = true;
		} else if (next_is(p, '.') || is_atext(p->in.at[0])) {
			put(p, take(p));
		} else {
			break;
		}
	}
	return 0;
}

static int domain_literal(struct path *p)
{
	put(p, take(p));
	while (p->in.len > 0 && is_dtext(p->in.at[0]))
		put(p, take(p));
	if (!next_is(p, ']'))
		return -EINVAL;
	put(p, take(p));
	return 0;
}

/* Behind the '@'. It may be empty, which resolve_null_domain is about. */
static int domain(struct path *p)
{
	if (next_is(p, '['))
		return domain_literal(p);
	while (p->in.len > 0 && (is_atext(p->in.at[0]) || p->in.at[0] == '.'))
		put(p, take(p));
	return 0;
}

/* "@relay,@relay2:" is read over: RFC 5321 appendix C asks to ignore it. */
static int source_route(struct path *p)
{
	while (next_is(p, '@')) {
		size_t mark = p->len;
		int r;

		take(p);
		r = domain(p);
		if (r < 0 || p->len == mark)
			return -EINVAL;
		p->len = mark;
		if (take_if(p, ':'))
			return 0;
		if (!take_if(p, ',') || !next_is(p, '@'))
			return -EINVAL;
	}
	return 0;
}

/* Between brackets blanks cannot be taken for the end. */
static int mailbox(struct path *p, bool in_brackets)
{
	bool quoted;
	size_t local_len;
	int r = local_part(p, &quoted);

	if (r < 0)
		return r;
	local_len = p->len;
	if (in_brackets)
		skip_blanks(p);
	if (take_if(p, '@')) {
		if (local_len == 0 && !quoted)
			return -EINVAL;
		put(p, '@');
		if (in_brackets)
			skip_blanks(p);
		r = domain(p);
		if (r < 0)
			return r;
		if (p->len - local_len - 1 > DOMAIN_MAX)
			return -EMSGSIZE;
	} else if (local_len == 0) {
		return -EINVAL;
	} else if (memchr(p->to, '@', p->len) != NULL) {
		/* "a@b" in quotes and no domain: its internal form would be another address */
		return -EINVAL;
	}
	return local_len > LOCAL_PART_MAX ? -EMSGSIZE : 0;
}

static int bracketed(struct path *p)
{
	bool doubled;
	int r = 0;

	take(p);
	doubled = take_if(p, '<');
	skip_blanks(p);
	if (!next_is(p, '>')) {
		r = source_route(p);
		if (r >= 0)
			r = mailbox(p, true);
		skip_blanks(p);
	}
	if (r < 0)
		return r;
	return take_if(p, '>') && (!doubled || take_if(p, '>')) ? 0 : -EINVAL;
}

/* "Joe<a@b>": the name does not matter. */
static void skip_name(struct path *p)
{
	struct path name = *p;
	bool quoted;

	if (local_part(&name, &quoted) >= 0 && next_is(&name, '<'))
		p->in = name.in;
}

int path_parse(struct str *rest, struct arena *a, bool strict, bool smtputf8, struct str *ret)
{
	struct path p = { .in = *rest, .to = arena_get(a, rest->len + 1) };
	struct str text;
	int r;

	skip_blanks(&p);
	if (!strict)
		skip_name(&p);
	if (next_is(&p, '<'))
		r = bracketed(&p);
	else
		r = strict ? -EINVAL : mailbox(&p, false);
	if (r < 0)
		return r;
	if (p.in.len > 0 && !is_blank(p.in.at[0]))
		return -EINVAL;
	text = str_make(p.to, p.len);
	if (!str_is_ascii(text) && (!smtputf8 || !str_is_utf8(text)))
		return -EILSEQ;
	*rest = p.in;
	*ret = text;
	return 0;
}
