/* SPDX-License-Identifier: ISC */
/* check_policy_service: everything that is known about the mail, asked of a policy server. */
#include <inttypes.h>
#include <unistd.h>

#include "lib/mail/dsn.h"
#include "lib/tls/tls.h"
#include "smtpd/policy.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"

enum { MOST_REQUEST = 64 << 10 };

/* No value may begin a line of its own, whatever somebody managed to put into it. */
static void put(struct buf *b, const char *name, struct str value)
{
	buf_addf(b, "%s=", name);
	for (size_t i = 0; i < value.len; i++)
		buf_add_byte(b, value.at[i] == '\n' || value.at[i] == '\r'
			     || value.at[i] == '\0' ? '?' : value.at[i]);
	buf_add_byte(b, '\n');
}

static void put_xtext(struct buf *b, const char *name, struct str value)
{
	buf_addf(b, "%s=", name);
	xtext_encode(b, value);
	buf_add_byte(b, '\n');
}

static void put_number(struct buf *b, const char *name, uint64_t n)
{
	buf_addf(b, "%s=%" PRIu64 "\n", name, n);
}

static const char *protocol_state(const struct question *q)
{
	return strcmp(q->s->where, "BDAT") == 0 ? "DATA" : q->s->where;
}

static void put_client(struct buf *b, const struct session *s)
{
	char port[8];

	snprintf(port, sizeof(port), "%u", (unsigned) s->local.port);
	put(b, "client_address", str_of(s->peer.address));
	put(b, "client_name", buf_str(&s->peer.name));
	put(b, "client_port", str_of(s->peer.port));
	put(b, "reverse_client_name", buf_str(&s->peer.reverse_name));
	put(b, "server_address", s->local.family == 0 ? STR_NONE : ip_text(s->step, &s->local));
	put(b, "server_port", str_of(port));
}

/*
 * The same for all questions about one message, and of no other: servers keep their first answer to
 * it. Empty while there is no message. That of a mail which postroad explain imagines says so.
 */
static void put_instance(struct buf *b, const struct session *s)
{
	buf_addf(b, "instance=%s", restrict_observer != NULL ? "explain." : "");
	if (s->tx != NULL)
		buf_addf(b, "%x.%" PRIx64 ".%s", (unsigned) getpid(),
			 (uint64_t) s->tx->envelope.arrival_us, s->peer.port);
	buf_add_byte(b, '\n');
}

static bool is_about_content(const struct question *q)
{
	return q->stage == STAGE_DATA || q->stage == STAGE_END_OF_DATA;
}

/* As the client said it, or as it turned out to be. */
static uint64_t size_of(const struct question *q)
{
	const struct transaction *tx = q->s->tx;

	if (tx == NULL)
		return 0;
	return q->stage == STAGE_END_OF_DATA ? tx->decoder.bytes + tx->decoder.lines : tx->said_size;
}

static void put_transaction(struct buf *b, const struct question *q)
{
	const struct transaction *tx = q->s->tx;

	put(b, "sender", q->sender);
	put(b, "recipient", q->recipient);
	put_number(b, "recipient_count", tx != NULL && is_about_content(q) ? tx->recipients.len : 0);
	put(b, "queue_id", tx == NULL ? STR_NONE : str_of(tx->queue_id));
	put_instance(b, q->s);
	put_number(b, "size", size_of(q));
	put(b, "etrn_domain", q->etrn);
	put(b, "stress", str_of(the_smtpd->conf.stress));
	put(b, "sasl_method", buf_str(&q->s->sasl_method));
	put(b, "sasl_username", buf_str(&q->s->sasl_username));
	put(b, "sasl_sender", tx == NULL ? STR_NONE : tx->envelope.sasl_sender);
}

static void put_tls(struct buf *b, const struct session *s)
{
	const struct tls_peer none = { .protocol = "", .cipher = "" }, *t = s->tls != NULL ? s->tls : &none;

	put_xtext(b, "ccert_subject", t->subject);
	put_xtext(b, "ccert_issuer", t->issuer);
	put(b, "ccert_fingerprint", t->fingerprint);
	put(b, "ccert_pubkey_fingerprint", t->key_fingerprint);
	put(b, "encryption_protocol", str_of(t->protocol));
	put(b, "encryption_cipher", str_of(t->cipher));
	put_number(b, "encryption_keysize", (uint64_t) MAX(t->bits, 0));
	put(b, "tls_sni", s->sni);
}

static void put_ourselves(struct buf *b, const struct policy_service *p)
{
	put(b, "policy_context", policy_context(p));
	put(b, "compatibility_level", str_of(the_smtpd->common->compatibility_level));
	put(b, "mail_version", str_of(the_smtpd->common->mail_version));
}

struct verdict ask_policy_service(struct question *q, const struct rule *r)
{
	AUTO(buf) b = BUF(MOST_REQUEST);

	put(&b, "request", STR("smtpd_access_policy"));
	put(&b, "protocol_state", str_of(protocol_state(q)));
	put(&b, "protocol_name", session_protocol(q->s));
	put_client(&b, q->s);
	put(&b, "helo_name", buf_str(&q->s->helo));
	put_transaction(&b, q);
	put_tls(&b, q->s);
	put_ourselves(&b, r->policy);
	buf_add_byte(&b, '\n');
	return access_verdict(q, r, policy_ask(r->policy, q->arena, buf_str(&b)));
}
