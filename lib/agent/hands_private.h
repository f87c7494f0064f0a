/* SPDX-License-Identifier: ISC */
/* Between hands.c, spawner.c and hand.c. */
#ifndef ROAD_AGENT_HANDS_PRIVATE_H
#define ROAD_AGENT_HANDS_PRIVATE_H

#include "lib/agent/hands.h"

enum { MOST_AT_ONCE = 32, MOST_MULTIPLEXED = 100 };		/* errands that a hand holds */

/* One datagram each; with HIRE rides the hand's end of its socket. */
enum spawner_verb { SPAWNER_HIRE, SPAWNER_KILL };
struct spawner_order {
	enum spawner_verb verb;
	uint32_t number;		/* of the hand */
	struct identity as;
};
/* Forks; the socket to talk to it, or dies with words. */
int spawner_start(const struct trade *t);

/* A hand's life: never returns. */
__attribute__((noreturn)) void hand_live(const struct trade *t, const struct identity *as, int socket);

#endif
