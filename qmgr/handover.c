/* SPDX-License-Identifier: ISC */
/*
 * A reload starts a new queue manager while this one still waits for results, perhaps from a slow remote
 * host. When nothing is on its way from one place to another, the files of messages that are worked on
 * here are locked one by one, then the lock of the queue is given up: the successor begins at once, and
 * leaves alone what is locked ("skipped, still being delivered") until it is free or gone. Whatever
 * becomes of such a message is accounted for as usual; when this process ends, or is ended, the kernel
 * drops the locks.
 */
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/log/log.h"
#include "qmgr/qmgr.h"

static uint32_t waiting_entries(const struct message *m)
{
	uint32_t n = 0;

	for (const struct list *j = m->jobs.next; j != &m->jobs; j = j->next) {
		const struct job *job = LIST_ENTRY(j, const struct job, in_owner);

		for (const struct list *e = job->waiting.next; e != &job->waiting; e = e->next)
			n++;
	}
	return n;
}

static bool is_worked_on(const struct message *m)
{
	return m->to_do > waiting_entries(m);
}

static void keep(struct message *m)
{
	int r = queue_lock(m->q->queue, m->where, m->id, &m->lock);

	if (r < 0 && m->fate != GONE)
		log_mail(ROAD_WARNING, m->id, "cannot be locked while it is delivered: %s", error_text(r));
}

/* What is between two places nobody has locked, and a successor would find it in one of them. */
static void put_down_all(struct qmgr *q)
{
	while ((map_count(q->in_hand) > 0 || q->is_making_room) && bell_wait(&q->is_put_down, NEVER) >= 0)
		continue;
}

void hand_over(struct qmgr *q)
{
	struct map_at at = { 0 };

	put_down_all(q);
	FAILPOINT("qmgr.handover.begin");
	while (map_next(q->active, &at))
		if (is_worked_on(at.value))
			keep(at.value);
	FAILPOINT("qmgr.handover.locked");
}

void let_go(struct message *m)
{
	queue_unlock(m->q->queue, m->id, &m->lock);
}

void let_go_if_idle(struct message *m)
{
	if (!is_worked_on(m))
		let_go(m);
}
