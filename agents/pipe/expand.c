/* SPDX-License-Identifier: ISC */
#include "agents/pipe/expand.h"

#include <errno.h>

#include "lib/mail/mail_address.h"

enum { MOST_ARGUMENT = 16 << 10 };

/* What is known of one recipient, as the flags want it. */
struct whom {
	struct str address, original, local, user, extension, domain;
};

struct expander {
	const struct attributes *at;
	const struct delivery *d;
	struct str delimiter;
	struct arena *arena;
	struct whom whom;
	bool names_recipient;		/* of the argument at hand */
};

/* ---- addresses ---- */

static struct str lower_if(struct arena *a, bool lower, struct str s)
{
	return lower ? arena_lower(a, s) : s;
}

static struct str quote(struct arena *a, struct str address)
{
	AUTO(buf) quoted = BUF(MOST_ARGUMENT);

	return address_quote_822(&quoted, address) < 0 ? address : arena_copy(a, buf_str(&quoted));
}

static struct str whole(const struct expander *x, struct str address)
{
	const unsigned flags = x->at->flags;
	struct str local, domain;

	if (address_split(address, &local, &domain))
		address = arena_fmt(x->arena, "%.*s@%.*s",
				    PSTR(lower_if(x->arena, flags & PIPE_LOWER_LOCAL, local)),
				    PSTR(lower_if(x->arena, flags & PIPE_LOWER_DOMAIN, domain)));
	else
		address = lower_if(x->arena, flags & PIPE_LOWER_LOCAL, address);
	return flags & PIPE_QUOTE_LOCAL ? quote(x->arena, address) : address;
}

static void look_at(struct expander *x, const struct recipient *r)
{
	struct whom *w = &x->whom;

	*w = (struct whom) { .address = whole(x, r->address),
			     .original = whole(x, r->original.len > 0 ? r->original : r->address) };
	if (!address_split(r->address, &w->local, &w->domain))
		w->local = r->address;
	w->local = lower_if(x->arena, x->at->flags & PIPE_LOWER_LOCAL, w->local);
	w->domain = lower_if(x->arena, x->at->flags & PIPE_LOWER_DOMAIN, w->domain);
	w->user = w->local;
	local_part_split_at(w->local, x->delimiter, true, &w->user, &w->extension);
}

/* The null sender's stand-in may be empty, and stays so unquoted. */
static struct str sender_of(const struct expander *x)
{
	struct str sender = x->d->env.sender.len > 0 ? x->d->env.sender : x->at->null_sender;

	return sender.len > 0 && (x->at->flags & PIPE_QUOTE_LOCAL) ? quote(x->arena, sender) : sender;
}

/* ---- names ---- */

static bool value_of(struct expander *x, struct str name, struct str *ret)
{
	const struct envelope *e = &x->d->env;
	const struct whom *w = &x->whom;
	const struct { const char *name; struct str value; bool of_recipient; } rows[] = {
		{ "recipient", w->address, true }, { "original_recipient", w->original, true },
		{ "mailbox", w->local, true },
		{ "user", w->user, true }, { "extension", w->extension, true }, { "domain", w->domain, true },
		{ "sender", sender_of(x), false },
		{ "nexthop", lower_if(x->arena, x->at->flags & PIPE_LOWER_DOMAIN, x->d->nexthop), false },
		{ "size", arena_fmt(x->arena, "%llu", (unsigned long long) x->d->content.parts.size), false },
		{ "queue_id", x->d->queue_id, false }, { "envid", e->envid, false },
		{ "client_address", e->client_address, false }, { "client_helo", e->client_helo, false },
		{ "client_hostname", e->client_name, false }, { "client_port", e->client_port, false },
		{ "client_protocol", e->client_protocol, false },
		{ "sasl_method", e->sasl_method, false }, { "sasl_sender", e->sasl_sender, false },
		{ "sasl_username", e->sasl_username, false },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (str_is(name, str_of(rows[i].name))) {
			*ret = rows[i].value;
			x->names_recipient |= rows[i].of_recipient;
			return true;
		}
	return false;
}

/* Behind the '$'. */
static int take_name(struct str *rest, struct str *ret)
{
	char open = rest->len > 0 ? rest->at[0] : 0;
	size_t n = 0;

	if (open == '{' || open == '(') {
		*rest = str_skip(*rest, 1);
		return str_cut(rest, open == '{' ? '}' : ')', ret) ? 0 : -EINVAL;
	}
	while (n < rest->len && (is_alnum(rest->at[n]) || rest->at[n] == '_'))
		n++;
	*ret = str_head(*rest, n);
	*rest = str_skip(*rest, n);
	return n > 0 ? 0 : -EINVAL;
}

static int expand_one(struct expander *x, struct str text, struct buf *to, struct buf *why)
{
	const struct str all = text;
	struct str plain, name, value;
	int r = 0;

	x->names_recipient = false;
	while (r >= 0 && text.len > 0) {
		bool more = str_cut(&text, '$', &plain);

		r = buf_add(to, plain);
		if (r < 0 || !more)
			break;
		if (str_starts(text, STR("$"))) {
			text = str_skip(text, 1);
			r = buf_add_byte(to, '$');
		} else if (take_name(&text, &name) < 0 || !value_of(x, name, &value)) {
			buf_addf(why, "cannot expand the argument \"%.*s\"", PSTR(all));
			return -EINVAL;
		} else {
			r = buf_add(to, value);
		}
	}
	if (r < 0)
		buf_addf(why, "the argument \"%.*s\" becomes too long", PSTR(all));
	return r < 0 ? -E2BIG : 0;
}

int expand_arguments(const struct attributes *at, const struct delivery *d, struct str delimiter,
		     struct arena *a, const char ***ret_argv, struct buf *why)
{
	struct expander x = { .at = at, .d = d, .delimiter = delimiter, .arena = a };
	const char **argv = arena_get(a, (at->argc * d->env.recipient_count + 1) * sizeof(*argv));
	size_t n = 0;

	for (size_t i = 0; i < at->argc; i++) {
		size_t times = 1;

		for (size_t k = 0; k < times; k++) {
			AUTO(buf) text = BUF(MOST_ARGUMENT);
			int r;

			look_at(&x, &d->env.recipients[k]);
			r = expand_one(&x, at->argv[i], &text, why);
			if (r < 0)
				return r;
			argv[n++] = str_c(a, buf_str(&text));
			if (x.names_recipient)
				times = d->env.recipient_count;
		}
	}
	argv[n] = NULL;
	*ret_argv = argv;
	return 0;
}
