/* SPDX-License-Identifier: ISC */
/*
 * Messages that a coroutine is moving, copying or checking on disk while it waits, and that are
 * neither in memory nor asleep meanwhile. No scan takes such a one for new, and whoever has been
 * asked to do something with it waits for the end.
 */
#include "lib/base/die.h"
#include "qmgr/qmgr.h"

void take_in_hand(struct qmgr *q, struct str id)
{
	BUG_UNLESS(map_put(q->in_hand, id, q) == NULL);
}

void put_down(struct qmgr *q, struct str id)
{
	map_remove(q->in_hand, id);
	bell_ring(&q->is_put_down);
}

bool is_in_hand(const struct qmgr *q, struct str id)
{
	return map_get(q->in_hand, id) != NULL;
}

int wait_until_put_down(struct qmgr *q, struct str id)
{
	int r = 0;

	while (r >= 0 && is_in_hand(q, id))
		r = bell_wait(&q->is_put_down, NEVER);
	return r;
}
