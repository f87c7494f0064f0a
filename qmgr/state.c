/* SPDX-License-Identifier: ISC */
/* The queue manager's memory, empty at first. */
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "qmgr/qmgr.h"

enum { BOUNCES_AT_ONCE = 20 };

static void wake_sleepers(struct timer *t)
{
	intake_wake(CONTAINER_OF(t, struct qmgr, sleep_timer));
}

void qmgr_begin(struct qmgr *q)
{
	q->connections_per_service = (int) (q->common->worker_processes > 0
						    ? q->common->worker_processes
						    : MAX(sysconf(_SC_NPROCESSORS_ONLN), 1));
	q->clock_ahead_us = wall_us() - mono_ms() * 1000;
	q->schedule = schedule_new(rules_of, q);
	q->sleepers = sleepers_new();
	q->active = map_new();
	q->in_hand = map_new();
	q->bounce = client_new("private/bounce");
	list_init(&q->arrivals);
	list_init(&q->leaving_messages);
	list_init(&q->departing);
	list_init(&q->stuck);
	q->unwritten = map_new();
	gate_init(&q->bounce_gate, BOUNCES_AT_ONCE);
	gate_init(&q->search_gate, 1);
	bell_init(&q->ready);
	bell_init(&q->look);
	bell_init(&q->settled);
	bell_init(&q->is_put_down);
	q->sleep_timer.run = wake_sleepers;
	dispatch_init(q);
}
