/* SPDX-License-Identifier: ISC */
/*
 * ETRN (RFC 1985): a client that was away asks for the mail that waits for its domain. The queue
 * manager tries it now; delivery takes its usual way.
 */
#include "lib/ipc/channel.h"
#include "lib/log/log.h"
#include "lib/mail/mail_address.h"
#include "smtpd/smtpd.h"
#include "smtpd/verbs.h"

static struct client *qmgr;

/* The domain, without the marks that stand for a node with its subdomains or a queue's name. */
static bool parse_domain(struct str args, struct str *ret)
{
	if (args.len > 1 && (args.at[0] == '@' || args.at[0] == '#'))
		args = str_skip(args, 1);
	*ret = args;
	return hostname_is_valid(args, false) || domain_literal_is_valid(args);
}

static enum next deny(struct session *s, struct str domain)
{
	log_warning("reject: ETRN %.*s... from %s", PSTR(str_head(domain, 100)), buf_text(&s->peer.shown));
	return reply(s, 459, NULL, "<%.*s>: service unavailable", PSTR(domain));
}

enum next verb_etrn(struct session *s, const struct command *c)
{
	struct str args = c->args, domain, more;
	struct qmgr_command flush_site = { .command = STR("flush_site") };
	struct verdict v;
	int listed;

	if (the_smtpd->conf.smtpd_helo_required && s->helo.len == 0)
		return reply(s, 503, NULL, "Error: send HELO/EHLO first");
	if (s->tx != NULL)
		return reply(s, 503, NULL, "Error: MAIL transaction in progress");
	if (!command_word(&args, &domain) || command_word(&args, &more))
		return reply(s, 500, NULL, "Syntax: ETRN domain");
	if (!parse_domain(domain, &domain))
		return reply(s, 501, NULL, "Error: invalid parameter syntax");
	v = restrict_etrn(s, domain);
	if (v.act == REJECT)
		return reply_verdict(s, &v);
	listed = match_domain(the_smtpd->etrn_domains, s->step, domain);
	if (listed == 0)
		return deny(s, domain);
	if (qmgr == NULL)
		qmgr = client_new("public/qmgr");
	flush_site.argument = domain;
	if (listed < 0 || TELL(qmgr, qmgr_command, &flush_site, in(the_smtpd->common->ipc_timeout)) < 0)
		return reply(s, 458, NULL, "Unable to queue messages");
	return reply(s, 250, NULL, "Queuing started");
}
