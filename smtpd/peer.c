/* SPDX-License-Identifier: ISC */
/*
 * Who is connected? The address comes from the kernel; the name from its PTR record, and counts
 * only if it leads back to the address.
 */
#include "lib/base/format.h"
#include "lib/dns/dns.h"
#include "lib/log/log.h"
#include "lib/mail/mail_address.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

static void set(struct buf *b, struct str text)
{
	buf_clear(b);
	buf_add(b, text);
}

void peer_renamed(struct peer *p)
{
	buf_clear(&p->shown);
	buf_addf(&p->shown, "%s[%s]", buf_text(&p->name), p->address);
	if (the_smtpd->conf.smtpd_client_port_logging)
		buf_addf(&p->shown, ":%s", p->port);
}

void peer_free(struct peer *p)
{
	buf_free(&p->name);
	buf_free(&p->reverse_name);
	buf_free(&p->shown);
}

static bool is_temporary(enum dns_status status)
{
	return status == DNS_CANNOT_TELL || status == DNS_BOGUS;
}

static bool has_address(const struct dns_answer *answer, const struct address_ip *ip)
{
	for (size_t i = 0; i < answer->count; i++)
		if (ip_is_same(&answer->records[i].ip, ip))
			return true;
	return false;
}

/* The name of the PTR record, if it is one; false: status and reverse_status say what is the matter. */
static bool find_reverse_name(struct session *s, struct str *ret_name)
{
	struct peer *p = &s->peer;
	struct dns_answer answer;
	struct address_ip number;

	dns_name_of(s->step, &p->ip, &answer);
	if (answer.status == DNS_OK && answer.count > 0 && hostname_is_valid(answer.records[0].name, false) &&
	    ip_parse(answer.records[0].name, &number) < 0) {
		*ret_name = answer.records[0].name;
		return true;
	}
	p->status = p->reverse_status = is_temporary(answer.status) ? PEER_CANNOT_TELL : PEER_NO_NAME;
	return false;
}

static void confirm(struct session *s, struct str name)
{
	struct peer *p = &s->peer;
	struct dns_answer answer;

	set(&p->reverse_name, name);
	p->reverse_status = PEER_OK;
	/*
	 * of its own kind only: trouble with the other one's says nothing, and must not look like
	 * an answer
	 */
	dns_query(s->step, name, p->ip.family == AF_INET6 ? DNS_AAAA : DNS_A, &answer);
	if (answer.status == DNS_OK && has_address(&answer, &p->ip)) {
		set(&p->name, name);
		p->status = PEER_OK;
	} else if (answer.status == DNS_OK) {
		log_warning("hostname %.*s does not resolve to address %s", PSTR(name), p->address);
		p->status = PEER_NO_NAME;
	} else {
		log_warning("hostname %.*s does not resolve to address %s: %.*s", PSTR(name), p->address,
			    PSTR(answer.why));
		p->status = is_temporary(answer.status) ? PEER_CANNOT_TELL : PEER_NO_NAME;
	}
}

void peer_identify(struct session *s)
{
	struct peer *p = &s->peer;
	struct str name;

	ip_print(&p->ip, p->address);
	format_text(p->port, sizeof(p->port), "%u", p->ip.port);
	set(&p->name, STR("unknown"));
	set(&p->reverse_name, STR("unknown"));
	p->status = p->reverse_status = PEER_NO_NAME;
	if (the_smtpd->conf.smtpd_peername_lookup && find_reverse_name(s, &name))
		confirm(s, name);
	peer_renamed(p);
	arena_reset(s->step);
}
