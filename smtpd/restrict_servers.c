/* SPDX-License-Identifier: ISC */
/*
 * check_*_a_access, check_*_mx_access, check_*_ns_access: an access(5) table asked about the hosts
 * that a domain names in DNS, by name and by address. Spammers' domains are many, and their servers
 * few.
 *
 * What must stay true: a stranger chooses these names, so they can refuse and never permit. A
 * server that DNS knows nothing of now is passed over, with a warning: such lists are about those
 * that are found.
 */
#include "lib/dns/dns.h"
#include "lib/log/log.h"
#include "lib/mail/mail_address.h"
#include "smtpd/access_search.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/session.h"

enum {
	MOST_SERVERS = 100,
	/* for the thousands of addresses that one may have, and as many lookups */
	SERVER_MEMORY = 4 << 20,
};

struct servers {
	struct str at[MOST_SERVERS];
	size_t len;
};

static void add_server(struct servers *s, struct str name)
{
	if (name.len > 0 && s->len < MOST_SERVERS)
		s->at[s->len++] = name;
}

static bool is_missing(const struct dns_answer *answer)
{
	return answer->status == DNS_NO_DOMAIN || answer->status == DNS_NO_DATA;
}

static void warn_of_dns(const char *type, struct str name, const struct dns_answer *answer)
{
	log_warning("unable to look up %s host for %.*s: %.*s", type, PSTR(name),
		    PSTR(answer->why.len > 0 ? answer->why : str_of(dns_status_text(answer->status))));
}

/* Without a mail exchanger the domain is its own. */
static void find_exchangers(struct arena *a, struct str domain, struct servers *ret)
{
	struct dns_answer answer;

	dns_query(a, domain, DNS_MX, &answer);
	if (is_missing(&answer))
		add_server(ret, domain);
	else if (answer.status != DNS_OK)
		warn_of_dns("MX", domain, &answer);
	for (size_t i = 0; answer.status == DNS_OK && i < answer.count; i++)
		add_server(ret, answer.records[i].mx.host);
}

/* A host has the name servers of the zone that it is in; a domain of one label is nobody's. */
static void find_name_servers(struct arena *a, struct str domain, struct servers *ret)
{
	struct dns_answer answer;
	ssize_t dot;

	for (;;) {
		dns_query(a, domain, DNS_NS, &answer);
		dot = str_find(domain, '.');
		if (!is_missing(&answer) || dot < 0 || str_find(str_skip(domain, (size_t) dot + 1), '.') < 0)
			break;
		domain = str_skip(domain, (size_t) dot + 1);
	}
	if (answer.status != DNS_OK)
		warn_of_dns("NS", domain, &answer);
	for (size_t i = 0; answer.status == DNS_OK && i < answer.count; i++)
		add_server(ret, answer.records[i].name);
}

static void find_servers(struct arena *a, const char *restriction, struct str domain, struct servers *ret)
{
	if (str_ends(str_of(restriction), STR("_mx_access")))
		find_exchangers(a, domain, ret);
	else if (str_ends(str_of(restriction), STR("_ns_access")))
		find_name_servers(a, domain, ret);
	else
		add_server(ret, domain);
}

static void search_addresses(struct search *f, struct arena *a, struct str name)
{
	struct dns_answer answer;

	dns_addresses(a, name, &answer);
	if (answer.status != DNS_OK)
		warn_of_dns("address of", name, &answer);
	for (size_t i = 0; answer.status == DNS_OK && i < answer.count && !f->ended; i++)
		search_address(f, ip_text(a, &answer.records[i].ip));
}

/*
 * The stranger decides how many addresses there are: what they take is given back before the next
 * server's turn.
 */
static void search_server(struct search *f, struct str name, bool by_name)
{
	if (by_name)
		search_host(f, name, true);
	if (f->ended)
		return;
	f->arena = arena_new("addresses of a server", NULL, SERVER_MEMORY);
	search_addresses(f, f->arena, name);
	arena_free(f->arena);
	f->arena = f->q->arena;
}

/* An address literal is its own mail exchanger, and in no zone that has name servers. */
static struct verdict check_servers(struct question *q, const struct rule *r, struct str domain,
				    struct str subject, const char *class)
{
	struct search f = search_begin(q, r, subject, class);
	struct servers servers = { .len = 0 };
	struct address_ip ip;
	/* who asks about the host that the client names itself (_a_access) wants to know of its addresses */
	bool is_about_host = str_ends(str_of(r->row->name), STR("_a_access"));
	bool is_literal = domain.len > 2 && domain.at[0] == '[' && domain.at[domain.len - 1] == ']';

	if (is_literal && !str_ends(str_of(r->row->name), STR("_ns_access"))
	    && ip_parse_literal(str_make(domain.at + 1, domain.len - 2), &ip) >= 0)
		search_address(&f, ip_text(q->arena, &ip));
	else if (!is_literal && domain.len > 0)
		find_servers(q->arena, r->row->name, domain, &servers);
	for (size_t i = 0; i < servers.len && !f.ended; i++)
		search_server(&f, servers.at[i], !is_about_host);
	return search_end_without_permission(&f);
}

struct verdict ask_client_servers(struct question *q, const struct rule *r)
{
	const struct peer *p = &q->s->peer;

	if (str_is_nocase(buf_str(&p->name), STR("unknown")))
		return dunno();
	return check_servers(q, r, buf_str(&p->name), buf_str(&p->shown), "Client host");
}

struct verdict ask_reverse_name_servers(struct question *q, const struct rule *r)
{
	struct str name = buf_str(&q->s->peer.reverse_name);

	if (str_is_nocase(name, STR("unknown")))
		return dunno();
	return check_servers(q, r, name, name, "Unverified Client host");
}

struct verdict ask_helo_servers(struct question *q, const struct rule *r)
{
	struct str helo = buf_str(&q->s->helo);

	return check_servers(q, r, helo, helo, "Helo command");
}

static struct verdict check_domain(struct question *q, const struct rule *r, struct str address,
				   const char *class)
{
	struct str local, domain;

	if (!address_split(address, &local, &domain))
		return dunno();
	return check_servers(q, r, domain, address, class);
}

struct verdict ask_sender_servers(struct question *q, const struct rule *r)
{
	return check_domain(q, r, q->sender, "Sender address");
}

struct verdict ask_recipient_servers(struct question *q, const struct rule *r)
{
	return check_domain(q, r, q->recipient, "Recipient address");
}
