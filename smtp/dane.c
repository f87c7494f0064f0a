/* SPDX-License-Identifier: ISC */
/*
 * The levels dane and dane-only for one host (RFC 7672 2.2): are there TLSA records that DNSSEC
 * vouches for, and what follows. Validation is the resolver service's, whatever the host's resolver
 * does.
 *
 *                             dane                        dane-only
 *   names not signed          may                         the mail waits
 *   no records                may                         the mail waits
 *   cannot tell, or bogus     the mail waits              the mail waits
 *   none that can be used     encrypt                     the mail waits
 *   records                   one of them must fit        one of them must fit
 *
 * A domain whose MX records are not signed, while its hosts are: smtp_tls_dane_insecure_mx_policy
 * says, but dane-only never has it.
 */
#include "lib/base/die.h"
#include "lib/dns/dns.h"
#include "smtp/policy_sources.h"
#include "smtp/smtp.h"

enum { MOST_RECORDS = 100 };		/* of one host; more are not looked at */

enum found { RECORDS, NO_RECORDS, CANNOT_TELL };

static void refuse(struct tls_policy *p, struct str why)
{
	p->refused_dsn = "4.7.5";
	p->refused = why;
}

/* DANE is not to be had here: what it comes to. Told once, as `what`. */
static void do_without(struct job *job, struct tls_policy *p, const struct candidate *at,
		       enum tls_level instead, enum tls_outcome what, const char *why)
{
	if (p->level == TLS_DANE_ONLY) {
		refuse(p, arena_fmt(job->arena, "DANE is required, but %s for host %.*s", why,
				    PSTR(at->host)));
		tls_told(job, p, at->host, &at->ip, what, p->refused);
		return;
	}
	p->level = instead;
}

/* ---- the question ---- */

static enum found ask(struct job *job, struct str base, uint16_t port, struct dns_answer *ret)
{
	dns_query(job->arena, arena_fmt(job->arena, "_%u._tcp.%.*s", port, PSTR(base)), DNS_TLSA, ret);
	if (ret->status == DNS_CANNOT_TELL || ret->status == DNS_BOGUS)
		return CANNOT_TELL;
	return ret->status == DNS_OK && ret->security == DNS_VALIDATED ? RECORDS : NO_RECORDS;
}

/* An alias that is signed itself, though what it leads to is not, may have records of its own. */
static enum found is_signed_alias(struct job *job, const struct candidate *at)
{
	struct dns_answer alias;

	dns_query(job->arena, at->host, DNS_CNAME, &alias);
	if (alias.status == DNS_CANNOT_TELL || alias.status == DNS_BOGUS)
		return CANNOT_TELL;
	return alias.status == DNS_OK && alias.security == DNS_VALIDATED ? RECORDS : NO_RECORDS;
}

/*
 * First under the name at the end of the chain of aliases, then under the host's own (RFC 7672
 * 2.2.2). *ret_base: the one that has them.
 */
static enum found find_records(struct job *job, const struct candidate *at, struct dns_answer *ret,
			       struct str *ret_base)
{
	bool is_alias = at->canonical.len > 0 && !str_is_nocase(at->canonical, at->host);
	enum found found;

	if (at->is_signed && is_alias) {
		*ret_base = at->canonical;
		found = ask(job, at->canonical, at->ip.port, ret);
		if (found != NO_RECORDS)
			return found;
	}
	*ret_base = at->host;
	if (!at->is_signed && !the_client.conf.smtp_tls_force_insecure_host_tlsa_lookup) {
		found = is_alias ? is_signed_alias(job, at) : NO_RECORDS;
		if (found != RECORDS)
			return found;
	}
	return ask(job, at->host, at->ip.port, ret);
}

/* ---- what follows ---- */

static size_t take_records(struct job *job, const struct dns_answer *answer, struct tls_tlsa **ret)
{
	size_t n = MIN(answer->count, (size_t) MOST_RECORDS);

	*ret = arena_get(job->arena, (n + 1) * sizeof(**ret));
	for (size_t i = 0; i < n; i++) {
		const struct dns_tlsa *t = &answer->records[i].tlsa;

		(*ret)[i] = (struct tls_tlsa){ t->usage, t->selector, t->matching, t->data };
	}
	return tls_usable(*ret, n);
}

/*
 * A certificate that an issuer vouches for may be for the host, or for the domain that the mail is
 * for (RFC 7672 3.2.2).
 */
static struct str names_for_issuers(struct job *job, const struct tls_policy *p, const struct candidate *at,
				    struct str base)
{
	if (!at->by_mx)
		return base;
	return arena_fmt(job->arena, "%.*s:%.*s:%.*s", PSTR(base), PSTR(p->domain), PSTR(at->mx_canonical));
}

static void demand_records(struct job *job, struct tls_policy *p, const struct candidate *at,
			   const struct dns_answer *answer, struct str base)
{
	bool half = at->by_mx && !at->mx_is_signed;
	struct tls_tlsa *records;
	size_t n = take_records(job, answer, &records);

	if (n == 0) {
		do_without(job, p, at, TLS_ENCRYPT, TLS_TLSA_INVALID, "none of the TLSA records is usable");
		return;
	}
	if (half && policy_insecure_mx() == TLS_ENCRYPT) {
		p->level = TLS_ENCRYPT;
		return;
	}
	if (half)
		p->level = TLS_HALF_DANE;
	p->from = FROM_DANE;
	p->anchors = records;
	p->anchor_count = n;
	p->match = names_for_issuers(job, p, at, base);
	p->servername = base;
}

void dane_apply(struct job *job, const struct candidate *at, struct tls_policy *p)
{
	struct dns_answer answer;
	struct str base;

	if (at->by_mx && !at->mx_is_signed && (p->level == TLS_DANE_ONLY
					       || policy_insecure_mx() <= TLS_MAY)) {
		do_without(job, p, at, TLS_MAY, TLS_DANE_REQUIRED, "the MX records are not signed");
		return;
	}
	switch (find_records(job, at, &answer, &base)) {
	case RECORDS:
		demand_records(job, p, at, &answer, base);
		break;
	case NO_RECORDS:
		do_without(job, p, at, TLS_MAY, TLS_DANE_REQUIRED, "there are no signed TLSA records");
		break;
	case CANNOT_TELL:
		refuse(p, arena_fmt(job->arena, "TLSA lookup error for %.*s:%u", PSTR(at->host), at->ip.port));
		tls_told(job, p, at->host, &at->ip, TLS_DNSSEC_INVALID, p->refused);
		break;
	}
}
