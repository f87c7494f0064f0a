/* SPDX-License-Identifier: ISC */
/*
 * How many sessions a client may have (smtpd_client_connection_count_limit), and how often it may
 * connect, make a new TLS session, or say MAIL, RCPT and AUTH (smtpd_client_auth_rate_limit and the
 * like). anvil(8) counts for all processes; it is not asked about what has no limit, nor about a
 * client that has none.
 */
#ifndef ROAD_SMTPD_CLIENT_RATE_H
#define ROAD_SMTPD_CLIENT_RATE_H

#include "lib/peers/anvil.h"

struct session;

const char *rates_socket(void);		/* anvil's; NULL: nothing has a limit */
/* This is one more. True: one too many, and the log says so. Nobody is kept out because it cannot be told. */
bool comes_too_often(struct session *s, enum anvil_event event) MAY_YIELD;
/* Has it already come too often? This time does not count, and the log does not hear of it. */
bool came_too_often(struct session *s, enum anvil_event event) MAY_YIELD;
/* Here is another session of this client. True: one too many, and the log says so. */
bool is_one_too_many(struct session *s) MAY_YIELD;
void is_one_less(struct session *s) MAY_YIELD;		/* its end, whatever that said */

#endif
