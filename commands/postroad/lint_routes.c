/* SPDX-License-Identifier: ISC */
/*
 * Loops: every setting that names a next hop is looked at for one that is this machine, by name, by
 * address, or as a listener of master.cf. Domains in two classes. Names are compared and not asked
 * of the DNS: lint works without a network.
 */
#include <errno.h>

#include "commands/postroad/lint.h"
#include "lib/base/map.h"
#include "lib/mail/mail_address.h"
#include "lib/table/listing.h"

/* A domain has one class: which of two lists counts is a matter of order, and seldom what was meant. */
static void lint_classes(struct lint *l)
{
	static const char *const lists[] = { "mydestination", "virtual_alias_domains",
					     "virtual_mailbox_domains", "relay_domains" };
	struct map *first = map_new();
	struct str value, word;

	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		if (!conf_get(l->conf, l->arena, str_of(lists[i]), &value))
			continue;
		while (str_token(&value, ", \t\r\n", &word)) {
			const char *other;

			if (str_find_any(word, ":/!") >= 0)
				continue;
			other = map_put(first, arena_lower(l->arena, word), (void *) (uintptr_t) lists[i]);
			if (other != NULL && other != lists[i] && i < 3)
				lint_say(l, false, "%s: domain %.*s is in %s too, and only one of them can count (mend: leave it in one)",
					 lint_place(l, str_of(lists[i])), PSTR(word), other);
		}
	}
	map_free(first, NULL);
}

/* ---- which next hop is ourselves ---- */

struct hop {
	struct str host;		/* without brackets */
	uint16_t port;
	struct address_ip ip;
	bool has_ip;
};

/* "[host]:port", "host:port", "host"; false: something else, as a socket of this machine. */
static bool hop_parse(struct str nexthop, uint16_t usual_port, struct hop *ret)
{
	struct str port;

	*ret = (struct hop){ .port = usual_port };
	if (str_starts(nexthop, STR("inet:")))
		nexthop = str_skip(nexthop, 5);
	if (nexthop.len == 0 || str_find(nexthop, '/') >= 0
	    || host_port_split(nexthop, &ret->host, &port) < 0)
		return false;
	if (port.len > 0 && port_parse(port, &ret->port) < 0)
		return false;
	if (str_starts_nocase(ret->host, STR("localhost")) && (ret->host.len == 9 || ret->host.at[9] == '.'))
		ret->host = STR("127.0.0.1");
	ret->has_ip = ip_parse(ret->host, &ret->ip) == 0;
	return ret->host.len > 0;
}

/* Something that mail can be sent to: [host] or a domain, with or without a port; a socket for LMTP. */
static bool is_hop(struct str nexthop, bool by_lmtp)
{
	struct hop h;
	int64_t number;

	if (by_lmtp && str_starts(nexthop, STR("unix:")))
		return nexthop.len > 5;
	return hop_parse(nexthop, 25, &h)
	       && (h.has_ip || (hostname_is_valid(h.host, true)
				&& str_to_int(h.host, 0, INT64_MAX, &number) < 0));
}

static bool is_ourselves(struct lint *l, const struct hop *h)
{
	if (h->has_ip)
		return is_own_address(l->route, &h->ip);
	return str_is_nocase(h->host, str_of(l->work->world.common.myhostname));
}

/* Does the listener of a row, "[host:]port", take connections to it? */
static bool listens_at(struct lint *l, const struct service_entry *s, const struct hop *h)
{
	struct str host, port_text;
	struct hop at;
	uint16_t port;

	if (host_port_split(s->name, &host, &port_text) < 0 || port_text.len == 0)
		return port_parse(s->name, &port) == 0 && port == h->port && is_ourselves(l, h);
	if (port_parse(port_text, &port) < 0 || port != h->port)
		return false;
	if (host.len == 0 || str_is(host, STR("0.0.0.0")) || str_is(host, STR("::")))
		return is_ourselves(l, h);
	return hop_parse(s->name, 0, &at) && str_is_nocase(at.host, h->host);
}

/* The service of ours that takes mail there, or NULL. */
static const struct service_entry *listener_at(struct lint *l, const struct hop *h)
{
	for (size_t i = 0; i < l->table.count; i++) {
		const struct service_entry *s = &l->table.services[i];

		if (s->type == SERVICE_INET && (str_is(s->command, STR("smtpd"))
						|| str_is(s->command, STR("postscreen")))
						&& listens_at(l, s, h))
			return s;
	}
	return NULL;
}

/* The program that delivers for a transport; empty: master.cf has no such service. */
static struct str program_of(const struct lint *l, struct str transport)
{
	for (size_t i = 0; i < l->table.count; i++)
		if (l->table.services[i].type == SERVICE_UNIX && str_is(l->table.services[i].name, transport))
			return l->table.services[i].command;
	return STR_NONE;
}

/* ---- where it would come back ---- */

struct arrival {
	bool is_ours;
	const struct service_entry *service;	/* that takes it; NULL: none of these */
};

/* Another port may be another server. */
static struct arrival arrival_of(struct lint *l, struct str transport, struct str nexthop)
{
	const struct str program = program_of(l, transport);
	const bool by_lmtp = str_is(program, STR("lmtp"));
	struct arrival found = { 0 };
	struct str one;
	struct hop h;

	if (!by_lmtp && !str_is(program, STR("smtp")))
		return found;
	while (!found.is_ours && str_token(&nexthop, ", \t\r\n", &one)) {
		if (!hop_parse(one, by_lmtp ? 24 : 25, &h))
			continue;
		found.service = listener_at(l, &h);
		found.is_ours = found.service != NULL || (h.port == 25 && is_ourselves(l, &h));
	}
	return found;
}

static const char *name_of(struct lint *l, const struct arrival *a)
{
	if (a->service == NULL)
		return "this machine";
	return arena_fmt(l->arena, "this system's own service %.*s (master.cf, line %d)",
			 PSTR(a->service->name), a->service->line).at;
}

static void lint_syntax(struct lint *l, const char *place, struct str transport, struct str nexthop)
{
	const struct str program = program_of(l, transport);
	const bool by_lmtp = str_is(program, STR("lmtp"));
	struct str one;

	if (by_lmtp || str_is(program, STR("smtp")))
		while (str_token(&nexthop, ", \t\r\n", &one))
			if (!is_hop(one, by_lmtp))
				lint_say(l, true, "%s: \"%.*s\" is no next hop: a host, [host] or either with :port%s",
					 place, PSTR(one), by_lmtp ? ", or unix:path" : "");
}

void lint_way(struct lint *l, const char *place, struct str address)
{
	struct resolution to;
	struct arrival a;

	if (map_put(l->seen, arena_fmt(l->arena, "way %.*s", PSTR(address)), l) != NULL)
		return;
	if (resolve_address(l->route, l->arena, STR("postmaster"), address, &to) < 0) {
		lint_say(l, true, "%s: cannot find a way for %.*s: %s", place, PSTR(address),
			 route_why(l->route));
		return;
	}
	if (to.is_error)
		return;
	if (l->table.count > 0 && !master_cf_has(&l->table, to.transport))
		lint_say(l, true, "%s: mail for %.*s goes to service %.*s, which master.cf does not have",
			 place, PSTR(address), PSTR(to.transport));
	lint_syntax(l, place, to.transport, to.nexthop);
	a = arrival_of(l, to.transport, to.nexthop);
	if (a.is_ours)
		lint_say(l, true, "%s: mail for %.*s goes to %.*s, which is %s: it would come back for ever (mend: another next hop, or the domain in mydestination)",
			 place, PSTR(address),
			 PSTR(to.nexthop), name_of(l, &a));
}

/* A list that takes every domain for ours, as a table that has every key: then nothing leaves. */
static void lint_taking_all(struct lint *l)
{
	static const struct { enum address_class class; const char *parameter; } lists[] = {
		{ CLASS_LOCAL, "mydestination" }, { CLASS_VIRTUAL_ALIAS, "virtual_alias_domains" },
		{ CLASS_VIRTUAL_MAILBOX, "virtual_mailbox_domains" },
		{ CLASS_RELAY, "relay_domains" },
	};
	const int class = domain_class(l->route, l->arena, STR("not-here.invalid"));

	for (size_t i = 0; i < COUNT_OF(lists); i++)
		if (class == (int) lists[i].class)
			lint_say(l, true, "%s: not-here.invalid is in it, and so is every domain (mend: name the domains)",
				 lint_place(l, str_of(lists[i].parameter)));
}

/* What can be no domain or network, as quotes are none of main.cf's, and is never found. */
static void lint_odd_words(struct lint *l)
{
	static const char *const lists[] = { "mydestination", "virtual_alias_domains", "virtual_mailbox_domains",
					     "relay_domains", "mynetworks" };
	struct str value, word;
	struct address_ip ip;

	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		if (!conf_get(l->conf, l->arena, str_of(lists[i]), &value))
			continue;
		while (str_token_braced(&value, ", \t\r\n", &word) > 0)
			if (str_find_any(word, ":/") < 0
			    && (str_find_any(word, "\"';@*") >= 0
				|| (i + 1 == COUNT_OF(lists) && is_digit(word.at[0])
				    && ip_parse(word, &ip) < 0)))
				lint_say(l, false, "%s: \"%.*s\" is no %s, and nothing is found under it (mend: %s)",
					 lint_place(l, str_of(lists[i])), PSTR(word),
					 i + 1 == COUNT_OF(lists) ? "address or network" : "domain",
					 i + 1 == COUNT_OF(lists) ? "192.0.2.0/24" : "the bare name");
	}
}

static void lint_origin(struct lint *l)
{
	const char *origin = l->work->world.common.myorigin;

	if (origin[0] != '/' && str_find_any(str_of(origin), "@\"'; \t") >= 0)
		lint_say(l, true, "%s: \"%s\" is no domain, and stands behind the @ of each address that has none (mend: the bare name)",
			 lint_place(l, STR("myorigin")), origin);
}

/* relay_domains = com: and with parent_domain_matches_subdomains all below. */
static void lint_top_level(struct lint *l)
{
	struct str value, word;

	if (!conf_get(l->conf, l->arena, STR("relay_domains"), &value))
		return;
	while (str_token_braced(&value, ", \t\r\n", &word) > 0)
		if (str_find_any(word, ".:/!*\"';@") < 0 && !str_starts(word, STR("local"))
		    && !str_is_nocase(word, str_of(l->work->world.common.myhostname)))
			lint_say(l, false, "%s: \"%.*s\" is a top-level domain: mail for all domains below it may be relayed",
				 lint_place(l, STR("relay_domains")), PSTR(word));
}

static void lint_ways(struct lint *l)
{
	static const char *const lists[] = { "mydestination", "virtual_mailbox_domains", "relay_domains" };
	struct str value = STR_NONE, word;

	conf_get(l->conf, l->arena, STR("relayhost"), &value);
	/* hosts, and not "smtp:[host]", which transports have and this has not */
	lint_syntax(l, lint_place(l, STR("relayhost")), STR("smtp"), value);
	lint_way(l, lint_place(l, value.len > 0 ? STR("relayhost") : STR("default_transport")),
		 STR("someone@not-here.invalid"));
	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		if (!conf_get(l->conf, l->arena, str_of(lists[i]), &value))
			continue;
		while (str_token_braced(&value, ", \t\r\n", &word) > 0)
			if (str_find_any(word, ":/!$") < 0)
				lint_way(l, lint_place(l, str_of(lists[i])),
					 arena_fmt(l->arena, "postmaster@%.*s", PSTR(word)));
	}
}

static void lint_hop(struct lint *l, const char *place, struct str transport, struct str nexthop)
{
	struct arrival a = arrival_of(l, transport, nexthop);

	lint_syntax(l, place, transport, nexthop);
	if (a.is_ours)
		lint_say(l, true, "%s: %.*s is %s: the mail would come back for ever (mend: another next hop)",
			 place, PSTR(nexthop), name_of(l, &a));
}

/* "transport:nexthop", either of which may be missing. What local hands to local comes back at once. */
static void lint_destination(struct lint *l, const char *place, struct str destination, bool by_local)
{
	struct str nexthop = destination, transport;

	str_cut(&nexthop, ':', &transport);
	if (by_local && str_is(program_of(l, transport), STR("local")))
		lint_say(l, true, "%s: %.*s is local delivery again, for ever (mend: another transport)",
			 place, PSTR(destination));
	lint_hop(l, place, transport, nexthop);
}

static void lint_destinations(struct lint *l)
{
	static const struct { const char *name; bool by_local; } parameters[] = {
		{ "local_transport", false }, { "virtual_transport", false },
		{ "relay_transport", false }, { "default_transport", false },
		{ "mailbox_transport", true },
		{ "fallback_transport", true },
	};
	struct str value;

	for (size_t i = 0; i < COUNT_OF(parameters); i++)
		if (conf_get(l->conf, l->arena, str_of(parameters[i].name), &value) && value.len > 0)
			lint_destination(l, lint_place(l, str_of(parameters[i].name)), value,
					 parameters[i].by_local);
	if (conf_get(l->conf, l->arena, STR("smtp_fallback_relay"), &value))
		lint_hop(l, lint_place(l, STR("smtp_fallback_relay")), STR("smtp"), value);
}

/* ---- tables of next hops ---- */

struct hops {
	struct lint *lint;
	const char *place;
	bool hosts_only;		/* the values have no transport */
	bool by_local;
};

static void try_hop(void *arg, const struct table_entry *e)
{
	const struct hops *h = arg;
	const char *place = e->path == NULL ? h->place : arena_fmt(h->lint->arena, "%s, line %d: %.*s",
								   e->path, e->line, PSTR(e->key)).at;
	struct str rest = e->value, transport;

	if (h->hosts_only) {
		lint_hop(h->lint, place, STR("smtp"), e->value);
		return;
	}
	if (str_cut(&rest, ':', &transport) && transport.len > 0
	    && !master_cf_has(&h->lint->table, transport))
		lint_say(h->lint, true, "%s: master.cf has no service \"%.*s\"", place, PSTR(transport));
	lint_destination(h->lint, place, e->value, h->by_local);
}

/* FILTER transport:destination, of access tables and header checks. */
static void try_action(void *arg, const struct table_entry *e)
{
	struct table_entry filter = *e;
	struct str word;

	if (!str_token(&filter.value, " \t", &word) || !str_is_nocase(word, STR("FILTER")))
		return;
	filter.value = str_trim(filter.value);
	try_hop(arg, &filter);
}

static void lint_maps(struct lint *l)
{
	static const struct {
		const char *name;
		bool hosts_only, by_local;
		void (*each)(void *arg, const struct table_entry *e);
	} maps[] = {
		{ "sender_dependent_relayhost_maps", true, false, try_hop },
		{ "sender_dependent_default_transport_maps", false, false, try_hop },
		{ "mailbox_transport_maps", false, true, try_hop },
		{ "fallback_transport_maps", false, true, try_hop },
		{ "header_checks", false, false, try_action },
		{ "mime_header_checks", false, false, try_action },
		{ "nested_header_checks", false, false, try_action },
		{ "body_checks", false, false, try_action },
		{ "smtpd_client_restrictions", false, false, try_action },
		{ "smtpd_helo_restrictions", false, false, try_action },
		{ "smtpd_sender_restrictions", false, false, try_action },
		{ "smtpd_relay_restrictions", false, false, try_action },
		{ "smtpd_recipient_restrictions", false, false, try_action },
	};
	struct str value, spec;

	for (size_t i = 0; i < COUNT_OF(maps); i++) {
		struct hops h = { .lint = l, .place = lint_place(l, str_of(maps[i].name)),
				  .hosts_only = maps[i].hosts_only, .by_local = maps[i].by_local };
		const char *file;
		int line;

		/* Defaults name no table of their own. */
		if (!conf_where(l->conf, str_of(maps[i].name), &file, &line)
		    || !conf_get(l->conf, l->arena, str_of(maps[i].name), &value))
			continue;
		while (str_token_braced(&value, ", \t\r\n", &spec) > 0)
			table_each_entry(spec, maps[i].each, &h);
	}
}

/* ---- the content filter ---- */

/* The value that a service has of it: its last -o, or main.cf's. */
static struct str filter_of(struct lint *l, const struct service_entry *s)
{
	AUTO(buf) why = BUF_WORDS;
	struct str assignment, name, value, filter = STR_NONE;

	conf_get(l->conf, l->arena, STR("content_filter"), &filter);
	for (size_t at = 0; service_override(s, &at, &assignment);)
		if (conf_split_assignment(assignment, &name, &value, &why) >= 0
		    && str_is(name, STR("content_filter"))
		    && conf_expand(l->conf, l->arena, value, &filter, &why) < 0)
			filter = value;
	return filter;
}

static bool takes_mail(const struct service_entry *s)
{
	return str_is(s->command, STR("smtpd")) || str_is(s->command, STR("pickup"))
	       || str_is(s->command, STR("qmqpd"));
}

/* Is the filter on this machine, from where it gives mail back to us? */
static bool filter_is_here(struct lint *l, struct str filter)
{
	struct str nexthop = filter, transport;
	struct hop h;

	str_cut(&nexthop, ':', &transport);
	if (!str_is(program_of(l, transport), STR("smtp")) && !str_is(program_of(l, transport), STR("lmtp")))
		return str_is(program_of(l, transport), STR("pipe"));
	return hop_parse(nexthop, 25, &h) && (is_ourselves(l, &h) || str_starts(h.host, STR("127."))
					      || str_is(h.host, STR("::1")));
}

static void lint_filter(struct lint *l)
{
	struct str filter = STR_NONE, nexthop, transport;
	struct arrival a;
	bool some_without = false;

	for (size_t i = 0; i < l->table.count; i++) {
		const struct service_entry *s = &l->table.services[i];

		if (!takes_mail(s))
			continue;
		nexthop = filter_of(l, s);
		some_without |= nexthop.len == 0;
		str_cut(&nexthop, ':', &transport);
		a = arrival_of(l, transport, nexthop);
		if (a.service != NULL && filter_of(l, a.service).len > 0)
			lint_say(l, true, "%s/master.cf, line %d: service %.*s: its content_filter is %s, which has one too: the mail would go round for ever (mend: -o content_filter= there)",
				 conf_dir(l->conf), s->line, PSTR(s->name), name_of(l, &a));
	}
	conf_get(l->conf, l->arena, STR("content_filter"), &filter);
	if (filter.len > 0 && !some_without && filter_is_here(l, filter))
		lint_say(l, false, "%s: every service that takes mail sends it to the filter, also what comes back from there (mend: -o content_filter= for the service that the filter gives it to)",
			 lint_place(l, STR("content_filter")));
}

void lint_routes(struct lint *l)
{
	lint_classes(l);
	lint_taking_all(l);
	lint_odd_words(l);
	lint_origin(l);
	lint_top_level(l);
	lint_ways(l);
	lint_destinations(l);
	lint_maps(l);
	lint_filter(l);
}
