/* SPDX-License-Identifier: ISC */
/* Transport and next hop, as main.cf parameters and transport(5) tables write them: "transport:nexthop". */
#include "lib/mail/mail_address.h"
#include "lib/route/private.h"

void apply_transport_setting(struct str setting, struct resolution *res)
{
	struct str nexthop = setting;

	str_cut(&nexthop, ':', &res->transport);
	if (nexthop.len > 0)
		res->nexthop = nexthop;
}

/*
 * ":nexthop" keeps the transport, ":" keeps everything; "transport:" without next hop goes to the
 * recipient's domain, whatever relayhost or a class's transport say.
 */
static void apply_entry(struct str value, struct str domain, struct resolution *res)
{
	struct str nexthop = str_trim(value), transport;

	str_cut(&nexthop, ':', &transport);
	if (transport.len > 0)
		res->transport = transport;
	if (nexthop.len > 0)
		res->nexthop = nexthop;
	else if (transport.len > 0 && !str_is(transport, STR("error")) && !str_is(transport, STR("retry")))
		res->nexthop = domain;
	else if (transport.len > 0)
		res->nexthop = STR("Address is undeliverable");
}

/* The domain, then its parents: "example.com" or ".example.com", by parent_domain_matches_subdomains. */
static int find_domain(struct route *r, struct arena *a, struct str domain, struct str *ret_value)
{
	int found = tables_get_part(r->transport, a, domain, ret_value);

	while (found == 0 && domain.len > 0 && domain.at[0] != '[') {
		ssize_t dot = str_find(str_skip(domain, 1), '.');

		if (dot < 0)
			return 0;
		domain = str_skip(domain, (size_t) dot + (r->transport_parents ? 2 : 1));
		found = tables_get_part(r->transport, a, domain, ret_value);
	}
	return found;
}

int apply_transport_maps(struct route *r, struct arena *a, struct str domain, struct resolution *res)
{
	struct address_lookup how = { .delimiter = r->delimiter, .no_domain_catch_all = true,
				      .splits_list_names = !r->conf.owner_request_special };
	struct str value;
	int found;

	if (tables_are_empty(r->transport))
		return 0;
	found = tables_get_address(r->transport, a, res->recipient, &how, &value, NULL);
	if (found == 0)
		found = find_domain(r, a, domain, &value);
	if (found == 0)
		found = tables_get_part(r->transport, a, STR("*"), &value);
	if (found < 0)
		return cannot_tell(r, found, "transport_maps: %s", tables_why(r->transport));
	if (found > 0)
		apply_entry(value, domain, res);
	return found;
}
