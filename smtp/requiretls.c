/* SPDX-License-Identifier: ISC */
/*
 * What a sender says about TLS for his message (RFC 8689). REQUIRETLS: only servers that are proved to be the right ones, and that know REQUIRETLS themselves, get it;
 * when there is none it goes back with 5.7.30. "TLS-Required: No": no policy holds it up.
 */
#include "lib/base/die.h"
#include "smtp/smtp.h"

/* A filter or another server of one's own: an address, this machine, or a name in mydomain, which the administrator has put there. */
static bool is_our_own(const struct destination *to)
{
	struct str own = str_of(the_client.common->mydomain);
	struct address_ip ip;

	if (to->path.len > 0 || ip_parse(to->host, &ip) == 0 || ip_parse_literal(to->host, &ip) == 0 || str_is_nocase(to->host, STR("localhost")))
		return true;
	return own.len > 0 && str_ends_nocase(to->host, own) && (to->host.len == own.len || to->host.at[to->host.len - own.len - 1] == '.');
}

enum sender_wish sender_wish(const struct job *job, const struct destination *to)
{
	unsigned flags = job->d->env.flags;

	if ((flags & ENVELOPE_REQUIRETLS) && the_client.common->requiretls_enable)
		return the_client.lmtp || is_our_own(to) ? AS_CONFIGURED : TLS_DEMANDED;
	return (flags & ENVELOPE_TLS_OPTIONAL) && the_client.common->tls_required_enable ? TLS_OPTIONAL : AS_CONFIGURED;
}

bool requiretls_is_met(const struct tls_policy *p, const struct session *s)
{
	return p->wish != TLS_DEMANDED || (s->is_encrypted && (s->offers.features & EHLO_REQUIRETLS));
}

bool name_is_certain(const struct candidate *at)
{
	return !at->by_mx || at->mx_is_signed;
}
