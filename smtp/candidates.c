/* SPDX-License-Identifier: ISC */
/*
 * From a destination to addresses in the order of trying: mail exchangers by preference (RFC 5321
 * 5.1), null MX (RFC 7505), a domain's own address where there is no MX. When we are among the
 * exchangers ourselves, those of the same or a worse preference are left out: they would send the
 * mail back.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "lib/conf/own_addresses.h"
#include "lib/dns/dns.h"
#include "smtp/smtp.h"

enum { MOST_EXCHANGERS = 100, MOST_OF_ONE_HOST = 100 };

static uint32_t draw(uint32_t below)
{
	uint32_t n = 0;

	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		return 0;
	return n % below;
}

static bool is_listed(const struct own_addresses *list, const struct address_ip *ip)
{
	for (size_t i = 0; list != NULL && i < list->len; i++)
		if (ip_is_same(&list->at[i].ip, ip))
			return true;
	return false;
}

static bool is_own(const struct address_ip *ip)
{
	return is_listed(the_client.own, ip) || is_listed(the_client.proxied, ip);
}

/*
 * The hosts file may have this machine's name at an address that no interface names: 127.0.1.1 on
 * Debian.
 */
static bool is_us(const struct candidate *c)
{
	return is_own(&c->ip) || (ip_is_loopback(&c->ip) && str_is_nocase(c->host, the_client.hostname));
}

/* ---- what DNS says ---- */

static struct trouble dns_trouble(struct job *job, struct str name, const char *type,
				  const struct dns_answer *answer)
{
	bool gone = answer->status == DNS_NO_DOMAIN || answer->status == DNS_NO_DATA
		    || answer->status == DNS_BAD_NAME;

	return trouble_make(job, gone ? HARD : SOFT, !gone, gone ? "5.4.4" : "4.4.3", NULL,
			    "Host or domain name not found. Name service error for name=%.*s type=%s: %.*s",
			    PSTR(name), type,
			    PSTR(answer->why.len > 0
				 ? answer->why : str_of(dns_status_text(answer->status))));
}

/* Our own are never left out: mail must not come back to us because a host has very many others. */
static void add_addresses(struct job *job, struct candidates *list, struct str host, unsigned preference,
			  uint16_t port, const struct dns_answer *answer)
{
	for (size_t i = 0; i < answer->count; i++) {
		struct candidate c = { .host = host, .ip = answer->records[i].ip, .preference = preference,
				       .is_signed = answer->security == DNS_VALIDATED,
				       .canonical = answer->canonical };

		c.ip.port = port;
		if (i < MOST_OF_ONE_HOST || is_own(&c.ip))
			*vec_add(job->arena, list) = c;
	}
}

static bool find_host(struct job *job, const struct destination *to, struct candidates *list,
		      struct trouble *ret_why)
{
	struct dns_answer answer;
	struct address_ip ip;

	if (ip_parse_literal(to->host, &ip) == 0 || ip_parse(to->host, &ip) == 0) {
		ip.port = to->port;
		*vec_add(job->arena, list) = (struct candidate){ .host = ip_text(job->arena, &ip), .ip = ip };
		return true;
	}
	dns_addresses(job->arena, to->host, &answer);
	if (answer.status == DNS_OK && answer.count > 0) {
		add_addresses(job, list, to->host, 0, to->port, &answer);
		return true;
	}
	*ret_why = dns_trouble(job, to->host, "A", &answer);
	return false;
}

/* ---- mail exchangers ---- */

struct lookup {				/* of one exchanger's addresses; all run at once */
	struct arena *arena;
	struct str host;
	unsigned preference;
	struct dns_answer answer;
};

static void look_up(void *arg)
{
	struct lookup *l = arg;

	dns_addresses(l->arena, l->host, &l->answer);
}

static void look_up_all(struct lookup *lookups, size_t n)
{
	struct scope *scope = n > 1 ? scope_open("exchangers") : NULL;

	for (size_t i = 0; i < n; i++)
		if (i + 1 == n || scope_start(scope, "addresses of", look_up, &lookups[i]) < 0)
			look_up(&lookups[i]);
	if (scope != NULL)
		scope_wait(scope, NEVER);
	scope_close(scope);
}

/* No exchanger has an address: is that so for good? */
static struct trouble no_address(struct job *job, const struct destination *to,
				 const struct lookup *lookups, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (lookups[i].answer.status != DNS_NO_DOMAIN && lookups[i].answer.status != DNS_NO_DATA
		    && lookups[i].answer.status != DNS_BAD_NAME)
			return dns_trouble(job, lookups[i].host, "A", &lookups[i].answer);
	if (the_client.conf.smtp_defer_if_no_mx_address_found)
		return trouble_make(job, SOFT, true, "4.4.4", NULL,
				    "no MX host for %.*s has a valid address record", PSTR(to->host));
	return trouble_make(job, HARD, false, "5.4.4", NULL,
			    "no MX host for %.*s has a valid address record", PSTR(to->host));
}

static int compare_preferences(const void *a, const void *b)
{
	const struct lookup *one = a, *other = b;

	return (one->preference > other->preference) - (one->preference < other->preference);
}

static bool find_exchangers(struct job *job, const struct destination *to, const struct dns_answer *mx,
			    struct candidates *list, struct trouble *ret_why)
{
	struct lookup *lookups = arena_get(job->arena, (mx->count + 1) * sizeof(*lookups));
	size_t used = 0;

	for (size_t i = 0; i < mx->count; i++) {
		if (mx->records[i].mx.host.len == 0)
			continue;
		lookups[used] = (struct lookup){ .arena = job->arena, .host = mx->records[i].mx.host,
						 .preference = mx->records[i].mx.preference };
		list->best_named = used == 0 ? lookups[used].preference : MIN(list->best_named,
				lookups[used].preference);
		used++;
	}
	if (used == 0) {
		*ret_why = trouble_make(job, HARD, false, "5.1.0", NULL,
					"Domain %.*s does not accept mail (nullMX)", PSTR(to->host));
		return false;
	}
	if (used > MOST_EXCHANGERS) {
		qsort(lookups, used, sizeof(*lookups), compare_preferences);
		used = MOST_EXCHANGERS;
	}
	look_up_all(lookups, used);
	for (size_t i = 0; i < used; i++)
		if (lookups[i].answer.status == DNS_OK)
			add_addresses(job, list, lookups[i].host, lookups[i].preference, to->port,
				      &lookups[i].answer);
	for (size_t i = 0; i < list->len; i++) {
		list->at[i].by_mx = true;
		list->at[i].mx_is_signed = mx->security == DNS_VALIDATED;
		list->at[i].mx_canonical = mx->canonical;
	}
	if (list->len > 0)
		return true;
	*ret_why = no_address(job, to, lookups, used);
	return false;
}

static bool find_domain(struct job *job, const struct destination *to, struct candidates *list,
			struct trouble *ret_why)
{
	struct dns_answer mx;

	dns_query(job->arena, to->host, DNS_MX, &mx);
	if (mx.status == DNS_OK && mx.count > 0)
		return find_exchangers(job, to, &mx, list, ret_why);
	/*
	 * The domain is its own exchanger. That there is no such name is asked for once more:
	 * the hosts file has addresses only, and so have name servers that serve one.
	 */
	if (mx.status == DNS_NO_DATA || mx.status == DNS_NO_DOMAIN || mx.status == DNS_OK)
		return find_host(job, to, list, ret_why);
	*ret_why = dns_trouble(job, to->host, "MX", &mx);
	return false;
}

/* ---- order ---- */

/* The family that is wanted comes first. */
static unsigned family_rank(const struct candidate *c)
{
	int wanted = the_client.ipv4_first ? AF_INET : AF_INET6;

	return (the_client.ipv4_first || the_client.ipv6_first) && c->ip.family != wanted;
}

static int compare(const void *a, const void *b)
{
	const struct candidate *one = a, *other = b;
	const unsigned keys[][2] = { { one->preference, other->preference },
				     { family_rank(one), family_rank(other) }, { one->draw, other->draw } };

	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (keys[i][0] != keys[i][1])
			return keys[i][0] < keys[i][1] ? -1 : 1;
	return 0;
}

/* By preference and family; those that are alike by the luck of the draw, or as DNS has them. */
static void put_in_order(struct candidates *list)
{
	for (size_t i = 0; i < list->len; i++)
		list->at[i].draw = (unsigned) i;
	for (size_t i = list->len; i > 1 && the_client.conf.smtp_randomize_addresses; i--) {
		size_t j = draw((uint32_t) i);
		unsigned swap = list->at[i - 1].draw;

		list->at[i - 1].draw = list->at[j].draw;
		list->at[j].draw = swap;
	}
	qsort(list->at, list->len, sizeof(list->at[0]), compare);
}

/* Cuts at ourselves: false when nothing better than us is left. */
static bool cut_at_own(struct candidates *list)
{
	for (size_t i = 0; i < list->len; i++) {
		if (!is_us(&list->at[i]))
			continue;
		list->has_us = true;
		for (size_t j = 0; j < list->len; j++) {
			if (list->at[j].preference >= list->at[i].preference) {
				list->len = j;
				break;
			}
		}
		return list->len > 0;
	}
	return true;
}

/*
 * At most `limit`; if all of those are of one family, the best of the other take the places of the
 * last ones.
 */
static void limit_list(struct candidates *list, size_t limit)
{
	size_t next = limit, places = limit / 2;

	if (limit == 0 || list->len <= limit)
		return;
	if (the_client.conf.smtp_balance_inet_protocols && limit > 1) {
		for (size_t i = 1; i < limit; i++)
			if (list->at[i].ip.family != list->at[0].ip.family)
				places = 0;
		for (size_t at = limit - places; at < limit; at++) {
			while (next < list->len && list->at[next].ip.family == list->at[0].ip.family)
				next++;
			if (next == list->len)
				break;
			list->at[at] = list->at[next++];
		}
	}
	list->len = limit;
}

/*
 * Nobody better than us is left. Mail that we back up waits while the better ones cannot be looked
 * up: it goes round only if there are none.
 */
static struct trouble only_ourselves(struct job *job, const struct destination *to, bool knows_best)
{
	if (knows_best)
		return trouble_make(job, HARD, false, "5.4.6", NULL, "mail for %.*s loops back to myself",
				    PSTR(to->host));
	return trouble_make(job, SOFT, true, "4.4.4", NULL, "unable to find primary relay for %.*s",
			    PSTR(to->host));
}

static bool find_in_order(struct job *job, const struct destination *to, struct candidates *ret,
			  struct trouble *ret_why)
{
	bool knows_best;

	if (!(to->use_mx ? find_domain(job, to, ret, ret_why) : find_host(job, to, ret, ret_why)))
		return false;
	put_in_order(ret);
	knows_best = ret->at[0].preference == ret->best_named;
	if (to->detect_loops && !cut_at_own(ret)) {
		*ret_why = only_ourselves(job, to, knows_best);
		return false;
	}
	for (size_t i = 0; i < ret->len; i++) {
		ret->at[i].is_best = ret->at[i].preference == ret->at[0].preference;
		ret->at[i].is_backup = ret->at[i].preference != ret->best_named;
	}
	limit_list(ret, (size_t) the_client.conf.smtp_mx_address_limit);
	return true;
}

bool candidates_find(struct job *job, const struct destination *to, struct candidates *ret,
		     struct trouble *ret_why)
{
	if (find_in_order(job, to, ret, ret_why))
		return true;
	/* a slip in main.cf, or a name server of our own that has lost a zone: no reason to return all mail */
	if (ret_why->kind == HARD && to->named_by != NULL) {
		log_warning_rarely(60, "%s configuration problem: %.*s", to->named_by, PSTR(ret_why->text));
		ret_why->kind = SOFT;
		ret_why->site = true;
		ret_why->dsn = "4.3.5";
	}
	return false;
}
