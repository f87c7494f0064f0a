/* SPDX-License-Identifier: ISC */
/* How many sessions a client has, in all processes together. */
#ifndef ROAD_ANVIL_SESSIONS_H
#define ROAD_ANVIL_SESSIONS_H

#include "lib/base/map.h"

/* names of clients, of all processes together, that are remembered */
enum { MOST_SESSION_NAMES = 200000 };

void sessions_begin(void);
/*
 * One process has n sessions of this client; of_process: what it said before.
 * Returns how many there are in all. What is too much to remember is answered all the same, and then
 * other processes do not count it: a client may have more sessions than it should, and never fewer.
 */
uintptr_t sessions_note(struct map *of_process, struct str name, uintptr_t n);
void sessions_forget(struct map *of_process);		/* the process is gone; frees the map */

#endif
