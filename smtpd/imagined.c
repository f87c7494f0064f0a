/* SPDX-License-Identifier: ISC */
#include "smtpd/imagined.h"

#include "smtpd/transaction.h"

static void set(struct buf *b, struct str text)
{
	buf_clear(b);
	buf_add(b, text);
}

struct session *imagined_session(struct arena *a, struct str address, struct str name)
{
	struct session *s = ARENA_NEW(a, struct session);

	s->arena = a;
	s->step = arena_new("smtpd command", a, 64 << 20);
	s->peer.name = s->peer.reverse_name = BUF(256);
	s->peer.shown = BUF(512);
	s->reply = BUF(LONGEST_REPLY);
	s->helo = BUF(4096);
	s->sasl_method = s->sasl_username = BUF(4096);
	s->where = "CONNECT";
	s->esmtp = true;
	if (ip_parse(address, &s->peer.ip) < 0)
		return NULL;
	if (name.len == 0) {
		peer_identify(s);
		return s;
	}
	ip_print(&s->peer.ip, s->peer.address);
	snprintf(s->peer.port, sizeof(s->peer.port), "0");
	set(&s->peer.name, name);
	set(&s->peer.reverse_name, name);
	s->peer.status = s->peer.reverse_status = str_is(name, STR("unknown")) ? PEER_NO_NAME : PEER_OK;
	peer_renamed(&s->peer);
	return s;
}

void imagined_session_end(struct session *s)
{
	transaction_end(s);
	buf_free(&s->reply);
	buf_free(&s->helo);
	buf_free(&s->sasl_method);
	buf_free(&s->sasl_username);
	peer_free(&s->peer);
}
