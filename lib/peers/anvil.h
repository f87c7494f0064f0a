/* SPDX-License-Identifier: ISC */
/* Asking anvil(8), which counts for all processes of smtpd together, how often a client did something lately. */
#ifndef ROAD_PEERS_ANVIL_H
#define ROAD_PEERS_ANVIL_H

#include "lib/base/str.h"
#include "lib/co/co.h"

enum anvil_event { ANVIL_CONNECTION, ANVIL_MESSAGE, ANVIL_RECIPIENT, ANVIL_TLS_SESSION, ANVIL_AUTH, ANVIL_EVENTS };

#define ANVIL_SOCKET "private/anvil"

/* How often, in the anvil_rate_time_unit under way; counts: with this time. -errno: nobody can tell. */
int64_t anvil_ask(struct str service, struct str client, enum anvil_event event, bool counts) MAY_YIELD;

#endif
