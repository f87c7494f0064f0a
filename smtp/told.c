/* SPDX-License-Identifier: ISC */
/*
 * What came of TLS with a server: in the log for who debugs, and to tlsrpt, which reports to the
 * domain's owner.
 */
#include "lib/base/die.h"
#include "lib/peers/tlsrpt.h"
#include "smtp/smtp.h"

static const char *const names[] = {
	[TLS_WORKED] = "success", [TLS_NOT_OFFERED] = "starttls-not-supported",
	[TLS_HOST_MISMATCH] = "certificate-host-mismatch",
	[TLS_EXPIRED] = "certificate-expired", [TLS_NOT_TRUSTED] = "certificate-not-trusted",
	[TLS_FAILED] = "validation-failure",
	[TLS_TLSA_INVALID] = "tlsa-invalid", [TLS_DNSSEC_INVALID] = "dnssec-invalid",
	[TLS_DANE_REQUIRED] = "dane-required",
	[TLS_STS_FETCH_ERROR] = "sts-policy-fetch-error", [TLS_STS_INVALID] = "sts-policy-invalid",
	[TLS_STS_WEBPKI_INVALID] = "sts-webpki-invalid",
};

void told_open(void)
{
	if (!the_client.conf.smtp_tlsrpt_enable || the_client.lmtp)
		return;
#ifndef HAVE_CURL
	die(EX_CONFIG, "smtp_tlsrpt_enable: Postroad was built without libcurl, so there is no tlsrpt");
#endif
	tlsrpt_use("private/tlsrpt");
}

/* ---- under which policy ---- */

static void add_sts(struct buf *b, const struct sts_policy *sts)
{
	struct str rest = sts->mx, pattern;

	if (sts->text.len > 0) {
		buf_add(b, sts->text);
		return;
	}
	buf_addf(b, "version: STSv1\nmode: %s\n", sts->mode == STS_ENFORCE ? "enforce" : "testing");
	while (str_token(&rest, "\n", &pattern))
		buf_addf(b, "mx: %.*s\n", PSTR(pattern));
	buf_addf(b, "max_age: %llu\n", (unsigned long long) sts->max_age);
}

static void add_tlsa(struct buf *b, const struct tls_policy *p)
{
	for (size_t i = 0; i < p->anchor_count; i++) {
		const struct tls_tlsa *t = &p->anchors[i];

		buf_addf(b, "%u %u %u ", t->usage, t->selector, t->matching);
		for (size_t n = 0; n < t->data.len; n++)
			buf_addf(b, "%02X", (unsigned char) t->data.at[n]);
		buf_add_byte(b, '\n');
	}
}

/* DANE counts before MTA-STS, as it does for the session. */
static const char *add_policy(struct buf *b, const struct tls_policy *p, enum tls_outcome what)
{
	if (p->from == FROM_DANE || what == TLS_TLSA_INVALID || what == TLS_DNSSEC_INVALID
	    || what == TLS_DANE_REQUIRED) {
		add_tlsa(b, p);
		return "tlsa";
	}
	if (p->sts != NULL)
		add_sts(b, p->sts);
	return p->sts != NULL || what >= TLS_STS_FETCH_ERROR ? "sts" : "no-policy-found";
}

static struct str text_of(const struct address_ip *ip, char text[64])
{
	if (ip == NULL || ip->family == 0)
		return STR_NONE;
	ip_print(ip, text);
	return str_of(text);
}

/* Whoever asked for no policy tells nothing about one. */
static bool is_worth_telling(const struct tls_policy *p)
{
	return the_client.conf.smtp_tlsrpt_enable && !the_client.lmtp && p->wish != TLS_OPTIONAL;
}

void tls_told(struct job *job, const struct tls_policy *p, struct str host, const struct address_ip *ip,
	      enum tls_outcome what, struct str words)
{
	char theirs[64], ours[64];
	struct tlsrpt_event e = { .domain = p->domain, .result = str_of(names[what]), .mx = host,
				  .ip = text_of(ip, theirs), .words = str_head(words, 1000) };
	AUTO(buf) policy = BUF(100000);

	if (the_onlooker != NULL)
		return;				/* that is no delivery */
	log_debug("%.*s: TLS with %.*s[%.*s] at level %s: %s %.*s", PSTR(job->d->queue_id), PSTR(host),
		  PSTR(e.ip), policy_level_name(p->level), names[what], PSTR(words));
	if (!is_worth_telling(p))
		return;
	e.type = str_of(add_policy(&policy, p, what));
	e.policy = buf_str(&policy);
	if (ip != NULL)
		e.local_ip = text_of(&job->local, ours);
	tlsrpt_tell(&e);
}
