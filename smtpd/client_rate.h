/* SPDX-License-Identifier: ISC */
/* How often a client may connect, make a new TLS session, or say MAIL, RCPT and AUTH (smtpd_client_auth_rate_limit and the like). anvil(8) counts; who sets no limit does not ask it. */
#ifndef ROAD_SMTPD_CLIENT_RATE_H
#define ROAD_SMTPD_CLIENT_RATE_H

#include "lib/peers/anvil.h"

struct session;

const char *rates_socket(void);		/* anvil's; NULL: nothing has a limit */
/* This is one more. True: one too many, and the log says so. Nobody is kept out because it cannot be told. */
bool comes_too_often(struct session *s, enum anvil_event event) MAY_YIELD;
/* Has it already come too often? This time does not count, and the log does not hear of it. */
bool came_too_often(struct session *s, enum anvil_event event) MAY_YIELD;

#endif
