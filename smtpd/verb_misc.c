/* SPDX-License-Identifier: ISC */
/* RSET, NOOP, VRFY, HELP, QUIT. */
#include <errno.h>

#include "lib/log/log.h"
#include "lib/mail/mail_address.h"
#include "smtpd/client_rate.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"
#include "smtpd/verbs.h"

enum next verb_rset(struct session *s, const struct command *c)
{
	if (c->args.len > 0)
		return reply(s, 501, "5.5.4", "Syntax: RSET");
	transaction_end(s);
	return reply(s, 250, "2.0.0", "Ok");
}

enum next verb_noop(struct session *s, const struct command *c)
{
	(void) c;
	return reply(s, 250, "2.0.0", "Ok");
}

/* The one parameter that VRFY has (RFC 6531 3.7.4.2). */
static bool is_smtputf8_or_nothing(struct str rest)
{
	rest = str_trim(rest);
	return rest.len == 0 || (the_smtpd->conf.smtputf8_enable && str_is_nocase(rest, STR("SMTPUTF8")));
}

/* Tells what RCPT would say, and no more (RFC 5321 3.5.3): 252, the recipient is not refused. */
enum next verb_vrfy(struct session *s, const struct command *c)
{
	struct str args = c->args, address, rest;
	struct verdict v;

	if (the_smtpd->conf.disable_vrfy_command)
		return reply(s, 502, "5.5.1", "VRFY command is disabled");
	if (args.len == 0)
		return reply(s, 501, "5.5.4", "Syntax: VRFY address%s", the_smtpd->conf.smtputf8_enable
			     ? " [SMTPUTF8]" : "");
	if (comes_too_often(s, ANVIL_RECIPIENT))
		return reply(s, 450, "4.7.1", "Error: too many recipients from %s", s->peer.address);
	rest = args;
	if (path_parse(&rest, s->step, false, the_smtpd->conf.smtputf8_enable, &address) < 0
	    || address.len == 0 || str_has_control(address) || !is_smtputf8_or_nothing(rest)
	    || address_is_malformed(the_smtpd->route, s->step, address))
		return reply(s, 501, "5.1.3", "Bad recipient address syntax");
	v = restrict_vrfy(s, address);
	if (v.act == REJECT)
		return reply_verdict(s, &v);
	return reply(s, 252, "2.0.0", "%.*s", PSTR(str_trim(str_head(args, args.len - rest.len))));
}

enum next verb_help(struct session *s, const struct command *c)
{
	(void) c;
	return reply(s, 214, "2.0.0", "HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY ETRN HELP QUIT");
}

enum next verb_quit(struct session *s, const struct command *c)
{
	(void) c;
	reply(s, 221, "2.0.0", "Bye");
	flush_last(s->stream);
	return LEAVE;
}
