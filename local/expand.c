/* SPDX-License-Identifier: ISC */
#include "local/expand.h"

#include <errno.h>

struct expander {
	struct task *t;
	const struct account *account;
	const char *filter;
	struct buf *to;
};

/* True: *ret_trusted says that it comes from the account database, not with the mail. */
static bool value_of(const struct expander *x, struct str name, struct str *ret_value, bool *ret_trusted)
{
	const struct task *t = x->t;
	struct str delimiter = str_head(str_skip(t->name, t->user.len), t->extension.len > 0);
	const struct { const char *name; struct str value; bool trusted; } rows[] = {
		{ "user", t->user, false },
		{ "local", t->name, false },
		{ "extension", t->extension, false },
		{ "domain", t->domain, false },
		{ "recipient", t->r->address, false },
		{ "recipient_delimiter", delimiter, true },
		{ "home", x->account == NULL ? STR_NONE : x->account->home, true },
		{ "shell", x->account == NULL ? STR_NONE : x->account->shell, true },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (str_is(name, str_of(rows[i].name))) {
			*ret_value = rows[i].value;
			*ret_trusted = rows[i].trusted;
			return true;
		}
	return false;
}

static int add_value(struct expander *x, struct str value, bool trusted)
{
	int r = 0;

	for (size_t i = 0; i < value.len && r >= 0; i++) {
		char c = value.at[i];
		bool passes = trusted || x->filter == NULL || (c != 0 && strchr(x->filter, c) != NULL);

		r = buf_add_byte(x->to, passes ? c : '_');
	}
	return r;
}

/* Behind the '$': "name", or in braces with an alternative. */
static int add_reference(struct expander *x, struct str *rest)
{
	char open = rest->len > 0 ? rest->at[0] : 0;
	struct str name, inside, value;
	bool trusted;
	size_t n = 0;

	if (open == '{' || open == '(') {
		*rest = str_skip(*rest, 1);
		if (!str_cut(rest, open == '{' ? '}' : ')', &inside))
			return -EINVAL;
	} else {
		while (n < rest->len && (is_alnum(rest->at[n]) || rest->at[n] == '_'))
			n++;
		inside = str_head(*rest, n);
		*rest = str_skip(*rest, n);
	}
	for (n = 0; n < inside.len && (is_alnum(inside.at[n]) || inside.at[n] == '_'); n++)
		;
	name = str_head(inside, n);
	if (!value_of(x, name, &value, &trusted))
		return -EINVAL;
	inside = str_skip(inside, n);
	if (inside.len == 0)
		return add_value(x, value, trusted);
	if (inside.at[0] != '?' && inside.at[0] != ':')
		return -EINVAL;
	if ((inside.at[0] == '?') != (value.len > 0))
		return 0;
	return expand_names(x->t, x->account, str_skip(inside, 1), x->filter, x->to);
}

int expand_names(struct task *t, const struct account *account, struct str text, const char *filter,
		 struct buf *ret)
{
	struct expander x = { .t = t, .account = account, .filter = filter, .to = ret };
	int r = 0;

	while (text.len > 0 && r >= 0) {
		struct str plain;
		bool more = str_cut(&text, '$', &plain);

		r = buf_add(ret, plain);
		if (r < 0 || !more)
			break;
		if (str_starts(text, STR("$"))) {
			text = str_skip(text, 1);
			r = buf_add_byte(ret, '$');
		} else {
			r = add_reference(&x, &text);
		}
	}
	return r;
}
