/* SPDX-License-Identifier: ISC */
/*
 * The class of a domain: local, virtual alias, virtual mailbox, relay, or none of these.
 *
 * An international domain is the same one in both its forms (bücher.example,
 * xn--bcher-kva.example), whichever a client uses and whichever the configuration lists: clients
 * without SMTPUTF8 have only the second.
 */
#include "lib/dns/idn.h"
#include "lib/route/private.h"

/* mydestination and the virtual domains are lists of whole domains: subdomains are others. */
static int in_list(struct route *r, struct arena *a, struct match_list *list, struct str domain)
{
	int found = match_text(list, a, domain);

	return found < 0 ? cannot_tell(r, found, "%s", match_why(list)) : found;
}

static int is_local_name(struct route *r, struct arena *a, struct str domain)
{
	int found = in_list(r, a, r->local, domain);

	return found == 0 ? is_own_literal(r, domain) : found;
}

static int class_of_name(struct route *r, struct arena *a, struct str domain)
{
	int found = in_list(r, a, r->virtual_alias, domain);

	if (found != 0)
		return found < 0 ? found : (int) CLASS_VIRTUAL_ALIAS;
	found = in_list(r, a, r->virtual_mailbox, domain);
	if (found != 0)
		return found < 0 ? found : (int) CLASS_VIRTUAL_MAILBOX;
	found = match_domain(r->relay, a, domain);
	if (found < 0)
		return cannot_tell(r, found, "%s", match_why(r->relay));
	return found > 0 ? CLASS_RELAY : 0;
}

/* ask() of each form of the domain; 0: no to all. */
static int ask_each_form(int (*ask)(struct route *r, struct arena *a, struct str domain) MAY_YIELD,
			 struct route *r, struct arena *a, struct str domain)
{
	struct str forms[IDN_FORMS];
	const size_t n = idn_forms(a, domain, forms);
	int found = 0;

	for (size_t i = 0; found == 0 && i < n; i++)
		found = ask(r, a, forms[i]);
	return found;
}

int is_local_domain(struct route *r, struct arena *a, struct str domain)
{
	if (domain.len > 0 && domain.at[domain.len - 1] == '.')
		domain.len--;
	if (domain.len == 0 || domain.at[domain.len - 1] == '.')
		return 0;
	return ask_each_form(is_local_name, r, a, domain);
}

int remote_class(struct route *r, struct arena *a, struct str domain)
{
	int class = ask_each_form(class_of_name, r, a, domain);

	return class == 0 ? (int) CLASS_OTHER : class;
}

int domain_class(struct route *r, struct arena *a, struct str domain)
{
	int found = is_local_domain(r, a, domain);

	if (found != 0)
		return found < 0 ? found : (int) CLASS_LOCAL;
	return remote_class(r, a, domain);
}
