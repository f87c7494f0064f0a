/* SPDX-License-Identifier: ISC */
#include "lib/table/template.h"

#include <errno.h>

#include "lib/base/die.h"

struct address_parts address_parts(struct str text)
{
	ssize_t at = str_find_last(text, '@');
	struct address_parts p = { .all = text, .user = text, .domain = STR_NONE };

	if (at >= 0) {
		p.has_domain = true;
		p.user = str_head(text, (size_t) at);
		p.domain = str_skip(text, (size_t) at + 1);
	}
	return p;
}

int template_compile(struct arena *a, struct str text, struct template *ret_t, struct buf *why)
{
	VEC(struct template_piece) pieces = { 0 };
	struct str whole = text, head;

	while (text.len > 0) {
		struct template_piece piece = { STR_NONE, 0 };

		if (!str_cut(&text, '%', &head)) {
			piece.text = arena_copy(a, head);
		} else if (text.len > 0 && text.at[0] == '%') {
			piece.text = arena_fmt(a, "%.*s%%", PSTR(head));
			text = str_skip(text, 1);
		} else if (text.len > 0 && text.at[0] != 0 && strchr("sudSUD123456789", text.at[0]) != NULL) {
			piece = (struct template_piece){ arena_copy(a, head), text.at[0] };
			text = str_skip(text, 1);
		} else {
			buf_addf(why, "\"%%%.*s\" means nothing in \"%.*s\"", PSTR(str_head(text, 1)),
				 PSTR(str_head(whole, 200)));
			return -EINVAL;
		}
		*vec_add(a, &pieces) = piece;
	}
	ret_t->pieces = pieces.at;
	ret_t->count = pieces.len;
	return 0;
}

/* The n-th label of a domain from the right; empty: there is none. */
static struct str label(struct str domain, int n)
{
	struct str rest = domain, last = STR_NONE;

	for (int i = 0; i < n; i++) {
		ssize_t dot = str_find_last(rest, '.');

		if (rest.len == 0)
			return STR_NONE;
		last = dot < 0 ? rest : str_skip(rest, (size_t) dot + 1);
		rest = dot < 0 ? STR_NONE : str_head(rest, (size_t) dot);
	}
	return last;
}

/* What a code stands for; false: there is no such thing. */
static bool find_part(char code, const struct address_parts *key, const struct address_parts *value,
		      struct str *ret)
{
	const struct address_parts *of = value != NULL && (code == 's' || code == 'u' || code == 'd')
					 ? value : key;

	switch (to_lower(code)) {
	case 's': *ret = of->all; break;
	case 'u': *ret = of->user; break;
	case 'd': *ret = of->domain; break;
	default: *ret = key->has_domain ? label(key->domain, code - '0') : STR_NONE;
	}
	return ret->len > 0;
}

int template_expand(const struct template *t, const struct address_parts *key,
		    const struct address_parts *value, quote_value *quote, struct buf *out)
{
	struct str part;
	int r = 0;

	for (size_t i = 0; i < t->count && r == 0; i++) {
		r = buf_add(out, t->pieces[i].text);
		if (r < 0 || t->pieces[i].code == 0)
			continue;
		if (!find_part(t->pieces[i].code, key, value, &part))
			return 0;
		r = quote == NULL ? buf_add(out, part) : quote(out, part);
	}
	return r < 0 ? r : 1;
}

int quote_for_ldap(struct buf *out, struct str value)
{
	int r = 0;

	for (size_t i = 0; i < value.len && r == 0; i++) {
		char c = value.at[i];

		if (is_alnum(c) || (c != 0 && strchr("@._-", c) != NULL))
			r = buf_add_byte(out, c);
		else
			r = buf_addf(out, "\\%02X", (unsigned) (unsigned char) c);
	}
	return r;
}
