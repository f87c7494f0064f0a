/* SPDX-License-Identifier: ISC */
#include "local/expand.h"

#include "lib/conf/expand.h"

struct expander {
	struct task *t;
	const struct account *account;
	const char *filter;
};

static struct str filtered(const struct expander *x, struct str value)
{
	char *copy = arena_get(x->t->arena, value.len + 1);

	for (size_t i = 0; i < value.len; i++) {
		char c = value.at[i];

		copy[i] = x->filter == NULL || (c != 0 && strchr(x->filter, c) != NULL) ? c : '_';
	}
	return str_make(copy, value.len);
}

static bool value_of(void *arg, struct str name, struct str *ret_value)
{
	const struct expander *x = arg;
	const struct task *t = x->t;
	/* the one that was found, or the first that would be */
	struct str delimiter = str_head(t->extension.len > 0 ? str_skip(t->name, t->user.len) : the_local.delimiter, 1);
	/* trusted: it comes from the account database, not with the mail */
	const struct { const char *name; struct str value; bool trusted; } rows[] = {
		{ "user", t->user, false },
		{ "local", t->name, false },
		{ "extension", t->extension, false },
		{ "domain", t->domain, false },
		{ "recipient", t->address, false },
		{ "recipient_delimiter", delimiter, true },
		{ "home", x->account == NULL ? STR_NONE : x->account->home, true },
		{ "shell", x->account == NULL ? STR_NONE : x->account->shell, true },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (str_is(name, str_of(rows[i].name))) {
			*ret_value = rows[i].trusted ? rows[i].value : filtered(x, rows[i].value);
			return true;
		}
	return false;
}

int expand_for(struct task *t, const struct account *account, struct str text, const char *filter,
	       struct buf *ret)
{
	struct expander x = { .t = t, .account = account, .filter = filter };
	AUTO(buf) why = BUF_WORDS;

	return expand_names(text, value_of, &x, ret, &why);
}
