/* SPDX-License-Identifier: ISC */
/*
 * The addresses of a header value (RFC 5322 3.4 and 4.4).
 *
 * First the end of the next list element is found, then the element is read into memory of just its size:
 * two passes over every byte, whatever the input looks like. Comments are counted, not recursed into.
 */
#include "lib/mail/mail_address.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/mail/atext.h"

/*
 * Behind the quoted string, comment or literal that starts at text[at]; text.len when its end is missing
 * (*ret_open).
 */
static size_t behind_quoted(struct str text, size_t at, bool *ret_open)
{
	char end = text.at[at] == '"' ? '"' : text.at[at] == '[' ? ']' : ')';
	size_t depth = 0;

	for (; at < text.len; at++) {
		char c = text.at[at];

		if (c == '\\') {
			at++;
		} else if (c == end && (end != '"' || depth > 0)) {
			if (--depth == 0)
				return at + 1;
		} else if (depth == 0 || (c == '(' && end == ')')) {
			depth++;
		}
	}
	*ret_open = true;
	return text.len;
}

static size_t element_length(struct str text)
{
	bool in_angle = false, open = false;
	size_t i = 0;

	while (i < text.len) {
		switch (text.at[i]) {
		case '"': case '(': case '[':
			i = behind_quoted(text, i, &open);
			continue;
		case '\\':
			i++;
			break;
		case '<':
			in_angle = true;
			break;
		case '>':
			in_angle = false;
			break;
		case ',': case ';':
			if (!in_angle)
				return i;
			break;
		default:
			break;
		}
		i++;
	}
	return text.len;
}

struct element {
	struct str in;			/* not yet read */
	char *to;			/* the address so far */
	size_t len;
	bool has_at;			/* an unquoted '@' is in it */
	bool has_text;			/* any token, also "" */
	/* white space was read, and joins the next word only next to '@' or '.' */
	bool blank_pending;
	bool words_apart;		/* two words without a joint: a phrase, not an address */
	bool in_angle, had_angle;
	/* '@' was read where an address begins, and the route's ':' not yet */
	bool in_route;
	bool ended;			/* behind '>' */
	/* Where the address stands: first token, behind the last. first NULL: there was none yet. */
	const char *first, *last;
	const char *behind_angle;	/* of "<" */
	const char *route;		/* where a route begins; NULL: there is none */
	bool is_part;			/* the token just read belongs to the address */
	/* the next word that stands apart is another address: `in` begins with it */
	bool is_list;
	bool is_lenient;		/* as in the list */
};

static void start_address(struct element *e)
{
	e->len = 0;
	e->first = e->last = NULL;
	e->has_at = e->has_text = e->blank_pending = e->words_apart = false;
}

/* Text behind '>' is not an address; it is let pass when it is only a phrase. */
static void put_word(struct element *e, const char *bytes, size_t n)
{
	bool joint = n == 1 && (bytes[0] == '.' || bytes[0] == '@');

	if (e->ended)
		return;
	e->is_part = true;
	if (e->blank_pending && e->has_text && !joint && e->len > 0 && e->to[e->len - 1] != '.'
	    && e->to[e->len - 1] != '@')
		e->words_apart = true;
	e->blank_pending = false;
	e->has_text = true;
	memcpy(e->to + e->len, bytes, n);
	e->len += n;
}

static int read_quoted(struct element *e)
{
	bool open = false;
	size_t end = behind_quoted(e->in, 0, &open);
	struct str inside;

	if (open || (e->has_at && !e->ended))		/* a domain has no quotes */
		return -EINVAL;
	inside = str_make(e->in.at + 1, end - 2);
	e->in = str_skip(e->in, end);
	put_word(e, "", 0);
	for (size_t i = 0; i < inside.len; i++) {
		char c = inside.at[i];

		if (c == '\n' || c == '\r')		/* folding */
			continue;
		if (c == '\\' && i + 1 < inside.len)
			c = inside.at[++i];
		if (!e->ended)
			e->to[e->len++] = c;
	}
	return 0;
}

static int read_literal(struct element *e)
{
	bool open = false;
	size_t end = behind_quoted(e->in, 0, &open);

	for (size_t i = 1; i + 1 < end; i++)
		if (!is_dtext(e->in.at[i]))
			return -EINVAL;
	if (open || e->ended || e->len == 0 || e->to[e->len - 1] != '@')
		return -EINVAL;
	put_word(e, e->in.at, end);
	e->in = str_skip(e->in, end);
	return 0;
}

static int read_colon(struct element *e)
{
	/* a route, "<@a,@b:user@domain>", or "@a:user@domain"; or the name of a group */
	if (e->in_route ? e->words_apart : e->route != NULL || e->in_angle || e->has_at || e->had_angle)
		return -EINVAL;
	e->in_route = false;
	start_address(e);
	return 0;
}

static int read_angle(struct element *e, char c)
{
	if (c == '<') {
		if (e->had_angle || e->route != NULL)
			return -EINVAL;
		e->in_angle = e->had_angle = true;
		e->behind_angle = e->in.at;
		start_address(e);
		return 0;
	}
	if (!e->in_angle && !(e->is_lenient && e->has_text))
		return -EINVAL;
	e->in_angle = false;
	/* also where nobody opened it: what follows is another address, or in doubt */
	e->had_angle = e->blank_pending = true;
	e->ended = true;
	return 0;
}

static int read_special(struct element *e, char c)
{
	bool open = false;

	switch (c) {
	case '"':
		return read_quoted(e);
	case '[':
		return read_literal(e);
	case '(':
		e->in = str_skip(e->in, behind_quoted(e->in, 0, &open));
		e->blank_pending = true;
		return open && !e->is_lenient ? -EINVAL : 0;
	default:
		break;
	}
	e->in = str_skip(e->in, 1);
	switch (c) {
	case ':':
		return read_colon(e);
	case '<': case '>':
		return read_angle(e, c);
	case ',':
		if (!e->in_route)
			return -EINVAL;
		put_word(e, &c, 1);
		return 0;
	case '\\':
		if (e->in.len == 0 || (e->has_at && !e->ended))
			return -EINVAL;
		put_word(e, e->in.at, 1);
		e->in = str_skip(e->in, 1);
		return 0;
	default:
		return -EINVAL;
	}
}

/* One '@', with something before it (which may be ""); several only in a route, which is dropped. */
static int read_at(struct element *e)
{
	if (!e->ended && !e->in_route) {
		if (!e->has_text && e->route == NULL) {
			e->in_route = true;
			e->route = e->in.at;
		} else if (e->has_at || !e->has_text) {
			return -EINVAL;
		}
	}
	e->has_at = e->has_at || !e->ended;
	put_word(e, "@", 1);
	e->in = str_skip(e->in, 1);
	return 0;
}

static int read_token(struct element *e)
{
	char c = e->in.at[0];

	if (is_space(c)) {
		e->blank_pending = true;
		e->in = str_skip(e->in, 1);
		return 0;
	}
	if (c == '@')
		return read_at(e);
	if (!is_atext(c) && c != '.')
		return read_special(e, c);
	put_word(e, &c, 1);
	e->in = str_skip(e->in, 1);
	return 0;
}

/* Behind a blank, and without a joint on either side. */
static bool begins_another(const struct element *e)
{
	char c = e->in.at[0];

	if (!e->is_list || !e->has_text || !e->blank_pending || is_space(c) || strchr("(@.:", c) != NULL)
		return false;
	return e->len == 0 || (e->to[e->len - 1] != '.' && e->to[e->len - 1] != '@');
}

static int read_tokens(struct element *e)
{
	while (e->in.len > 0 && !begins_another(e)) {
		const char *before = e->in.at;
		int r;

		e->is_part = false;
		r = read_token(e);
		if (r < 0)
			return r;
		if (e->is_part) {
			e->first = e->first == NULL ? before : e->first;
			e->last = e->in.at;
		}
	}
	return 0;
}

/* What of the header the address takes up, its route included; empty behind '<' for "<>". */
static struct str place_of(const struct element *e)
{
	const char *first = e->route != NULL ? e->route : e->first;

	if (e->first == NULL)
		return str_make(e->behind_angle, 0);
	return str_make(first, (size_t) (e->last - first));
}

/* 1 an address, 0 nothing in it (only white space, comments, a group's name), -EINVAL. */
static int read_element(struct element *e, struct header_mailbox *ret)
{
	struct str local, domain, text;
	int r = read_tokens(e);

	if (r < 0)
		return r;
	text = str_make(e->to, e->len);
	if ((e->in_angle && !(e->is_lenient && e->has_text)) || e->in_route || e->words_apart || str_has_control(text))
		return -EINVAL;
	if (!e->has_text) {
		if (e->had_angle)
			*ret = (struct header_mailbox){ .address = STR_NONE, .text = place_of(e),
							.has_route = e->route != NULL };
		return e->had_angle;
	}
	address_split(text, &local, &domain);
	if (local.len > LOCAL_PART_MAX || domain.len > DOMAIN_MAX)
		return -EINVAL;
	if (!e->has_at && str_find(text, '@') >= 0)	/* "a@b" in quotes, without a domain of its own */
		return -EINVAL;
	for (size_t i = 0; i < domain.len; i++)
		if (!is_atext(domain.at[i]) && domain.at[i] != '.' && domain.at[0] != '[')
			return -EINVAL;
	*ret = (struct header_mailbox){ .address = text, .text = place_of(e), .has_route = e->route != NULL };
	return 1;
}

int header_mailbox_next(struct str *rest, struct arena *a, struct header_mailbox *ret)
{
	while (rest->len > 0) {
		size_t n = element_length(*rest);
		struct element e = { .in = str_head(*rest, n) };
		int r;

		*rest = str_skip(*rest, n + 1);
		if (str_trim(e.in).len == 0)
			continue;
		e.to = arena_get(a, n + 1);
		r = read_element(&e, ret);
		if (r != 0)
			return r;
	}
	return 0;
}

int header_address_next(struct str *rest, struct arena *a, struct str *ret)
{
	struct header_mailbox mailbox;
	int r = header_mailbox_next(rest, a, &mailbox);

	if (r > 0)
		*ret = mailbox.address;
	return r;
}

/* Behind the first "<...>", or 0. */
static size_t behind_angle(struct str text)
{
	bool in_angle = false, open = false;
	size_t i = 0;

	while (i < text.len) {
		char c = text.at[i];

		if (c == '"' || c == '(' || c == '[') {
			i = behind_quoted(text, i, &open);
			continue;
		}
		if (c == '>' && in_angle)
			return i + 1;
		in_angle = in_angle || c == '<';
		i += c == '\\' ? 2 : 1;
	}
	return in_angle ? text.len : 0;
}

/* How far the words go together, and up to where they are a phrase, is found out once for all of them. */
static size_t look_ahead(struct address_list *l)
{
	size_t angle;

	if (l->element == 0) {
		l->element = element_length(l->rest);
		l->is_plain = false;
	}
	angle = l->is_plain ? 0 : behind_angle(str_head(l->rest, l->element));
	l->is_plain = angle == 0;
	return l->is_plain ? l->element : angle;
}

int address_list_next(struct address_list *l, struct arena *a, struct str *ret)
{
	while (l->rest.len > 0) {
		struct element e = { .in = str_head(l->rest, look_ahead(l)), .is_list = l->is_plain,
				     .is_lenient = l->is_lenient };
		/* words are many, and the arena keeps one of them */
		AUTO_PTR char *room = resize_memory(NULL, e.in.len + 1);
		struct header_mailbox box;
		size_t used;
		int r;

		e.to = room;
		r = read_element(&e, &box);
		used = (size_t) (e.in.at - l->rest.at);
		if (r < 0 || used >= l->element)
			used = l->element + 1;		/* and the comma */
		l->rest = str_skip(l->rest, used);
		l->element -= MIN(used, l->element);
		if (r > 0)
			*ret = arena_copy(a, box.address);
		if (r != 0)
			return r;
	}
	return 0;
}
