/* SPDX-License-Identifier: ISC */
/* RCPT (RFC 5321 4.1.1.3): one recipient, after everything that is asked about it. */
#include <errno.h>

#include "lib/log/log.h"
#include "lib/mail/mail_address.h"
#include "smtpd/client_rate.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"
#include "smtpd/verbs.h"

static enum next refuse_args(struct session *s, enum esmtp_error error, struct str bad)
{
	switch (error) {
	case ESMTP_BAD_NOTIFY:
		return reply(s, 501, "5.5.4", "Error: Bad NOTIFY parameter syntax");
	case ESMTP_BAD_ORCPT:
		return reply(s, 501, "5.5.4", "Error: Bad ORCPT parameter syntax");
	default:
		return reply(s, 555, "5.5.4", "Unsupported option: %.*s", PSTR(bad));
	}
}

/* The first ones too many are only told to come back; a client that does not listen then makes errors. */
static enum next turn_away(struct session *s)
{
	reply(s, 452, "4.5.3", "Error: too many recipients");
	return s->tx->turned_away++ < the_smtpd->conf.smtpd_recipient_overshoot_limit ? DONE : FAILED;
}

static enum next refuse_recipient(struct session *s, int error, struct str args)
{
	log_warning("Illegal address syntax from %s in RCPT command: %.*s", buf_text(&s->peer.shown),
		    PSTR(str_head(args, 200)));
	if (error == -EILSEQ)
		return reply(s, 553, "5.6.7", "Must declare SMTPUTF8 to send unicode address");
	return reply(s, 501, "5.1.3", "Bad recipient address syntax");
}

static bool needs_smtputf8(const struct session *s, struct str address)
{
	return the_smtpd->conf.strict_smtputf8 && (s->tx->envelope.flags & ENVELOPE_SMTPUTF8) == 0
	       && !str_is_ascii(address);
}

enum next verb_rcpt(struct session *s, const struct command *c)
{
	struct str args = c->args, path, to, bad = STR_NONE;
	struct rcpt_args a;
	struct verdict v;
	enum esmtp_error e;
	int r;

	if (s->tx != NULL && s->tx->content != CONTENT_NONE)
		return reply(s, 503, "5.5.1", "Error: RCPT after BDAT");
	if (s->tx == NULL)
		return reply(s, 503, "5.5.1", "Error: need MAIL command");
	if (!command_keyword(&args, STR("TO:")) || args.len == 0)
		return reply(s, 501, "5.5.4", "Syntax: RCPT TO:<address>");
	if (comes_too_often(s, ANVIL_RECIPIENT))
		return reply(s, 450, "4.7.1", "Error: too many recipients from %s", s->peer.address);
	path = args;
	r = path_parse(&args, s->step, the_smtpd->conf.strict_rfc821_envelopes,
		       the_smtpd->conf.smtputf8_enable, &to);
	if (r < 0 || to.len == 0 || str_has_control(to)
	    || address_is_malformed(the_smtpd->route, s->step, to))
		return refuse_recipient(s, r, path);
	e = esmtp_rcpt_args(args, s->step, &a, &bad);
	if (e != ESMTP_OK)
		return refuse_args(s, e, bad);
	if (a.uses_dsn && (s->discard_ehlo & EHLO_DSN) != 0)
		return reply(s, 501, "5.7.1", "DSN support is disabled");
	if (needs_smtputf8(s, to))
		return refuse_recipient(s, -EILSEQ, path);
	if ((int64_t) s->tx->recipients.len >= the_smtpd->conf.smtpd_recipient_limit)
		return turn_away(s);

	v = restrict_recipient(s, to);
	if (v.act == REJECT)
		return reply_verdict(s, &v);
	if (transaction_add_recipient(s, to, &a) < 0)
		return turn_away(s);
	return reply(s, 250, "2.1.5", "Ok");
}
