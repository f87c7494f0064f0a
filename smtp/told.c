/* SPDX-License-Identifier: ISC */
/* What came of TLS with a server: reports to the domain's owner begin here. */
#include "smtp/policy.h"

#include "lib/base/die.h"
#include "smtp/smtp.h"

static const char *const names[] = {
	[TLS_WORKED] = "success", [TLS_NOT_OFFERED] = "starttls-not-supported", [TLS_HOST_MISMATCH] = "certificate-host-mismatch",
	[TLS_EXPIRED] = "certificate-expired", [TLS_NOT_TRUSTED] = "certificate-not-trusted", [TLS_FAILED] = "validation-failure",
	[TLS_TLSA_INVALID] = "tlsa-invalid", [TLS_DNSSEC_INVALID] = "dnssec-invalid", [TLS_DANE_REQUIRED] = "dane-required",
	[TLS_STS_FETCH_ERROR] = "sts-policy-fetch-error", [TLS_STS_INVALID] = "sts-policy-invalid", [TLS_STS_WEBPKI_INVALID] = "sts-webpki-invalid",
};

void tls_told(struct job *job, const struct tls_policy *p, struct str host, const struct address_ip *ip, enum tls_outcome what, struct str words)
{
	char address[64] = "";

	if (the_onlooker != NULL)
		return;				/* that is no delivery */
	if (ip != NULL && ip->family != 0)
		ip_print(ip, address);
	log_debug("%.*s: TLS with %.*s[%s] at level %s: %s %.*s", PSTR(job->d->queue_id), PSTR(host), address, policy_level_name(p->level),
		  names[what], PSTR(words));
}
