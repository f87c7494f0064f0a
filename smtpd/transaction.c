/* SPDX-License-Identifier: ISC */
/* See transaction.h. */
#include "smtpd/transaction.h"

#include <errno.h>

#include "lib/base/clock.h"
#include "lib/log/log.h"
#include "lib/queue/queue.h"
#include "lib/tls/tls.h"
#include "smtpd/smtpd.h"
#include "smtpd/sasl.h"
#include "smtpd/session.h"

enum {
	TRANSACTION_MEMORY = 256 << 20,		/* smtpd_recipient_limit bounds it before */
	MEMORY_FOR_RECIPIENT = 16 << 10,	/* more than any one needs, without the arrays of all */
	EARLY_MEMORY = 64 << 10, SPARE_EARLY_MEMORY = 16 << 10,
};

bool is_among(const struct str *list, size_t count, struct str text)
{
	for (size_t i = 0; i < count; i++)
		if (str_is(list[i], text))
			return true;
	return false;
}

/* The lists about the client and about the name may wish for the same. */
static void copy_early_effects(struct transaction *tx, const struct effects *early)
{
	if (early == NULL)
		return;
	tx->effects.cleanup_flags |= early->cleanup_flags;
	if (early->filter.len > 0)
		tx->effects.filter = early->filter;	/* they outlive the transaction */
	if (early->redirect.len > 0)
		tx->effects.redirect = early->redirect;
	for (size_t i = 0; i < early->prepend.len; i++)
		if (!is_among(tx->effects.prepend.at, tx->effects.prepend.len, early->prepend.at[i]))
			*vec_add(tx->arena, &tx->effects.prepend) = early->prepend.at[i];
	for (size_t i = 0; i < early->bcc.len; i++)
		if (!is_among(tx->effects.bcc.at, tx->effects.bcc.len, early->bcc.at[i]))
			*vec_add(tx->arena, &tx->effects.bcc) = early->bcc.at[i];
}

/* "with" in Received (RFC 3848). */
static struct str protocol_of(const struct session *s)
{
	if (!s->esmtp)
		return STR("SMTP");
	if (s->tls != NULL)
		return is_authenticated(s) ? STR("ESMTPSA") : STR("ESMTPS");
	return is_authenticated(s) ? STR("ESMTPA") : STR("ESMTP");
}

struct transaction *transaction_begin(struct session *s, struct str sender, const struct mail_args *m)
{
	struct arena *a = arena_new("smtpd transaction", s->arena, TRANSACTION_MEMORY);
	struct transaction *tx = ARENA_NEW(a, struct transaction);
	struct envelope *e = &tx->envelope;

	tx->arena = a;
	tx->said_size = m->size;
	tx->piece = BUF(SMALL_MESSAGE + 16);
	tx->effects.arena = a;
	copy_early_effects(tx, s->early);
	copy_early_effects(tx, s->helo_effects);
	e->sender = arena_copy(a, sender);
	e->arrival_us = wall_us();
	e->flags = (m->body == BODY_8BITMIME ? ENVELOPE_8BITMIME : 0) | (m->smtputf8 ? ENVELOPE_SMTPUTF8 : 0)
		   | (m->requiretls ? ENVELOPE_REQUIRETLS : 0) | (s->is_local ? ENVELOPE_LOCAL : 0);
	e->ret = m->ret;
	e->envid = arena_copy(a, m->envid);
	e->verp = arena_copy(a, m->verp);
	/* the session's, which cannot change before the transaction ends */
	e->client_name = buf_str(&s->peer.name);
	e->reverse_name = buf_str(&s->peer.reverse_name);
	e->client_address = str_of(s->peer.address);
	e->client_port = str_of(s->peer.port);
	e->client_helo = buf_str(&s->helo);
	e->client_protocol = protocol_of(s);
	e->client_tls = s->tls != NULL && the_smtpd->conf.smtpd_tls_received_header
			? s->tls->received : STR_NONE;
	e->sasl_method = buf_str(&s->sasl_method);
	e->sasl_username = buf_str(&s->sasl_username);
	/* a stranger's word counts for nothing (RFC 4954 5) */
	e->sasl_sender = is_authenticated(s) ? arena_copy(a, m->auth) : STR_NONE;
	e->message_id = e->filter_transport = STR_NONE;
	return tx;
}

void transaction_end(struct session *s)
{
	struct transaction *tx = s->tx;

	if (tx == NULL)
		return;
	s->tx = NULL;
	mail_out_abort(tx->out);
	buf_free(&tx->piece);
	arena_free(tx->arena);
}

static void add_attribute(struct buf *b, const char *name, struct str value)
{
	if (value.len > 0)
		buf_addf(b, ", %s=%.*s", name, PSTR(value));
}

static void log_client(const struct session *s)
{
	const struct envelope *e = &s->tx->envelope;
	AUTO(buf) line = BUF(16 << 10);

	buf_addf(&line, "client=%s", buf_text(&s->peer.shown));
	add_attribute(&line, "sasl_method", e->sasl_method);
	add_attribute(&line, "sasl_username", e->sasl_username);
	add_attribute(&line, "sasl_sender", e->sasl_sender);
	log_mail_text(ROAD_INFO, str_of(s->tx->queue_id), buf_str(&line));
}

int transaction_add_recipient(struct session *s, struct str address, const struct rcpt_args *r)
{
	struct transaction *tx = s->tx;

	/* the array's growth, and two copies of it (content.c) */
	if (arena_left(tx->arena) < MEMORY_FOR_RECIPIENT + 4 * tx->recipients.cap * sizeof(struct recipient))
		return -ENOSPC;
	*vec_add(tx->arena, &tx->recipients) = (struct recipient){
		.index = (uint32_t) tx->recipients.len - 1,
		.address = arena_copy(tx->arena, address),
		.original = STR_NONE,
		.notify = r->notify,
		.orcpt = arena_copy(tx->arena, r->orcpt),
	};
	if (tx->queue_id[0] == 0) {
		queue_id_new(tx->queue_id);
		co_describe("%s %s", buf_text(&s->peer.shown), tx->queue_id);
		if (restrict_observer == NULL)		/* else nothing comes of it */
			log_client(s);
	}
	return 0;
}

struct effects *session_effects(struct session *s)
{
	if (s->idle != NULL)
		return arena_left(s->idle->arena) < MEMORY_FOR_RECIPIENT ? NULL : s->idle;
	if (s->tx != NULL)
		return arena_left(s->tx->arena) < MEMORY_FOR_RECIPIENT ? NULL : &s->tx->effects;
	if (s->early == NULL) {
		struct arena *a = arena_new("smtpd early effects", s->arena, EARLY_MEMORY);

		s->early = ARENA_NEW(a, struct effects);
		s->early->arena = a;
	}
	return arena_left(s->early->arena) < SPARE_EARLY_MEMORY ? NULL : s->early;
}

void effects_free(struct effects **fx)
{
	if (*fx != NULL)
		arena_free((*fx)->arena);
	*fx = NULL;
}

bool session_discards(const struct session *s)
{
	return s->tx != NULL && (s->tx->effects.cleanup_flags & CLEANUP_DISCARD) != 0;
}
