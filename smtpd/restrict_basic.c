/* SPDX-License-Identifier: ISC */
/* Restrictions that look at nothing, or at the dialogue itself. */
#include "lib/co/co.h"
#include "lib/log/log.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"

struct verdict ask_permit(struct question *q, const struct rule *r)
{
	(void) q;
	(void) r;
	return permit();
}

struct verdict ask_reject(struct question *q, const struct rule *r)
{
	(void) r;
	return reject_subject(q, (int) the_smtpd->conf.reject_code, "5.7.1", "Access denied");
}

struct verdict ask_defer(struct question *q, const struct rule *r)
{
	(void) r;
	return reject_subject(q, (int) the_smtpd->conf.defer_code, "4.3.2", "Try again later");
}

struct verdict ask_defer_if_permit(struct question *q, const struct rule *r)
{
	(void) r;
	return defer_if_permit(q, reject_subject(q, (int) the_smtpd->conf.defer_code, "4.7.0",
						 "defer_if_permit requested"));
}

struct verdict ask_defer_if_reject(struct question *q, const struct rule *r)
{
	(void) r;
	if (q->instead.act != REJECT)
		q->instead = reject_subject(q, (int) the_smtpd->conf.defer_code, "4.7.0",
					    "defer_if_reject requested");
	return dunno();
}

struct verdict ask_sleep(struct question *q, const struct rule *r)
{
	flush(q->s->stream);
	co_sleep(in(r->milliseconds));
	return dunno();
}

struct verdict ask_unauth_pipelining(struct question *q, const struct rule *r)
{
	(void) r;
	if (!q->s->told_of_pipelining)
		return dunno();
	return reject_subject(q, 503, "5.5.0", "Improper use of SMTP command pipelining");
}

/* Only notifications have the null sender, and those have one recipient. */
struct verdict ask_multi_recipient_bounce(struct question *q, const struct rule *r)
{
	struct transaction *tx = q->s->tx;

	(void) r;
	if (tx == NULL || tx->envelope.sender.len > 0 ||
	    tx->recipients.len + (q->stage == STAGE_DATA || q->stage == STAGE_END_OF_DATA ? 0 : 1) < 2)
		return dunno();
	return reject_subject(q, (int) the_smtpd->conf.multi_recipient_bounce_reject_code, "5.5.3",
			      "Multi-recipient bounce");
}

struct verdict ask_class(struct question *q, const struct rule *r)
{
	return rules_ask(q, r->class);
}

/* A class that has no meaning at this stage. */
struct verdict ask_broken(struct question *q, const struct rule *r)
{
	(void) r;
	log_warning("a restriction class cannot be used at %s", q->s->where);
	return reject_subject(q, 451, "4.3.5", "Server configuration error");
}
