/* SPDX-License-Identifier: ISC */
/*
 * From a recipient to transport, next hop and recipient.
 *
 * First every domain that is this system's own is taken off the end, and what then looks like routing (a@b,
 * a%b, b!a) is followed, until a domain that is not ours or no domain is left. Each round shortens the
 * address, so it ends. Then the domain's class gives transport and next hop, which relayhost, the sender's
 * tables, transport_maps and relocated_maps may change, in this order.
 */
#include <errno.h>

#include "lib/mail/mail_address.h"
#include "lib/route/private.h"

struct walk {
	struct route *r;
	struct arena *arena;
	struct str address;		/* what is left of the recipient */
	struct str domain;		/* the last domain seen */
	bool is_remote;			/* domain is still in address, and not ours */
	bool has_domain;
};

/* May @, % and ! of a local part be taken for routing? */
static bool is_open(struct walk *w, struct str local)
{
	return w->r->conf.resolve_dequoted_address || is_dot_string(local);
}

static bool has_routing(struct walk *w, struct str local)
{
	if (str_find(local, '@') < 0
	    && !(w->r->conf.swap_bangpath && str_find(local, '!') >= 0)
	    && !(w->r->conf.allow_percent_hack && str_find(local, '%') >= 0))
		return false;
	return is_open(w, local);
}

static void strip_trailing_dot(struct walk *w)
{
	struct str s = w->address;

	if (s.len > 1 && s.at[s.len - 1] == '.' && s.at[s.len - 2] != '.' && s.at[s.len - 2] != '@')
		w->address.len--;
}

/* One round. 1: again, 0: done, < 0 cannot tell. */
static int strip_round(struct walk *w)
{
	struct str local, domain;
	int is_local;

	if (address_split(w->address, &local, &domain)) {
		strip_trailing_dot(w);
		address_split(w->address, &local, &domain);
		if (domain.len == 0 && w->r->conf.resolve_null_domain) {
			w->address = local;
			return has_routing(w, local);
		}
		is_local = is_local_domain(w->r, w->arena, domain);
		if (is_local < 0)
			return is_local;
		w->domain = domain;
		w->has_domain = true;
		w->is_remote = !is_local;
		if (w->is_remote)
			return 0;
		w->address = local;
	}
	if (!has_routing(w, w->address))
		return 0;
	w->address = rewrite_text(w->r, w->arena, w->address, true, w->r->myorigin,
				  str_of(w->r->common->mydomain));
	return 1;
}

/* A domain of digits: an address that lost its brackets. */
static int check_numeric(struct walk *w)
{
	struct address_ip ip;
	struct str local, domain;
	int is_local;

	if (!w->r->conf.resolve_numeric_domain || ip_parse(w->domain, &ip) < 0)
		return 0;
	address_split(w->address, &local, &domain);
	w->domain = arena_fmt(w->arena, "[%.*s]", PSTR(domain));
	is_local = is_local_domain(w->r, w->arena, w->domain);
	if (is_local < 0)
		return is_local;
	w->is_remote = !is_local;
	w->address = local;
	if (w->is_remote)
		w->address = arena_fmt(w->arena, "%.*s@%.*s", PSTR(local), PSTR(w->domain));
	return 0;
}

static int find_domain(struct walk *w, struct resolution *res)
{
	int r;

	while ((r = strip_round(w)) > 0)
		;
	if (r >= 0 && w->is_remote)
		r = check_numeric(w);
	if (r < 0)
		return r;
	if (w->is_remote) {
		res->recipient = w->address;
		return 0;
	}
	if (!w->has_domain)
		w->domain = str_of(w->r->common->myhostname);
	if (w->address.len == 0)
		w->address = str_of(w->r->conf.empty_address_recipient);
	res->recipient = arena_fmt(w->arena, "%.*s@%.*s", PSTR(w->address), PSTR(w->domain));
	return 0;
}

static bool domain_is_valid(struct str domain)
{
	if (domain.len > 0 && domain.at[0] == '[')
		return domain_literal_is_valid(domain);
	return hostname_is_valid(domain, true);
}

static void set_error(struct resolution *res, struct str nexthop)
{
	res->transport = STR("error");
	res->nexthop = nexthop;
	res->is_error = true;
}

/* A sender-dependent table. 1 with the value, 0 not there or DUNNO, < 0. */
static int ask_sender_table(struct walk *w, struct tables *ts, const char *name, struct str sender,
			    const char *null_key, struct str *ret_value)
{
	struct str value;
	int found;

	if (tables_are_empty(ts))
		return 0;
	found = route_lookup_address(w->r, ts, w->arena, sender.len > 0 ? sender : str_of(null_key), &value,
				     NULL);
	if (found < 0)
		return cannot_tell(w->r, found, "%s: %s", name, tables_why(ts));
	if (found == 0 || str_is_nocase(value, STR("DUNNO")))
		return 0;
	*ret_value = value;
	return 1;
}

/* relay_domains and all other domains. */
static int route_off_host(struct walk *w, struct str sender, struct resolution *res)
{
	const struct route_conf *conf = &w->r->conf;
	struct str setting = str_of(conf->relay_transport), host = str_of(conf->relayhost);
	int found = 0;

	if (res->class == CLASS_OTHER) {
		setting = str_of(conf->default_transport);
		found = ask_sender_table(w, w->r->sender_transport, "sender_dependent_default_transport_maps",
					 sender,
					 conf->empty_address_default_transport_maps_lookup_key, &setting);
	}
	if (found >= 0)
		found = ask_sender_table(w, w->r->sender_relayhost, "sender_dependent_relayhost_maps", sender,
					 conf->empty_address_relayhost_maps_lookup_key, &host);
	if (found < 0)
		return found;
	res->nexthop = host.len > 0 ? host : w->domain;
	apply_transport_setting(setting, res);
	return 0;
}

static int route_by_class(struct walk *w, struct str sender, struct resolution *res)
{
	const struct route_conf *conf = &w->r->conf;
	int class = w->is_remote ? remote_class(w->r, w->arena, w->domain) : (int) CLASS_LOCAL;

	if (class < 0)
		return class;
	res->class = (enum address_class) class;
	res->nexthop = w->domain;
	switch (class) {
	case CLASS_LOCAL:
		apply_transport_setting(str_of(conf->local_transport), res);
		return 0;
	case CLASS_VIRTUAL_ALIAS:
		set_error(res, conf->show_user_unknown_table_name
			  ? STR("5.1.1 User unknown in virtual alias table") : STR("5.1.1 User unknown"));
		return 0;
	case CLASS_VIRTUAL_MAILBOX:
		apply_transport_setting(str_of(conf->virtual_transport), res);
		return 0;
	default:
		return route_off_host(w, sender, res);
	}
}

static int check_relocated(struct walk *w, struct resolution *res)
{
	struct route *r = w->r;
	struct str value;
	int found;

	if (tables_are_empty(r->relocated))
		return 0;
	found = route_lookup_address(r, r->relocated, w->arena, res->recipient, &value, NULL);
	if (found < 0)
		return cannot_tell(r, found, "relocated_maps: %s", tables_why(r->relocated));
	if (found > 0)
		set_error(res, r->conf.relocated_prefix_enable ? arena_fmt(w->arena,
				"5.1.6 User has moved to %.*s", PSTR(value)) : value);
	return 0;
}

/* Of an address whose domain was found. */
static bool has_bad_syntax(const struct walk *w, struct str recipient)
{
	return !domain_is_valid(w->domain) || (!w->r->conf.allow_min_user && str_starts(recipient, STR("-")));
}

static bool has_routing_left(struct str recipient)
{
	struct str local, domain;

	address_split(recipient, &local, &domain);
	return str_find_any(local, "@!%") >= 0;
}

int resolve_address(struct route *r, struct arena *a, struct str sender, struct str recipient,
		    struct resolution *ret)
{
	struct walk w = { .r = r, .arena = a, .address = recipient };
	struct resolution res = { .class = CLASS_OTHER };
	int found = find_domain(&w, &res);

	if (found < 0)
		return found;
	if (!domain_is_valid(w.domain)) {
		set_error(&res, STR("5.1.3 bad address syntax"));
		*ret = res;
		return 0;
	}
	res.is_routed = has_routing_left(res.recipient);
	found = route_by_class(&w, sender, &res);
	if (found >= 0 && res.class != CLASS_VIRTUAL_ALIAS)
		found = apply_transport_maps(r, a, w.domain, &res);
	if (found >= 0)
		found = check_relocated(&w, &res);
	if (found < 0)
		return found;
	if (has_bad_syntax(&w, res.recipient))
		set_error(&res, STR("5.1.3 bad address syntax"));
	if (res.transport.len == 0)
		return cannot_tell(r, -EINVAL, "no transport for %.*s", PSTR(res.recipient));
	*ret = res;
	return 0;
}

bool address_is_malformed(struct route *r, struct arena *a, struct str address)
{
	struct walk w = { .r = r, .arena = a };
	struct resolution res = { .class = CLASS_OTHER };
	struct str local, domain;

	if (address_split(address, &local, &domain) && domain_is_valid(domain) && !has_routing_left(address)
	    && local.len > 0 && local.at[0] != '-')
		return false;
	w.address = rewrite_address(r, a, address, true);
	return find_domain(&w, &res) >= 0 && has_bad_syntax(&w, res.recipient);
}
