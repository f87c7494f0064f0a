/* SPDX-License-Identifier: ISC */
/* Addresses in standard form: user@domain, with the domain complete. */
#include "lib/mail/mail_address.h"
#include "lib/route/private.h"

static struct str join(struct arena *a, struct str local, struct str domain)
{
	return arena_fmt(a, "%.*s@%.*s", PSTR(local), PSTR(domain));
}

/* site!user, user%domain, user: to user@domain. */
static struct str add_domain(struct route *r, struct arena *a, struct str address, bool plain,
			     struct str origin)
{
	ssize_t bang = plain && r->conf.swap_bangpath ? str_find(address, '!') : -1;
	ssize_t percent = plain && r->conf.allow_percent_hack ? str_find_last(address, '%') : -1;

	if (bang >= 0)
		return join(a, str_skip(address, (size_t) bang + 1), str_head(address, (size_t) bang));
	if (percent >= 0)
		return join(a, str_head(address, (size_t) percent), str_skip(address, (size_t) percent + 1));
	if (r->conf.append_at_myorigin && origin.len > 0)
		return join(a, address, origin);
	return address;
}

struct str rewrite_text(struct route *r, struct arena *a, struct str address, bool plain, struct str origin,
			struct str dot_domain)
{
	struct str local, domain;

	if (address.len == 0 || str_is(address, STR("@")))
		return STR_NONE;
	if (str_find(address, '@') < 0)
		address = add_domain(r, a, address, plain, origin);
	if (!address_split(address, &local, &domain) || domain.len == 0)
		return address;
	if (r->conf.append_dot_mydomain && dot_domain.len > 0 && domain.at[0] != '['
	    && str_find(domain, '.') < 0)
		return arena_fmt(a, "%.*s.%.*s", PSTR(address), PSTR(dot_domain));
	if (domain.len > 1 && domain.at[domain.len - 1] == '.' && domain.at[domain.len - 2] != '.')
		address.len--;
	return address;
}

struct str rewrite_address(struct route *r, struct arena *a, struct str address, bool local_context)
{
	struct str remote = str_of(r->conf.remote_header_rewrite_domain);
	bool plain = str_find(address, '@') < 0 && is_dot_string(address);

	return rewrite_text(r, a, address, plain, local_context ? r->myorigin : remote,
			    local_context ? str_of(r->common->mydomain) : remote);
}
