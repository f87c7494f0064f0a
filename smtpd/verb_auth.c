/* SPDX-License-Identifier: ISC */
/*
 * AUTH (RFC 4954): challenges of the authentication server go to the client, its answers back,
 * until the server says who it is. Whatever happens in between (the client gives up, goes away or
 * says too much; the server dies), the attempt is over and the session as it was.
 */
#include <errno.h>

#include "lib/log/log.h"
#include "lib/sasl/server.h"
#include "lib/tls/tls.h"
#include "smtpd/client_rate.h"
#include "smtpd/sasl.h"
#include "smtpd/smtpd.h"
#include "smtpd/verbs.h"

static void put_challenge(struct session *s, struct str challenge)
{
	write_str(s->stream, STR("334 "));
	write_str(s->stream, challenge);
	write_str(s->stream, STR("\r\n"));
}

/* The client's next line. False: the reply is out, or the session ends. */
static bool read_response(struct session *s, struct str *ret)
{
	const int64_t limit = the_smtpd->conf.smtpd_sasl_response_limit;

	stream_deadline(s->stream, in(the_smtpd->conf.smtpd_timeout));
	if (read_line(s->stream, (size_t) limit, ret, NULL))
		return true;
	if (stream_error(s->stream) == -EMSGSIZE) {
		stream_clear_error(s->stream);		/* the next read_line skips what is left of it */
		log_warning("%s: request longer than %lld", buf_text(&s->peer.shown), (long long) limit);
		reply(s, 500, "5.5.6", "SASL response limit exceeded");
	}
	return false;
}

static enum next refuse(struct session *s, enum sasl_outcome outcome, struct str mechanism,
			const struct sasl_exchange *e)
{
	struct str reason = e->reason.len > 0 ? buf_str(&e->reason) : STR("(reason unavailable)");
	struct str user = e->user.len > 0 ? str_head(buf_str(&e->user), 100) : STR("(unavailable)");

	if (outcome == SASL_UNAVAILABLE && auth_server_why(the_smtpd->sasl)[0] != 0)
		log_warning_rarely(1, "SASL: %s", auth_server_why(the_smtpd->sasl));
	log_warning("%s: SASL %.*s authentication failed: %.*s, sasl_username=%.*s", buf_text(&s->peer.shown),
		    PSTR(str_head(mechanism, 100)), PSTR(reason), PSTR(user));
	if (outcome == SASL_UNAVAILABLE)
		return reply(s, 454, "4.7.0", "Temporary authentication failure: %.*s", PSTR(reason));
	return reply(s, 535, "5.7.8", "Error: authentication failed: %.*s", PSTR(reason));
}

static enum next give_up(struct session *s, struct str mechanism)
{
	log_warning("%s: SASL %.*s authentication aborted", buf_text(&s->peer.shown),
		    PSTR(str_head(mechanism, 100)));
	return reply(s, 501, "5.7.0", "Authentication aborted");
}

static enum next succeed(struct session *s, struct str mechanism, struct str user)
{
	sasl_set_user(s, mechanism, user);
	reply(s, 235, "2.7.0", "Authentication successful");
	identity_changed(s);		/* local_header_rewrite_clients may know users */
	return DONE;
}

static enum next converse(struct session *s, struct sasl_exchange *e, const struct sasl_request *q,
			  struct str mechanism)
{
	enum sasl_outcome outcome = sasl_begin(e, the_smtpd->sasl, q);
	struct str response;

	while (outcome == SASL_MORE) {
		put_challenge(s, buf_str(&e->challenge));
		if (!read_response(s, &response))
			return FAILED;
		if (str_is(response, STR("*")))
			return give_up(s, mechanism);
		outcome = sasl_continue(e, response);
	}
	if (outcome != SASL_DONE)
		return refuse(s, outcome, mechanism, e);
	return succeed(s, mechanism, buf_str(&e->user));
}

/* mechanism: as the client wrote it, which is what the log has. */
static enum next authenticate(struct session *s, struct str mechanism, bool has_response, struct str response)
{
	struct sasl_exchange e = { .reason = BUF(100) };
	struct sasl_request q = {
		.mechanism = sasl_find(s, mechanism),
		.service = str_of(the_smtpd->conf.smtpd_sasl_service),
		.realm = str_of(the_smtpd->conf.smtpd_sasl_local_domain),
		.local = &s->local, .remote = &s->peer.ip, .is_secured = s->tls != NULL,
		.has_trusted_certificate = s->tls != NULL && s->tls->trust == TLS_TRUSTED,
		/* "=" is nothing (RFC 4954 4) */
		.has_response = has_response, .response = str_is(response, STR("=")) ? STR_NONE : response,
	};
	enum next next;

	if (q.mechanism.len > 0) {
		next = converse(s, &e, &q, mechanism);
		sasl_end(&e);
		return next;
	}
	buf_add_text(&e.reason, s->sasl_is_down ? "Connection lost to authentication server"
		     : "Invalid authentication mechanism");
	next = refuse(s, s->sasl_is_down ? SASL_UNAVAILABLE : SASL_REFUSED, mechanism, &e);
	buf_free(&e.reason);
	return next;
}

enum next verb_auth(struct session *s, const struct command *c)
{
	struct str args = c->args, mechanism, response = STR_NONE, more;
	bool has_response;

	if (comes_too_often(s, ANVIL_AUTH))
		return reply(s, 450, "4.7.1", "Error: too many AUTH commands from %s", s->peer.address);
	if (the_smtpd->conf.smtpd_helo_required && s->helo.len == 0)
		return reply(s, 503, "5.5.1", "Error: send HELO/EHLO first");
	if (!sasl_is_active(s) || (s->discard_ehlo & EHLO_AUTH) != 0)
		return reply(s, 503, "5.5.1", "Error: authentication not enabled");
	if (s->tx != NULL)
		return reply(s, 503, "5.5.1", "Error: MAIL transaction in progress");
	if (is_authenticated(s))
		return reply(s, 503, "5.5.1", "Error: already authenticated");
	if (!command_word(&args, &mechanism))
		return reply(s, 501, "5.5.4", "Syntax: AUTH mechanism");
	has_response = command_word(&args, &response);
	if (command_word(&args, &more))
		return reply(s, 501, "5.5.4", "Syntax: AUTH mechanism");
	return authenticate(s, mechanism, has_response, response);
}
