/* SPDX-License-Identifier: ISC */
/*
 * Asking anvil(8), which counts for all processes of smtpd together: how often a client did
 * something lately, and how many sessions it has.
 */
#ifndef ROAD_PEERS_ANVIL_H
#define ROAD_PEERS_ANVIL_H

#include "lib/base/str.h"
#include "lib/co/co.h"

enum anvil_event { ANVIL_CONNECTION, ANVIL_MESSAGE, ANVIL_RECIPIENT, ANVIL_TLS_SESSION, ANVIL_AUTH,
		   ANVIL_EVENTS };

#define ANVIL_SOCKET "private/anvil"

/* How often, in the anvil_rate_time_unit under way; counts: with this time. -errno: nobody can tell. */
int64_t anvil_ask(struct str service, struct str client, enum anvil_event event, bool counts) MAY_YIELD;
/*
 * There are so many sessions of the client in this process now. How many in all processes; -errno:
 * nobody can tell. What a process said is forgotten when it ends, and what is said after anvil was
 * restarted makes up for what was said before.
 */
int64_t anvil_sessions(struct str service, struct str client, uint64_t here) MAY_YIELD;
/* waits for no answer */
void anvil_sessions_now(struct str service, struct str client, uint64_t here) MAY_YIELD;

#endif
