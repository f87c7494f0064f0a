/* SPDX-License-Identifier: ISC */
/* What a mechanism must be good for, in Postfix's words (smtp_sasl_security_options and its like). */
#ifndef ROAD_SASL_OPTIONS_H
#define ROAD_SASL_OPTIONS_H

#include "lib/base/buf.h"

enum sasl_option {
	SASL_NOPLAINTEXT = 1,		/* who listens does not learn the password */
	SASL_NOACTIVE = 2,		/* nor is it of use to who sits in between */
	SASL_NODICTIONARY = 4,		/* what is sent cannot be compared with guesses */
	SASL_NOANONYMOUS = 8,
	SASL_FORWARD_SECRECY = 16,	/* servers only */
	SASL_MUTUAL_AUTH = 32,		/* the server proves that it knows the password too */
};

/* "noplaintext, noanonymous"; empty: none. -EINVAL with words. */
int sasl_options_parse(struct str text, unsigned *ret, struct buf *why);
/* What a mechanism is good for, by its name in any case. One that is not known here: NOANONYMOUS only. */
unsigned sasl_options_of(struct str mechanism);

#endif
