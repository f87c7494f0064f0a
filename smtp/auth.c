/* SPDX-License-Identifier: ISC */
/*
 * AUTH (RFC 4954): challenges and answers, and what a refusal means. The server is not believed:
 * what does not follow the mechanism ends the attempt, and a consent counts only when the mechanism
 * has come to its end. Troubles are the next hop's, in Postfix's words.
 */
#include <errno.h>
#include <sys/uio.h>

#include "lib/base/base64.h"
#include "lib/base/die.h"
#include "lib/sasl/login.h"
#include "smtp/smtp.h"

enum {
	/* an AUTH command with a longer first word waits with it (RFC 4954 4) */
	COMMAND_LINE = 512,
	MOST_ANSWER = 16 << 10,
	MOST_LINE = MOST_ANSWER / 3 * 4 + 100,
};

struct dialogue {
	struct job *job;
	struct session *s;
	struct login *login;
	const struct sasl_mechanism *mechanism;
	struct sasl_login *sasl;
	struct buf answer, line;	/* secrets: of a fixed size, overwritten at the end */
	struct buf why;
	bool is_held_back;		/* the first word is still to be said */
};

/* ---- what goes wrong ---- */

static bool fail(struct dialogue *d, struct trouble *ret_why, const char *words)
{
	*ret_why = trouble_make(d->job, SOFT, true, "4.7.0", d->s,
				"SASL authentication failed; cannot authenticate to server %.*s: %s",
				PSTR(d->s->name), words);
	ret_why->diagnostic = arena_fmt(d->job->arena, "x-sasl; %s", words);
	return false;
}

static bool refused(struct dialogue *d, const struct refusal *r, const char *cached, struct trouble *ret_why)
{
	bool hard = r->code / 100 == 5 && !the_client.conf.smtp_sasl_auth_soft_bounce;
	const char *dsn = str_c(d->job->arena, arena_fmt(d->job->arena, "%c%s", hard
							 || r->dsn[0] != '5' ? r->dsn[0] : '4', r->dsn + 1));

	*ret_why = trouble_make(d->job, hard ? HARD : SOFT, true, dsn, d->s,
				"SASL %sauthentication failed; server %.*s said: %.*s", cached,
				PSTR(d->s->name), PSTR(r->text));
	ret_why->diagnostic = arena_fmt(d->job->arena, "smtp; %.*s", PSTR(r->text));
	return false;
}

/* Servers have been seen that quote what they were told. The log need not have it. */
static void hide(struct buf *reply, struct str secret)
{
	size_t from = 0;
	ssize_t at;

	if (secret.len < 4)
		return;
	for (; (at = str_find_str(str_skip(buf_str(reply), from), secret)) >= 0;
	     from += (size_t) at + secret.len)
		memset(reply->at + from + at, '*', secret.len);
}

static bool take_verdict(struct dialogue *d, struct trouble *ret_why)
{
	struct session *s = d->s;
	struct refusal r = { .code = s->reply.code };

	if (reply_class(&s->reply) == 2) {
		s->is_authenticated = sasl_login_may_end(d->sasl);
		return s->is_authenticated
		       || fail(d, ret_why, "the server agrees before it has proven that it knows the password");
	}
	hide(&s->reply.lines, str_of(d->login->password));
	buf_clear(&d->line);
	base64_encode(buf_str(&d->answer), &d->line);
	hide(&s->reply.lines, buf_str(&d->line));
	r.text = reply_text(&s->reply, d->job->arena);
	snprintf(r.dsn, sizeof(r.dsn), "%.*s",
		 PSTR(reply_dsn(&s->reply, r.code / 100 == 5 ? STR("5.0.0") : STR("4.0.0"), d->job->arena)));
	if (r.code == 535)
		refusal_keep(d->job, s->host, d->login, &r);
	login_refused(d->login);
	return refused(d, &r, "", ret_why);
}

/* ---- challenges and answers ---- */

/* Written from where it is, so that no other buffer has a copy. */
static void send_line(struct dialogue *d)
{
	struct iovec piece = { .iov_base = d->line.at, .iov_len = d->line.len };

	stream_deadline(d->s->stream, in(the_client.conf.smtp_helo_timeout));
	write_pieces(d->s->stream, &piece, 1);
}

/* -errno with words in d->why. */
static int answer(struct dialogue *d, const struct str *challenge)
{
	int r;

	buf_clear(&d->answer);
	r = sasl_login_answer(d->sasl, challenge, &d->answer, &d->why);
	if (r < 0 && d->why.len == 0)
		buf_add_text(&d->why, error_text(r));
	buf_clear(&d->line);
	return r;
}

static int say_first(struct dialogue *d)
{
	const char *name = sasl_mechanism_name(d->mechanism);
	bool fits;
	int r;

	if (!sasl_mechanism_begins(d->mechanism)) {
		buf_addf(&d->line, "AUTH %s\r\n", name);
		send_line(d);
		return 0;
	}
	r = answer(d, NULL);
	if (r < 0)
		return r;
	fits = strlen("AUTH  \r\n") + strlen(name) + (d->answer.len + 2) / 3 * 4 <= COMMAND_LINE;
	buf_addf(&d->line, fits ? "AUTH %s " : "AUTH %s", name);
	if (fits && d->answer.len == 0)
		buf_add_byte(&d->line, '=');
	if (fits)
		base64_encode(buf_str(&d->answer), &d->line);
	buf_add_text(&d->line, "\r\n");
	d->is_held_back = !fits;
	send_line(d);
	return 0;
}

/*
 * What the server said about a token that it does not like: there is nothing of ours in it, and
 * nowhere else is the reason.
 */
static void note_token_trouble(struct dialogue *d, struct str challenge)
{
	AUTO(buf) words = BUF(1000);

	buf_add_printable(&words, str_head(challenge, 500));
	hide(&words, str_of(d->login->password));
	log_mail(ROAD_INFO, d->job->d->queue_id, "server %.*s said about the token: %s", PSTR(d->s->name),
		 buf_text(&words));
}

/* A 334: *d->why says what is wrong with it. */
static int take_challenge(struct dialogue *d)
{
	AUTO(buf) challenge = BUF(MOST_LINE);
	struct str rest = buf_str(&d->s->reply.lines), text = STR_NONE;
	int r = 0;

	reply_next(&rest, &text);
	if (rest.len > 0 || base64_decode(str_trim(text), &challenge) < 0) {
		buf_add_text(&d->why, "the server's challenge is not base64");
		return -EPROTO;
	}
	if (d->is_held_back) {
		d->is_held_back = false;
		buf_clear(&d->line);
	} else {
		struct str bytes = buf_str(&challenge);

		if (sasl_mechanism_takes_token(d->mechanism))
			note_token_trouble(d, bytes);
		r = answer(d, &bytes);
	}
	if (r < 0)
		return r;
	base64_encode(buf_str(&d->answer), &d->line);
	buf_add_text(&d->line, "\r\n");
	send_line(d);
	return 0;
}

static bool converse(struct dialogue *d, struct trouble *ret_why)
{
	struct session *s = d->s;
	int r = say_first(d);

	if (r < 0)
		return fail(d, ret_why, buf_text(&d->why));
	for (;;) {
		r = session_reply(s, the_client.conf.smtp_helo_timeout);
		if (r < 0) {
			*ret_why = trouble_of_io(d->job, s, r, "performing the EHLO handshake");
			return false;
		}
		if (reply_class(&s->reply) != 3)
			return take_verdict(d, ret_why);
		if (take_challenge(d) < 0) {
			write_str(s->stream, STR("*\r\n"));	/* the rest of the conversation is QUIT */
			return fail(d, ret_why, buf_text(&d->why));
		}
	}
}

/* ---- all of it ---- */

static bool log_in(struct dialogue *d, struct trouble *ret_why)
{
	struct session *s = d->s;
	struct refusal before;
	const struct sasl_credentials who = {
		.user = d->login->user, .password = d->login->password,
		.authorize = the_client.conf.send_cyrus_sasl_authzid ? d->login->user : NULL,
		.service = the_client.lmtp ? "lmtp" : "smtp", .host = str_c(d->job->arena, s->host),
		.port = s->ip.port,
	};
	bool ok;

	if (s->mechanisms.len == 0) {
		*ret_why = trouble_make(d->job, SOFT, true, "4.7.0", s,
					"SASL authentication failed: server %.*s offered no compatible authentication "
					"mechanisms for this type of connection security", PSTR(s->name));
		return false;
	}
	if (refusal_find(d->job, s->host, d->login, &before))
		return refused(d, &before, "[CACHED] ", ret_why);
	d->mechanism = auth_choose(d->job, s, d->login);
	if (d->mechanism == NULL)
		return fail(d, ret_why, "no mechanism available");
	if (sasl_login_begin(d->mechanism, &who, &d->sasl, &d->why) < 0)
		return fail(d, ret_why, buf_text(&d->why));
	ok = converse(d, ret_why);
	sasl_login_end(d->sasl);
	return ok;
}

bool auth_start(struct job *job, struct session *s, const struct destination *to, struct trouble *ret_why)
{
	struct dialogue d = { .job = job, .s = s, .answer = BUF(MOST_ANSWER), .line = BUF(MOST_LINE),
			      .why = BUF_WORDS };
	struct login *login = NULL;
	bool ok;
	int r;

	if (!auth_is_on() || !(s->offers.features & EHLO_AUTH))
		return true;
	r = login_find(job, s->host, to, &login);
	if (r > 0 && (r = login_complete(job, login)) < 0 && login != job->login)
		login_free(login);
	if (r < 0)
		*ret_why = trouble_make(job, SOFT, false, "4.3.0", s,
					"local data error while talking to %.*s", PSTR(s->name));
	if (r < 0 || login == NULL)
		return r == 0;
	d.login = login;
	buf_room(&d.answer, d.answer.limit);
	buf_room(&d.line, d.line.limit);
	ok = log_in(&d, ret_why);
	buf_wipe(&d.answer);
	buf_wipe(&d.line);
	buf_free(&d.why);
	if (login != job->login)
		login_free(login);
	return ok;
}
