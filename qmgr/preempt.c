/* SPDX-License-Identifier: ISC */
/*
 * A mailing list's job must not hold up the mail behind it, nor be starved by it. So it earns: one slot for
 * every slot_cost deliveries of its own. A short job behind it that needs n deliveries may pass when n slots
 * are there; slot_discount percent of them and slot_loan more may still be outstanding, but are then owed
 * before the next one passes. Only jobs that will earn minimum_slots in all let others pass, and only those
 * pass that the job can ever pay for. Of several the one that waits longest per delivery goes first.
 */
#include "lib/base/die.h"
#include "qmgr/schedule_private.h"

enum { LOOK_AHEAD = 500 };	/* jobs behind the current one that are looked at */

static bool has_ready_entry(const struct job *j)
{
	LIST_EACH(e, &j->waiting, struct entry, in_job) {
		const struct destination *d = e->destination;

		if (d->standing == OPEN && d->busy < d->window.size)
			return true;
	}
	return false;
}

static bool can_afford(const struct job *current, int64_t need)
{
	const struct transport_rules *r = &current->transport->rules;
	int64_t in_all = current->entries / (uint32_t) r->slot_cost - (int64_t) current->slots_used;
	int64_t now = current->taken / (uint32_t) r->slot_cost - (int64_t) current->slots_used;

	return need <= in_all && now * 100 + need * r->slot_discount + r->slot_loan * 100 >= need * 100;
}

static struct job *best_candidate(struct job *current, int64_t now_ms)
{
	struct list *end = &current->transport->jobs[current->urgency];
	struct job *best = NULL;
	int64_t best_need = 1, best_wait = 0;
	int looked = 0;

	for (struct list *at = current->link.next; at != end && looked < LOOK_AHEAD;
	     at = at->next, looked++) {
		struct job *j = LIST_ENTRY(at, struct job, link);
		int64_t need = j->entries - j->taken, waited = now_ms - j->since_ms + 1;

		if (need == 0 || waited * best_need <= best_wait * need || !can_afford(current, need)
		    || !has_ready_entry(j))
			continue;
		best = j;
		best_need = need;
		best_wait = waited;
	}
	return best;
}

/* A lane is sorted by rank; the job's new place is near its front, where the current job's entries are. */
static void move_in_lane(struct entry *e)
{
	struct lane *l = &e->destination->lanes[e->job->urgency];
	struct list *at = &l->entries;

	list_remove(&e->in_lane);
	while (at->next != &l->entries
	       && LIST_ENTRY(at->next, struct entry, in_lane)->job->rank <= e->job->rank)
		at = at->next;
	list_insert_after(at, &e->in_lane);
	update_destination(e->destination);
}

static int64_t rank_before(const struct job *j)
{
	const struct list *head = &j->transport->jobs[j->urgency];

	if (j->link.prev == head)
		return j->rank - RANK_GAP / 2;
	return (LIST_ENTRY(j->link.prev, const struct job, link)->rank + j->rank) / 2;
}

struct job *let_pass(struct job *current, int64_t now_ms)
{
	const struct transport_rules *r = &current->transport->rules;
	struct job *passing;
	int64_t rank;

	if (r->slot_cost < 2
	    || current->entries / (uint32_t) r->slot_cost < (uint32_t) MAX(r->minimum_slots, 1))
		return NULL;
	rank = rank_before(current);
	if (rank >= current->rank || (current->link.prev != &current->transport->jobs[current->urgency]
				      && rank <= LIST_ENTRY(current->link.prev, struct job, link)->rank))
		/* no place left between the two; there is one again when the one before is through */
		return NULL;
	passing = best_candidate(current, now_ms);
	if (passing == NULL)
		return NULL;
	current->slots_used += passing->entries - passing->taken;
	list_remove(&passing->link);
	list_insert_after(current->link.prev, &passing->link);
	passing->rank = rank;
	for (struct list *at = passing->waiting.next; at != &passing->waiting; at = at->next)
		move_in_lane(LIST_ENTRY(at, struct entry, in_job));
	return passing;
}
