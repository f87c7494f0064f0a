/* SPDX-License-Identifier: ISC */
/*
 * Looking recipients up in tables of addresses, and whether they exist at all, before their mail is
 * accepted.
 */
#include "lib/mail/mail_address.h"
#include "lib/route/private.h"

int route_lookup_address(struct route *r, struct tables *ts, struct arena *a, struct str address,
			 struct str *ret_value, struct str *ret_extension)
{
	struct address_lookup how = { .delimiter = r->delimiter,
				      .splits_list_names = !r->conf.owner_request_special };
	struct str local, domain;
	int is_local = 0;

	if (tables_are_empty(ts))
		return 0;
	if (address_split(address, &local, &domain))
		is_local = str_is_nocase(domain, r->myorigin) ? 1 : is_local_domain(r, a, domain);
	if (is_local < 0)
		return is_local;
	how.local_domain = is_local;
	return tables_get_address(ts, a, address, &how, ret_value, ret_extension);
}

static int is_listed(struct route *r, struct tables *ts, const char *name, struct arena *a,
		     struct str address)
{
	struct str value;
	int found = route_lookup_address(r, ts, a, address, &value, NULL);

	return found < 0 ? cannot_tell(r, found, "%s: %s", name, tables_why(ts)) : found;
}

/* What is rewritten before delivery counts as existing: what becomes of it is not known yet. */
static int is_mapped(struct route *r, struct arena *a, struct str address)
{
	int found = is_listed(r, r->recipient_canonical, "recipient_canonical_maps", a, address);

	if (found == 0)
		found = is_listed(r, r->canonical, "canonical_maps", a, address);
	if (found == 0)
		found = is_listed(r, r->virtual_alias_maps, "virtual_alias_maps", a, address);
	return found;
}

int sender_is_mapped(struct route *r, struct arena *a, struct str address)
{
	return is_listed(r, r->sender_canonical, "sender_canonical_maps", a, address);
}

/* The names that every mail system has (RFC 5321 4.5.1), and those that the system itself uses. */
static bool is_always_there(struct str recipient)
{
	struct str local, domain;

	address_split(recipient, &local, &domain);
	return str_is_nocase(local, STR("postmaster")) || str_is_nocase(local, STR("mailer-daemon"))
	       || str_is_nocase(local, STR("double-bounce"));
}

struct check { struct tables *tables; const char *parameter; struct str table_name; };

static struct check check_of_class(struct route *r, enum address_class class)
{
	switch (class) {
	case CLASS_LOCAL:
		return (struct check) { r->local_recipients, "local_recipient_maps",
					STR("local recipient table") };
	case CLASS_VIRTUAL_MAILBOX:
		return (struct check) { r->virtual_mailbox_maps, "virtual_mailbox_maps",
					STR("virtual mailbox table") };
	case CLASS_RELAY:
		return (struct check) { r->relay_recipients, "relay_recipient_maps",
					STR("relay recipient table") };
	default:
		return (struct check) { NULL, "", STR_NONE };
	}
}

int recipient_exists(struct route *r, struct arena *a, struct str recipient, const struct resolution *res,
		     struct str *ret_text)
{
	struct check check = check_of_class(r, res->class);
	int found = is_mapped(r, a, recipient);

	if (found == 0 && !str_is(recipient, res->recipient))
		found = is_mapped(r, a, res->recipient);
	if (found != 0)
		return found;
	if (str_is(res->transport, STR("error")) || str_is(res->transport, STR("retry"))) {
		*ret_text = res->nexthop;
		return 0;
	}
	if (tables_are_empty(check.tables) || (res->class == CLASS_LOCAL && is_always_there(res->recipient)))
		return 1;
	found = is_listed(r, check.tables, check.parameter, a, res->recipient);
	if (found != 0)
		return found;
	*ret_text = STR("User unknown");
	if (r->conf.show_user_unknown_table_name)
		*ret_text = arena_fmt(a, "User unknown in %.*s", PSTR(check.table_name));
	return 0;
}
