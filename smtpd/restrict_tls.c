/* SPDX-License-Identifier: ISC */
/*
 * What is asked about TLS and the client's certificate. A fingerprint says whose certificate it is,
 * whoever signed it.
 */
#include "lib/log/log.h"
#include "lib/tls/tls.h"
#include "smtpd/access_search.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

static bool has_certificate(const struct question *q)
{
	return q->s->tls != NULL && q->s->tls->trust != TLS_ANONYMOUS;
}

/* permit_tls_clientcerts */
struct verdict ask_client_certificate(struct question *q, const struct rule *r)
{
	struct tables *known = the_smtpd->client_certificates;
	struct str value;
	int found;

	(void) r;
	if (!has_certificate(q) || tables_are_empty(known))
		return dunno();
	found = tables_get(known, q->arena, q->s->tls->fingerprint, &value);
	if (found == 0)
		found = tables_get(known, q->arena, q->s->tls->key_fingerprint, &value);
	if (found < 0) {
		log_warning("relay_clientcerts: %s", tables_why(known));
		return verdict_cannot_tell(q->arena, buf_str(&q->s->peer.shown));
	}
	return found > 0 ? permit() : dunno();
}

/* permit_tls_all_clientcerts: whatever a trusted CA has signed */
struct verdict ask_trusted_certificate(struct question *q, const struct rule *r)
{
	(void) r;
	return has_certificate(q) && q->s->tls->trust == TLS_TRUSTED ? permit() : dunno();
}

/* check_ccert_access: the certificate's fingerprint, then its key's, or as search_order says */
struct verdict ask_certificate_access(struct question *q, const struct rule *r)
{
	const struct tls_peer *p = q->s->tls;
	struct search f;

	if (!has_certificate(q))
		return dunno();
	f = search_begin(q, r, buf_str(&q->s->peer.shown), "Client certificate");
	for (const enum certificate_key *key = r->order; *key != CERTIFICATE_KEYS_END; key++) {
		search_key(&f, *key == CERTIFICATE_FINGERPRINT ? p->fingerprint : p->key_fingerprint, true);
		f.ended = f.verdict.act != DUNNO;	/* unlike names: no opinion on one leaves the other to be asked */
	}
	return search_end(&f);
}

struct verdict ask_plaintext(struct question *q, const struct rule *r)
{
	(void) r;
	if (q->s->tls != NULL)
		return dunno();
	return reject(q->arena, (int) the_smtpd->conf.plaintext_reject_code, STR("4.7.1"),
		      "Session encryption is required");
}
