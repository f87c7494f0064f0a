/* SPDX-License-Identifier: ISC */
/*
 * posttls-finger's part in the client: with -R and "finger key=value ..." it goes to a destination
 * as a delivery would, up to the end of the TLS dialogue, and says on standard output what was
 * offered and whether the policy holds. Nothing is sent, and nothing that is learnt is kept.
 *
 *   to=DESTINATION  json=yes  chat=yes  chain=yes  every=yes  reconnect=SECONDS  most=COUNT  resolver=PATH of a socket
 */
#ifndef ROAD_SMTP_FINGER_H
#define ROAD_SMTP_FINGER_H

#include "smtp/smtp.h"

/* The exit status: 0 the policy holds, 1 it does not, or nobody could be reached. */
int finger(void);

/* finger_print.c: what is known about one address that was tried. */
struct finding {
	struct str destination;
	const struct candidate *at;	/* NULL: a Unix socket, or no address was found */
	const struct tls_policy *policy;
	const struct trouble *trouble;	/* NULL: the policy holds */
	struct str relay;		/* empty: there was no connection */
	struct str offers;		/* the lines of the last EHLO answer */
	bool offers_starttls;
	bool has_tls, is_verified;
	struct tls_peer peer;
};
void finding_print_tls(const struct finding *f);	/* after the handshake: lines for people */
void finding_print(const struct finding *f);		/* in the end: does it hold? */
void finding_print_json(const struct finding *f);	/* one line */

#endif
