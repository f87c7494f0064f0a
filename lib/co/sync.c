/* SPDX-License-Identifier: ISC */
/* Bells (conditions) and gates (counting semaphores with a fair queue). */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/co/private.h"

void bell_init(struct bell *b)
{
	list_init(&b->waiting);
}

int bell_wait(struct bell *b, when_t until)
{
	if (!co_may_park()) {
		if (until == NEVER)
			BUG("a bell that nobody can ring");
		co_sleep(until);
		return -ETIMEDOUT;
	}
	list_append(&b->waiting, &co_current->waiting);
	return co_park(until, true);
}

void bell_ring(struct bell *b)
{
	LIST_EACH(co, &b->waiting, struct co, waiting)
		co_wake(co, 0);
}

void gate_init(struct gate *g, int room)
{
	g->room = room;
	list_init(&g->waiting);
}

int gate_enter(struct gate *g, when_t until)
{
	if (co_is_cancelled())
		return -ECANCELED;
	if (g->room > 0 && list_is_empty(&g->waiting)) {
		g->room--;
		return 0;
	}
	if (!co_may_park()) {
		if (until == NEVER)
			BUG("a gate that nobody can leave");
		co_sleep(until);
		return -ETIMEDOUT;
	}
	list_append(&g->waiting, &co_current->waiting);
	return co_park(until, true);
}

/* The place goes to whoever has waited longest; room grows only when nobody waits. */
void gate_leave(struct gate *g)
{
	if (list_is_empty(&g->waiting))
		g->room++;
	else
		co_wake(LIST_FIRST(&g->waiting, struct co, waiting), 0);
}
