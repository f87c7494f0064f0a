/* SPDX-License-Identifier: ISC */
/* MAIL (RFC 5321 4.1.1.2): the sender and what is said about the message begin a transaction. */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/disk/disk.h"
#include "lib/daemon/daemon.h"
#include "lib/log/log.h"
#include "lib/mail/dsn.h"
#include "lib/mail/mail_address.h"
#include "smtpd/sasl.h"
#include "smtpd/client_rate.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"
#include "smtpd/verbs.h"

enum { LONGEST_AUTH = 500 };		/* RFC 4954 3: what it adds to MAIL */

static enum next refuse_args(struct session *s, enum esmtp_error error, struct str bad)
{
	switch (error) {
	case ESMTP_BAD_SIZE:
		return reply(s, 501, "5.5.4", "Bad message size syntax");
	case ESMTP_SIZE_OVERFLOW:
		return reply(s, 552, "5.3.4", "Message size exceeds file system imposed limit");
	case ESMTP_BAD_RET:
		return reply(s, 501, "5.5.4", "Bad RET parameter syntax");
	case ESMTP_BAD_ENVID:
		return reply(s, 501, "5.5.4", "Bad ENVID parameter syntax");
	default:
		return reply(s, 555, "5.5.4", "Unsupported option: %.*s", PSTR(bad));
	}
}

/*
 * Who wrote the message, in the client's opinion (RFC 4954 5), in xtext; "<>" says nothing, nor does what
 * is no xtext. Without authentication it is nobody's concern; it is never a reason to refuse mail.
 */
static void decode_auth(struct session *s, struct mail_args *m)
{
	if (str_is(m->auth, STR("<>")) || m->auth.len > LONGEST_AUTH
	    || xtext_decode(m->auth, s->step, &m->auth) < 0)
		m->auth = STR_NONE;
}

/* Parameters that are not announced to this client are not accepted from it. */
static enum next check_args(struct session *s, struct mail_args *m)
{
	if (m->uses_dsn && (s->discard_ehlo & EHLO_DSN) != 0)
		return reply(s, 501, "5.7.1", "DSN support is disabled");
	if (m->smtputf8 && (!the_smtpd->conf.smtputf8_enable || (s->discard_ehlo & EHLO_SMTPUTF8) != 0))
		return reply(s, 555, "5.5.4", "Unsupported option: SMTPUTF8");
	if (m->requiretls && !offers_requiretls(s))
		return reply(s, 555, "5.5.4", "Unsupported option: REQUIRETLS");
	if (m->has_verp && !s->may_verp)
		return reply(s, 555, "5.5.4", "Unsupported option: XVERP");
	decode_auth(s, m);
	return DONE;
}

/* Free space in the queue, as of the last second; < 0: cannot tell. */
static int64_t queue_room(void)
{
	static int64_t room;
	static when_t good_until;

	if (mono_ms() >= good_until) {
		room = disk_free_bytes(the_world->queue_dir);
		good_until = in(1000);
	}
	return room;
}

/* What is announced may be refused at once, rather than after it was transferred. cleanup counts again. */
static struct verdict check_size(struct session *s, uint64_t size)
{
	uint64_t limit = (uint64_t) the_smtpd->common->message_size_limit;
	int64_t room;

	if (limit > 0 && size > limit)
		return reject(s->step, 552, STR("5.3.4"), "Message size exceeds fixed limit");
	room = queue_room();
	if (room >= 0 && (uint64_t) room < (uint64_t) the_smtpd->queue.queue_minfree + size)
		return reject(s->step, 452, STR("4.3.1"), "Insufficient system storage");
	return dunno();
}

/*
 * The list about senders (smtpd_delay_reject = no) and the size, both logged with the sender that
 * the transaction would have.
 */
static enum next check_mail(struct session *s, const struct mail_args *m)
{
	struct verdict v = check_size(s, m->size);
	struct question q;

	if (v.act == REJECT) {
		question_begin(&q, s, STR_NONE);
		log_verdict(&q, "reject", &v);
	} else if (!the_smtpd->conf.smtpd_delay_reject) {
		v = restrict_now(s, STAGE_SENDER);
	}
	return v.act == REJECT ? reply_verdict(s, &v) : DONE;
}

static enum next refuse_sender(struct session *s, int error, struct str args)
{
	log_warning("Illegal address syntax from %s in MAIL command: %.*s", buf_text(&s->peer.shown),
		    PSTR(str_head(args, 200)));
	if (error == -EILSEQ)
		return reply(s, 553, "5.6.7", "Must declare SMTPUTF8 to send unicode address");
	return reply(s, 501, "5.1.7", "Bad sender address syntax");
}

static bool needs_smtputf8(const struct mail_args *m, struct str address)
{
	return the_smtpd->conf.strict_smtputf8 && !m->smtputf8 && !str_is_ascii(address);
}

enum next verb_mail(struct session *s, const struct command *c)
{
	struct str args = c->args, path, sender, bad = STR_NONE;
	struct mail_args m;
	struct verdict v;
	enum esmtp_error e;
	int r;

	if (the_smtpd->conf.smtpd_helo_required && s->helo.len == 0)
		return reply(s, 503, "5.5.1", "Error: send HELO/EHLO first");
	if (s->tx != NULL)
		return reply(s, 503, "5.5.1", "Error: nested MAIL command");
	if (!command_keyword(&args, STR("FROM:")) || args.len == 0)
		return reply(s, 501, "5.5.4", "Syntax: MAIL FROM:<address>");
	if (comes_too_often(s, ANVIL_MESSAGE))
		return reply(s, 450, "4.7.1", "Error: too much mail from %s", s->peer.address);
	path = args;
	r = path_parse(&args, s->step, the_smtpd->conf.strict_rfc821_envelopes,
		       the_smtpd->conf.smtputf8_enable, &sender);
	if (r < 0 || str_has_control(sender)
	    || (sender.len > 0 && address_is_malformed(the_smtpd->route, s->step, sender)))
		return refuse_sender(s, r, path);
	e = esmtp_mail_args(args, s->step, &m, &bad);
	if (e != ESMTP_OK)
		return refuse_args(s, e, bad);
	if (needs_smtputf8(&m, sender))
		return refuse_sender(s, -EILSEQ, path);
	if (check_args(s, &m) == FAILED)
		return FAILED;
	v = local_verdict(s);
	if (v.act == REJECT)
		return reply_verdict(s, &v);

	if (m.has_verp && m.verp.len == 0)
		m.verp = str_of(the_smtpd->common->default_verp_delimiters);
	if (m.has_verp && !verp_delimiters_are_valid(m.verp, the_smtpd->common->verp_delimiter_filter))
		return reply(s, 501, "5.5.4", "Error: XVERP needs two characters from %s",
			     the_smtpd->common->verp_delimiter_filter);
	if (m.has_verp && sender.len == 0)
		return reply(s, 503, "5.5.4", "Error: XVERP requires non-null sender");
	s->tx = transaction_begin(s, sender, &m);
	if (check_mail(s, &m) == FAILED) {
		transaction_end(s);
		return FAILED;
	}
	return reply(s, 250, "2.1.0", "Ok");
}
