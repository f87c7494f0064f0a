/* SPDX-License-Identifier: ISC */
/*
 * DNS lists of addresses (reject_rbl_client) and of domains (reject_rhsbl_*): an A record says
 * "listed", its value may be filtered, a TXT record gives the reason. A list that cannot be asked
 * lists nobody.
 *
 * The lists that permit (permit_dnswl_client, permit_rhswl_client) are others' too. What must stay
 * true: they spare a client other refusals, and never let it relay.
 */
#include <errno.h>

#include "lib/dns/dns.h"
#include "lib/log/log.h"
#include "lib/mail/mail_address.h"
#include "smtpd/rbl_reply.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

enum { MOST_REASON = 500 };

struct byte_set { uint32_t bits[8]; };
struct dns_list {
	struct str domain;
	bool filtered;
	struct byte_set fields[4];	/* which values of an answer count */
};

/* ---- "example.org=127.0.0.[2..11;100]" ---- */

static int parse_byte(struct str text, unsigned *ret)
{
	int64_t number;

	if (str_to_int(text, 0, 255, &number) < 0)
		return -EINVAL;
	*ret = (unsigned) number;
	return 0;
}

static int add_range(struct byte_set *set, struct str text)
{
	ssize_t dots = str_find_str(text, STR(".."));
	unsigned first, last;

	if (parse_byte(dots < 0 ? text : str_head(text, (size_t) dots), &first) < 0 ||
	    parse_byte(dots < 0 ? text : str_skip(text, (size_t) dots + 2), &last) < 0 || first > last)
		return -EINVAL;
	for (unsigned i = first; i <= last; i++)
		set->bits[i / 32] |= 1u << (i % 32);
	return 0;
}

/* "7", "[1;3]", "[2..11]": takes it off *text. */
static int parse_field(struct str *text, struct byte_set *set)
{
	struct str inside, one;
	bool more;

	if (!str_starts(*text, STR("["))) {
		size_t n = 0;

		while (n < text->len && is_digit(text->at[n]))
			n++;
		one = str_head(*text, n);
		*text = str_skip(*text, n);
		return add_range(set, one);
	}
	*text = str_skip(*text, 1);
	if (!str_cut(text, ']', &inside))
		return -EINVAL;
	do {
		more = str_cut(&inside, ';', &one);
		if (add_range(set, one) < 0)
			return -EINVAL;
	} while (more);
	return 0;
}

static int parse_filter(struct str text, struct dns_list *l)
{
	for (size_t i = 0; i < COUNT_OF(l->fields); i++) {
		if (i > 0) {
			if (!str_starts(text, STR(".")))
				return -EINVAL;
			text = str_skip(text, 1);
		}
		if (parse_field(&text, &l->fields[i]) < 0)
			return -EINVAL;
	}
	l->filtered = true;
	return text.len == 0 ? 0 : -EINVAL;
}

int dns_list_parse(struct arena *a, struct str text, struct dns_list **ret)
{
	struct dns_list *l = ARENA_NEW(a, struct dns_list);
	struct str filter = text, domain;
	bool filtered = str_cut(&filter, '=', &domain);

	if (!hostname_is_valid(domain, false) || (filtered && parse_filter(filter, l) < 0))
		return -EINVAL;
	l->domain = arena_copy(a, domain);
	*ret = l;
	return 0;
}

/* ---- asking ---- */

static bool passes(const struct dns_list *l, const struct address_ip *ip)
{
	if (!l->filtered)
		return true;
	if (ip->family != AF_INET)
		return false;
	for (size_t i = 0; i < COUNT_OF(l->fields); i++)
		if ((l->fields[i].bits[ip->bytes[i] / 32] & 1u << (ip->bytes[i] % 32)) == 0)
			return false;
	return true;
}

/* 1 listed, 0 not, -EAGAIN: cannot tell. */
static int look_up(struct question *q, const struct dns_list *l, struct str name)
{
	struct dns_answer answer;

	dns_query(q->arena, name, DNS_A, &answer);
	if (answer.status == DNS_CANNOT_TELL || answer.status == DNS_BOGUS) {
		log_warning("%.*s: RBL lookup error: %.*s", PSTR(name),
			    PSTR(answer.why.len > 0 ? answer.why : str_of(dns_status_text(answer.status))));
		return -EAGAIN;
	}
	for (size_t i = 0; answer.status == DNS_OK && i < answer.count; i++)
		if (passes(l, &answer.records[i].ip))
			return 1;
	return 0;
}

/* Each TXT record says something; all that fits, as Postfix joins them. */
static struct str join_reasons(struct arena *a, const struct dns_answer *answer)
{
	AUTO(buf) reasons = BUF(MOST_REASON);

	for (size_t i = 0; i < answer->count; i++) {
		if (i > 0 && reasons.len + 3 < MOST_REASON)
			buf_add_text(&reasons, " / ");
		buf_add(&reasons, str_head(answer->records[i].text, MOST_REASON - reasons.len));
	}
	return arena_copy(a, buf_str(&reasons));
}

static struct verdict refuse_listed(struct question *q, const struct dns_list *l, struct str name,
				    struct str what, const char *class)
{
	struct rbl_hit hit = { .domain = l->domain, .reason = STR_NONE, .what = what, .class = class };
	struct dns_answer reason;

	dns_query(q->arena, name, DNS_TXT, &reason);
	if (reason.status == DNS_OK)
		hit.reason = join_reasons(q->arena, &reason);
	return rbl_reply(q, &hit);
}

/* "192.0.2.1" is looked up as 1.2.0.192.LIST, IPv6 nibble by nibble. */
static bool address_name(struct question *q, const struct dns_list *l, struct str *ret)
{
	const struct address_ip *ip = &q->s->peer.ip;
	AUTO(buf) name = BUF(300);

	if (ip->family == AF_INET)
		buf_addf(&name, "%u.%u.%u.%u.", ip->bytes[3], ip->bytes[2], ip->bytes[1], ip->bytes[0]);
	else if (ip->family == AF_INET6)
		for (int i = 15; i >= 0; i--)
			buf_addf(&name, "%x.%x.", ip->bytes[i] & 15u, ip->bytes[i] >> 4);
	else
		return false;
	if (buf_add(&name, l->domain) < 0)
		return false;
	*ret = arena_copy(q->arena, buf_str(&name));
	return true;
}

static bool domain_name(struct question *q, const struct dns_list *l, struct str domain, struct str *ret)
{
	if (!hostname_is_valid(domain, false) || str_is(domain, STR("unknown")))
		return false;
	*ret = arena_fmt(q->arena, "%.*s.%.*s", PSTR(domain), PSTR(l->domain));
	return ret->len <= 253;
}

static struct verdict reject_domain(struct question *q, const struct rule *r, struct str domain,
				    struct str what, const char *class)
{
	struct str name;

	if (!domain_name(q, r->dns_list, domain, &name) || look_up(q, r->dns_list, name) <= 0)
		return dunno();
	return refuse_listed(q, r->dns_list, name, what, class);
}

struct verdict ask_rbl_client(struct question *q, const struct rule *r)
{
	struct str name;

	if (!address_name(q, r->dns_list, &name) || look_up(q, r->dns_list, name) <= 0)
		return dunno();
	return refuse_listed(q, r->dns_list, name, str_of(q->s->peer.address), "Client host");
}

/* While the list cannot be asked, a refusal that it might have spared the client is for now only. */
static struct verdict permit_listed(struct question *q, const struct rule *r, struct str name, struct str what)
{
	struct verdict v = permit();
	int listed;

	if ((q->knows & KNOWS_RECIPIENT) != 0)
		v = ask_permit_auth_destination(q, r);
	if (v.act != PERMIT)
		return v;
	listed = look_up(q, r->dns_list, name);
	if (listed < 0 && q->instead.act != REJECT)
		q->instead = reject(q->arena, 450, STR("4.7.1"), "<%.*s>: Client host rejected: Service unavailable",
				    PSTR(what));
	return listed > 0 ? v : dunno();
}

struct verdict ask_dnswl_client(struct question *q, const struct rule *r)
{
	struct str name;

	return address_name(q, r->dns_list, &name) ? permit_listed(q, r, name, str_of(q->s->peer.address))
	       : dunno();
}

struct verdict ask_rhsbl_client(struct question *q, const struct rule *r)
{
	return reject_domain(q, r, buf_str(&q->s->peer.name), buf_str(&q->s->peer.name), "Client host");
}

struct verdict ask_rhsbl_reverse_client(struct question *q, const struct rule *r)
{
	return reject_domain(q, r, buf_str(&q->s->peer.reverse_name), buf_str(&q->s->peer.reverse_name),
			     "Unverified Client host");
}

struct verdict ask_rhswl_client(struct question *q, const struct rule *r)
{
	const struct str client = buf_str(&q->s->peer.name);
	struct str name;

	return domain_name(q, r->dns_list, client, &name) ? permit_listed(q, r, name, client) : dunno();
}

struct verdict ask_rhsbl_helo(struct question *q, const struct rule *r)
{
	return reject_domain(q, r, buf_str(&q->s->helo), buf_str(&q->s->helo), "Helo command");
}

static struct verdict reject_address_domain(struct question *q, const struct rule *r, struct str address,
					    const char *class)
{
	struct str local, domain;

	return address_split(address, &local, &domain) ? reject_domain(q, r, domain, address,
								       class) : dunno();
}

struct verdict ask_rhsbl_sender(struct question *q, const struct rule *r)
{
	return reject_address_domain(q, r, q->sender, "Sender address");
}

struct verdict ask_rhsbl_recipient(struct question *q, const struct rule *r)
{
	return reject_address_domain(q, r, q->recipient, "Recipient address");
}
