/* SPDX-License-Identifier: ISC */
/*
 * What is odd about certificates that can be used: for rehearsals, where somebody reads what is
 * said. A handshake does not mind any of it.
 */
#include <errno.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "lib/tls/private.h"

enum { SOON_S = 2 * 86400, NAME_BYTES = 256 };

struct review {
	void (*say)(void *arg, const char *text);
	void *arg;
};

__attribute__((format(printf, 3, 4))) static void say(const struct review *r, const X509 *x,
						      const char *format, ...)
{
	AUTO(buf) text = BUF(8192);
	char name[NAME_BYTES];
	va_list arguments;

	buf_addf(&text, "the certificate of %s ", X509_NAME_oneline(X509_get_subject_name(x), name,
								    sizeof(name)));
	va_start(arguments, format);
	buf_addv(&text, format, arguments);
	va_end(arguments);
	r->say(r->arg, buf_text(&text));
}

static const char *date_of(const ASN1_TIME *t, char *text, size_t size)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1 || strftime(text, size, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		return "?";
	return text;
}

static void review_dates(const struct review *r, const X509 *x)
{
	const ASN1_TIME *from = X509_get0_notBefore(x), *until = X509_get0_notAfter(x);
	time_t soon = time(NULL) + SOON_S;
	char date[64];

	if (X509_cmp_current_time(from) > 0)
		say(r, x, "is valid from %s only", date_of(from, date, sizeof(date)));
	else if (X509_cmp_current_time(until) < 0)
		say(r, x, "has expired: %s (mend: renew it)", date_of(until, date, sizeof(date)));
	else if (X509_cmp_time(until, &soon) < 0)
		say(r, x, "expires soon: %s (mend: renew it)", date_of(until, date, sizeof(date)));
}

/* One certificate with those that are sent behind it: each has to have issued the one before. */
static void review_chain(const struct review *r, X509 *leaf, STACK_OF(X509) *issuers)
{
	X509 *before = leaf;
	char name[NAME_BYTES];

	review_dates(r, leaf);
	for (int i = 0; issuers != NULL && i < sk_X509_num(issuers); i++) {
		X509 *next = sk_X509_value(issuers, i);

		review_dates(r, next);
		if (X509_check_issued(next, before) != X509_V_OK)
			say(r, before, "is followed by that of %s, who did not issue it (mend: the order is key, certificate, its issuer, the issuer's issuer)",
			    X509_NAME_oneline(X509_get_subject_name(next), name, sizeof(name)));
		before = next;
	}
}

static void review_all(const struct review *r, SSL *ssl)
{
	for (long step = SSL_CERT_SET_FIRST; SSL_set_current_cert(ssl, step) == 1; step = SSL_CERT_SET_NEXT) {
		STACK_OF(X509) *issuers = NULL;
		X509 *leaf = SSL_get_certificate(ssl);

		SSL_get0_chain_certs(ssl, &issuers);
		if (leaf != NULL)
			review_chain(r, leaf, issuers);
	}
	ERR_clear_error();
}

void tls_context_review(const struct tls_context *c, void (*say_it)(void *arg, const char *text), void *arg)
{
	const struct review r = { say_it, arg };
	SSL *ssl = tls_context_is_usable(c) ? SSL_new(c->ssl) : NULL;

	if (ssl != NULL)
		review_all(&r, ssl);
	SSL_free(ssl);
}

int tls_text_review(const struct tls_context *c, struct str pem, void (*say_it)(void *arg, const char *text),
		    void *arg, struct buf *why)
{
	const struct review r = { say_it, arg };
	SSL *ssl = tls_context_is_usable(c) ? SSL_new(c->ssl) : NULL;
	int e;

	if (ssl == NULL)
		return 0;
	e = tls_use_text(ssl, pem, "the text", why);
	if (e >= 0)
		review_all(&r, ssl);
	SSL_free(ssl);
	return e < 0 ? e : 0;
}
