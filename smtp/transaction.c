/* SPDX-License-Identifier: ISC */
/*
 * One message in a session: [RSET] MAIL RCPT... DATA content. Commands are numbered; with
 * PIPELINING up to WINDOW of them are under way, otherwise one. Their replies come in the same
 * order and are judged one by one.
 */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/mail/dsn.h"
#include "lib/mail/mail_address.h"
#include "smtp/smtp.h"

/*
 * Small enough that neither side can block the other with full buffers, and more than a transaction
 * of default_destination_recipient_limit recipients has, which so needs one exchange less.
 */
enum { WINDOW = 100, MANY_RECIPIENTS = 100, LONGEST_COMMAND = 1 << 20 };

struct transaction {
	struct job *job;
	struct delivery *d;
	struct session *s;
	struct recipient **to;		/* those to be tried in this transaction */
	bool *accepted;
	bool *later;			/* refused only because there were too many at once */
	size_t count, accepted_count, later_count;
	size_t sent, answered, total;	/* commands: 0 MAIL, 1..count RCPT, count + 1 DATA */
	bool mail_refused, data_refused;
	bool agreed;			/* the server said yes to something */
	bool over;			/* the session broke, or its server leaves */
	int broken;			/* -errno of the stream, for *ret_stale */
	bool leaving;			/* 421; or a kept session in which no further message begins */
};

/* ---- what concerns the whole message ---- */

static void message_trouble(struct transaction *t, const struct trouble *trouble, bool accepted_only)
{
	for (size_t i = 0; i < t->count; i++)
		if (is_pending(t->d, t->to[i]) && (!accepted_only || t->accepted[i]))
			trouble_one(t->job, t->to[i], trouble);
}

/* The connection broke: that is what everybody suffers from who has no answer of their own yet. */
static void broken(struct transaction *t, int error, const char *doing)
{
	struct trouble trouble = trouble_of_io(t->job, t->s, error, doing);
	bool anybody = false;

	t->over = true;
	t->broken = error;
	t->s->is_dead = true;
	for (size_t i = 0; i < t->count && !t->mail_refused; i++) {
		if (!is_pending(t->d, t->to[i]) || (!t->accepted[i] && i + 1 < t->answered))
			continue;
		trouble_one(t->job, t->to[i], &trouble);
		anybody = true;
	}
	if (!anybody)
		t->job->tls_broke = false;	/* all had their answer over TLS: they wait for another one */
}

static bool needs_utf8(const struct transaction *t)
{
	if (!(t->d->env.flags & ENVELOPE_SMTPUTF8))
		return false;
	if (!str_is_ascii(outside_sender(t->job)))
		return true;
	for (size_t i = 0; i < t->count; i++)
		if (!str_is_ascii(outside_address(t->job, t->to[i])))
			return true;
	return content_needs_utf8(t->job);
}

/* Is this a message that the server has told us it cannot take? */
static bool is_beyond_server(struct transaction *t)
{
	const struct ehlo *offers = &t->s->offers;
	struct trouble trouble;

	if (offers->size_limit > 0 && t->d->content.parts.size > offers->size_limit) {
		trouble = trouble_make(t->job, HARD, false, "5.3.4", t->s,
				       "message size %llu exceeds size limit %llu of server %.*s",
				       (unsigned long long) t->d->content.parts.size,
				       (unsigned long long) offers->size_limit, PSTR(t->s->name));
	} else if (!(offers->features & EHLO_SMTPUTF8) && needs_utf8(t)) {
		trouble = trouble_make(t->job, HARD, false, "5.6.7", t->s,
				       "SMTPUTF8 is required, but was not offered by host %.*s",
				       PSTR(t->s->name));
		trouble_keep(t->job, &trouble);		/* another exchanger may know it */
		return true;
	} else {
		return false;
	}
	message_trouble(t, &trouble, false);
	return true;
}

/* ---- commands ---- */

static void add_address(struct buf *b, struct str address)
{
	buf_add_byte(b, '<');
	if (!the_client.conf.smtp_quote_rfc821_envelope || address_quote_821(b, address) < 0)
		buf_add(b, address);		/* an envelope never holds control characters */
	buf_add_byte(b, '>');
}

static void send_mail(struct transaction *t)
{
	const struct envelope *env = &t->d->env;
	unsigned offers = t->s->offers.features;
	AUTO(buf) line = BUF(LONGEST_COMMAND);

	buf_add_text(&line, "MAIL FROM:");
	add_address(&line, outside_sender(t->job));
	if (offers & EHLO_SIZE)
		buf_addf(&line, " SIZE=%llu", (unsigned long long) t->d->content.parts.size);
	if ((offers & EHLO_8BITMIME) && (env->flags & ENVELOPE_8BITMIME))
		buf_add_text(&line, " BODY=8BITMIME");
	if ((offers & EHLO_SMTPUTF8) && (env->flags & ENVELOPE_SMTPUTF8))
		buf_add_text(&line, " SMTPUTF8");
	if (t->s->is_authenticated && the_client.conf.smtp_send_dummy_mail_auth)
		buf_add_text(&line, " AUTH=<>");
	if (requiretls_is_said(&t->job->site_policy, t->s))
		buf_add_text(&line, " REQUIRETLS");
	if (offers & EHLO_DSN) {
		if (env->envid.len > 0) {
			buf_add_text(&line, " ENVID=");
			xtext_encode(&line, env->envid);
		}
		if (env->ret != RETURN_NOT_SAID)
			buf_add_text(&line, env->ret == RETURN_FULL ? " RET=FULL" : " RET=HDRS");
	}
	buf_add_text(&line, "\r\n");
	write_str(t->s->stream, buf_str(&line));
}

static void add_notify(struct buf *line, unsigned notify)
{
	static const struct { unsigned bit; const char *word; } words[] = {
		{ NOTIFY_NEVER, "NEVER" }, { NOTIFY_SUCCESS, "SUCCESS" }, { NOTIFY_FAILURE, "FAILURE" },
		{ NOTIFY_DELAY, "DELAY" },
	};
	const char *separator = " NOTIFY=";

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (!(notify & words[i].bit))
			continue;
		buf_add_text(line, separator);
		buf_add_text(line, words[i].word);
		separator = ",";
	}
}

/* The type is an atom; only the address behind it is encoded (RFC 3461 4.2). */
static void add_original(struct buf *line, const struct recipient *r, struct str sent_to)
{
	struct str type = STR_NONE, address = r->orcpt, original = r->original;
	AUTO(buf) quoted = BUF(4096);

	if (original.len == 0 && !str_is(sent_to, r->address))
		original = r->address;
	if (address.len > 0) {
		if (!str_cut(&address, ';', &type))
			return;
	} else if (original.len > 0 && address_quote_822(&quoted, original) == 0) {
		type = STR("rfc822");
		address = buf_str(&quoted);
	} else {
		return;
	}
	buf_addf(line, " ORCPT=%.*s;", PSTR(type));
	if (str_is_nocase(type, STR("utf-8")))
		utf8_xtext_encode(line, address);
	else
		xtext_encode(line, address);
}

static void send_rcpt(struct transaction *t, const struct recipient *r)
{
	struct str address = outside_address(t->job, r);
	AUTO(buf) line = BUF(LONGEST_COMMAND);

	buf_add_text(&line, "RCPT TO:");
	add_address(&line, address);
	if (t->s->offers.features & EHLO_DSN) {
		add_original(&line, r, address);
		add_notify(&line, r->notify);
	}
	buf_add_text(&line, "\r\n");
	write_str(t->s->stream, buf_str(&line));
}

static void send_next(struct transaction *t)
{
	size_t number = t->sent++;

	if (number == 0)
		send_mail(t);
	else if (number <= t->count)
		send_rcpt(t, t->to[number - 1]);
	else
		write_str(t->s->stream, STR("DATA\r\n"));
}

/* ---- replies ---- */

static struct trouble refusal(struct transaction *t, const char *in_reply_to)
{
	if (reply_class(&t->s->reply) < 4)
		t->s->is_dead = true;		/* that answers something else: we are out of step */
	return trouble_of_reply(t->job, t->s, in_reply_to);
}

static void judge_mail(struct transaction *t)
{
	struct trouble trouble;

	if (reply_class(&t->s->reply) == 2) {
		t->agreed = t->s->needs_reset = true;
		return;
	}
	t->mail_refused = true;
	trouble = refusal(t, "MAIL FROM command");
	if (t->s->uses > 1) {
		/* some take one message in a session and refuse the next with any code: a new one tells */
		log_mail(ROAD_INFO, t->d->queue_id, "%.*s", PSTR(trouble.text));
		t->over = t->leaving = t->s->is_dead = true;
		return;
	}
	message_trouble(t, &trouble, false);
}

/* 452, and the 552 that RFC 5321 4.5.3.1.10 tells us to take for it. */
static bool is_too_many(struct transaction *t)
{
	struct str rest = buf_str(&t->s->reply.lines), text = STR_NONE, dsn = STR_NONE;

	if (t->accepted_count == 0)
		return false;
	if (reply_next(&rest, &text))
		dsn_split(text, &dsn, &text);
	if (t->s->reply.code == 452)
		return dsn.len == 0 || str_is(dsn, STR("4.5.3"));
	return t->s->reply.code == 552 && (str_is(dsn, STR("5.5.3"))
					   || (dsn.len == 0 && t->accepted_count >= MANY_RECIPIENTS));
}

static void judge_rcpt(struct transaction *t, size_t i)
{
	struct trouble trouble;

	if (t->mail_refused)
		return;			/* it says nothing about this recipient */
	if (reply_class(&t->s->reply) == 2) {
		t->accepted[i] = true;
		t->accepted_count++;
		return;
	}
	trouble = refusal(t, "RCPT TO command");
	if (is_too_many(t)) {
		trouble.kind = SOFT;
		t->later[i] = true;
		t->later_count++;
	}
	trouble_one(t->job, t->to[i], &trouble);
}

static void judge_data(struct transaction *t)
{
	struct trouble trouble;

	if (reply_class(&t->s->reply) == 3) {
		if (t->mail_refused)
			t->s->is_dead = true;	/* it waits for the content of nothing */
		return;
	}
	t->data_refused = true;
	if (t->accepted_count == 0)
		return;			/* "no valid recipients": we know */
	trouble = refusal(t, "DATA command");
	message_trouble(t, &trouble, true);
}

/* 421 for the message as a whole: the server is leaving. */
static void judge_leaving(struct transaction *t, bool accepted_only, const char *in_reply_to)
{
	struct trouble trouble = trouble_of_reply(t->job, t->s, in_reply_to);

	trouble.site = true;
	t->over = t->leaving = true;
	if (!t->mail_refused)
		message_trouble(t, &trouble, accepted_only);
}

static void take_reply(struct transaction *t)
{
	const struct smtp_conf *conf = &the_client.conf;
	size_t number = t->answered;
	const char *doing = number == 0 ? "sending MAIL FROM" : number <= t->count
			    ? "sending RCPT TO" : "sending DATA command";
	int result = session_reply(t->s, number == 0 ? conf->smtp_mail_timeout
				   : number <= t->count ? conf->smtp_rcpt_timeout
				   : conf->smtp_data_init_timeout);

	if (result < 0) {
		broken(t, result, doing);
		return;
	}
	t->answered++;
	if (number > 0 && number <= t->count)
		judge_rcpt(t, number - 1);	/* also 421: some say it for one recipient, and stay */
	else if (t->s->reply.code == 421)
		judge_leaving(t, number > 0, number == 0 ? "MAIL FROM command" : "DATA command");
	else if (number == 0)
		judge_mail(t);
	else
		judge_data(t);
}

/* Whether the next command still makes sense, given the answers so far. */
static bool goes_on(const struct transaction *t)
{
	if (t->over || t->mail_refused || t->sent == t->total)
		return false;
	/* with nobody accepted, DATA may go out only before we know that */
	return t->sent <= t->count || t->answered < t->sent || t->accepted_count > 0;
}

static void run_commands(struct transaction *t)
{
	size_t window = t->s->offers.features & EHLO_PIPELINING ? WINDOW : 1;

	while (!t->over) {
		while (goes_on(t) && t->sent - t->answered < window)
			send_next(t);
		if (t->answered == t->sent)
			break;
		take_reply(t);
	}
}

/* ---- after DATA ---- */

static void report_accepted(struct transaction *t, struct recipient *r)
{
	struct str said = reply_text(&t->s->reply, t->job->arena);
	struct result how = { .dsn = str_c(t->job->arena, reply_dsn(&t->s->reply, STR("2.0.0"),
								    t->job->arena)), .relay = t->s->relay,
			      .remote_mta = t->s->host, .diagnostic = arena_fmt(t->job->arena, "smtp; %.*s",
			      PSTR(said)) };

	if ((r->notify & NOTIFY_SUCCESS) && (t->s->offers.features & EHLO_DSN))
		handed_on(t->d, r, &how, "%.*s", PSTR(said));
	else if (!(r->notify & NOTIFY_SUCCESS) || (the_client.lmtp && the_client.conf.lmtp_assume_final))
		delivered(t->d, r, &how, "%.*s", PSTR(said));
	else
		relayed(t->d, r, &how, "%.*s", PSTR(said));
}

/*
 * The server waits for content that nobody is to get: an empty message, which it will refuse (with
 * LMTP in no words: one reply for each of nobody).
 */
static void end_empty(struct transaction *t)
{
	if (the_client.lmtp) {
		t->s->is_dead = true;
		return;
	}
	write_str(t->s->stream, STR(".\r\n"));
	session_reply(t->s, the_client.conf.smtp_data_done_timeout);
}

static void judge_end(struct transaction *t, bool *is_accepted, struct recipient **to, size_t n)
{
	struct trouble trouble;

	if (reply_class(&t->s->reply) != 2)
		trouble = refusal(t, "end of DATA command");
	for (size_t i = 0; i < n; i++) {
		if (!is_accepted[i])
			continue;
		if (reply_class(&t->s->reply) == 2)
			report_accepted(t, to[i]);
		else
			trouble_one(t->job, to[i], &trouble);
	}
}

/* SMTP has one answer for all; LMTP one for each accepted recipient, in their order (RFC 2033 4.2). */
static void take_end(struct transaction *t)
{
	static const char *const doing = "sending end of data -- message may be sent more than once";
	int result;

	if (!the_client.lmtp) {
		FAILPOINT("smtp.sent_dot");
		result = session_reply(t->s, the_client.conf.smtp_data_done_timeout);
		FAILPOINT("smtp.answered");
		if (result < 0)
			broken(t, result, doing);
		else
			judge_end(t, t->accepted, t->to, t->count);
		return;
	}
	for (size_t i = 0; i < t->count; i++) {
		if (!t->accepted[i])
			continue;
		result = session_reply(t->s, the_client.conf.smtp_data_done_timeout);
		if (result < 0) {
			broken(t, result, doing);
			return;
		}
		judge_end(t, &t->accepted[i], &t->to[i], 1);
	}
}

/* A server that does not want all of the content may say so and hang up. False: it just hung up. */
static bool was_refused_halfway(struct transaction *t, int error)
{
	enum { LINGER_MS = 1000 };

	if (error != -EPIPE && error != -ECONNRESET)
		return false;
	stream_clear_error(t->s->stream);
	return session_reply(t->s, LINGER_MS) == 0 && reply_class(&t->s->reply) >= 4;
}

static void send_message(struct transaction *t)
{
	bool local;
	int result = content_send(t->job, t->s, &local);

	if (result < 0 && local) {
		struct trouble trouble = trouble_make(t->job, SOFT, false, "4.3.0", t->s,
						      "cannot read the queue file: %s", error_text(result));

		log_mail(ROAD_WARNING, t->d->queue_id, "%.*s", PSTR(trouble.text));
		/* broken off in the middle: the server must not take it for whole */
		t->s->is_dead = true;
		message_trouble(t, &trouble, true);
		return;
	}
	if (result < 0 && was_refused_halfway(t, result)) {
		struct trouble trouble = trouble_of_reply(t->job, t->s, "message content");

		t->s->is_dead = true;
		message_trouble(t, &trouble, true);
		return;
	}
	if (result < 0) {
		broken(t, result, "sending message body");
		return;
	}
	take_end(t);
	t->s->needs_reset = false;
}

/* ---- all of it ---- */

/* With all who are pending; the next time only with those who were one too many before. */
static void begin(struct transaction *t)
{
	const struct transaction before = *t;
	struct delivery *d = t->d;

	*t = (struct transaction){ .job = t->job, .d = d, .s = t->s };
	t->to = arena_get(t->job->arena, (d->env.recipient_count + 1) * sizeof(struct recipient *));
	t->accepted = arena_get(t->job->arena, d->env.recipient_count + 1);
	t->later = arena_get(t->job->arena, d->env.recipient_count + 1);
	for (size_t i = 0; i < before.count; i++)
		if (before.later[i])
			t->to[t->count++] = before.to[i];
	if (before.to == NULL)
		EACH_RECIPIENT(r, d)
			if (is_pending(d, r))
				t->to[t->count++] = r;
	t->total = t->count + 2 - ((d->flags & DELIVER_PROBE) != 0
				   && strcmp(the_client.conf.smtp_address_verify_target, "data") != 0);
}

/* A session in which a transaction was left unfinished. False: it is of no use. */
static bool reset(struct transaction *t)
{
	int result;

	if (!t->s->needs_reset)
		return true;
	write_str(t->s->stream, STR("RSET\r\n"));
	result = session_reply(t->s, the_client.conf.smtp_rset_timeout);
	if (result == 0 && reply_class(&t->s->reply) == 2) {
		t->s->needs_reset = false;
		return true;
	}
	t->s->is_dead = true;
	broken(t, result < 0 ? result : -EPIPE, "sending RSET");
	return false;
}

static void run_once(struct transaction *t)
{
	if (!reset(t))
		return;
	run_commands(t);
	if (t->over || t->mail_refused)
		return;
	if (t->d->flags & DELIVER_PROBE) {
		for (size_t i = 0; i < t->count && !t->data_refused; i++)
			if (t->accepted[i])
				report_accepted(t, t->to[i]);
		if (t->sent > t->count + 1)
			t->s->is_dead = true;	/* DATA was tried, and there is no content to send */
		return;
	}
	if (t->sent <= t->count + 1 || t->data_refused)
		return;
	if (t->accepted_count == 0)
		end_empty(t);
	else
		send_message(t);
}

void transact(struct job *job, struct session *s, bool *ret_stale)
{
	struct transaction t = { .job = job, .d = job->d, .s = s };
	bool reused = s->uses > 0;

	s->uses++;
	job->d->connected_us = wall_us();
	job->d->conn_use = s->uses;
	job->d->tls = reused || !the_client.conf.smtp_log_tls_feature_status
		      ? NULL : requiretls_for_log(job, s);
	if (reused)
		tls_log_reuse(s);
	*ret_stale = false;
	do {
		begin(&t);
		if (is_beyond_server(&t))
			return;
		run_once(&t);
		if (reused && !t.agreed && s->is_dead
		    && (t.leaving || (t.broken != 0 && t.broken != -ETIMEDOUT && t.broken != -ECANCELED))) {
			*ret_stale = true;
			return;
		}
		/*
		 * those who were one too many get a transaction of their own, as long as each takes
		 * somebody
		 */
	} while (!s->is_dead && t.later_count > 0 && t.accepted_count > 0 && job_has_room(job));
}
