/* SPDX-License-Identifier: ISC */
/* MTA-STS in the client: for which destinations mtasts is asked, and what its answer comes to. */
#include "lib/base/die.h"
#include "smtp/policy_sources.h"
#include "smtp/smtp.h"

bool sts_may_ask(void)
{
	return the_client.conf.smtp_mtasts_enable && !the_client.lmtp;
}

void sts_open(void)
{
	if (!sts_may_ask())
		return;
#ifndef HAVE_CURL
	die(EX_CONFIG, "smtp_mtasts_enable: Postroad was built without libcurl, so there is no mtasts");
#endif
	sts_use("private/mtasts");
}

/*
 * Policies are published for domains, and for a smart host by its own name (RFC 8461 3.4); an
 * address has none.
 */
static bool may_have_policy(const struct destination *to)
{
	struct address_ip ip;

	return to->path.len == 0 && str_find(to->host, '.') >= 0 && ip_parse(to->host, &ip) < 0
	       && ip_parse_literal(to->host, &ip) < 0;
}

enum tls_outcome sts_outcome(struct str failure)
{
	if (str_is(failure, STR("validation-failure")))
		return TLS_FAILED;
	if (str_is(failure, STR("sts-policy-invalid")))
		return TLS_STS_INVALID;
	return str_is(failure, STR("sts-webpki-invalid")) ? TLS_STS_WEBPKI_INVALID : TLS_STS_FETCH_ERROR;
}

int sts_find(struct job *job, const struct destination *to, const struct tls_policy *p,
	     struct sts_policy *ret)
{
	int r;

	if (!may_have_policy(to))
		return 0;
	r = sts_ask(job->arena, to->host, ret);
	if (r < 0) {
		log_warning_rarely(60, "the service mtasts cannot be asked: %s", error_text(r));
		return r;
	}
	if (ret->failure.len > 0)
		tls_told(job, p, STR_NONE, NULL, sts_outcome(ret->failure), ret->why);
	return ret->mode >= STS_TESTING;
}
