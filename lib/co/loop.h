/* SPDX-License-Identifier: ISC */
/* What loop.c and co.c tell each other. Inside lib/co only. */
#ifndef ROAD_CO_LOOP_H
#define ROAD_CO_LOOP_H

struct co;

void co_resume(struct co *co);		/* runs it until it parks, passes or ends */

void loop_ready(struct co *co);		/* into the queue of those who run in this turn */
void loop_passed(struct co *co);	/* into the queue of the next turn */
void loop_parked(struct co *co);	/* remembered in the order of parking, for trimming */
void loop_dropped(void);		/* in a forked child: the loop is the parent's */

#endif
