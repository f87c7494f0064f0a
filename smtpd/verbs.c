/* SPDX-License-Identifier: ISC */
/* Every verb that is known, in the order in which the end of a session counts them. */
#include "smtpd/verbs.h"

const struct verb verbs[VERB_COUNT] = {
	[VERB_HELO]     = { "HELO",     VERB_JUNK | VERB_LAST, verb_helo },
	[VERB_EHLO]     = { "EHLO",     VERB_JUNK | VERB_LAST, verb_ehlo },
	[VERB_XCLIENT]  = { "XCLIENT",  VERB_LAST,             verb_xclient },
	[VERB_STARTTLS] = { "STARTTLS", VERB_LAST,             verb_starttls },
	[VERB_AUTH]     = { "AUTH",     VERB_LAST,             verb_auth },
	[VERB_MAIL]     = { "MAIL",     0,                     verb_mail },
	[VERB_RCPT]     = { "RCPT",     0,                     verb_rcpt },
	[VERB_DATA]     = { "DATA",     VERB_LAST,             verb_data },
	[VERB_BDAT]     = { "BDAT",     0,                     verb_bdat },
	[VERB_RSET]     = { "RSET",     VERB_JUNK,             verb_rset },
	[VERB_NOOP]     = { "NOOP",     VERB_JUNK | VERB_LAST, verb_noop },
	[VERB_VRFY]     = { "VRFY",     VERB_JUNK | VERB_LAST, verb_vrfy },
	[VERB_ETRN]     = { "ETRN",     VERB_JUNK | VERB_LAST, verb_etrn },
	[VERB_QUIT]     = { "QUIT",     0,                     verb_quit },
	[VERB_HELP]     = { "HELP",     0,                     verb_help },
	[VERB_UNKNOWN]  = { "UNKNOWN",  0,                     NULL },
};
