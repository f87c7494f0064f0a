/* SPDX-License-Identifier: ISC */
/* Inside the scheduler: schedule.c, preempt.c, standing.c. */
#ifndef ROAD_QMGR_SCHEDULE_PRIVATE_H
#define ROAD_QMGR_SCHEDULE_PRIVATE_H

#include "qmgr/schedule.h"

enum { RANK_GAP = 1024, RANKS_PER_MS = 64 * RANK_GAP };

struct schedule {
	struct map *transports;
	struct heap waking_destinations, waking_transports;	/* by mono_ms() */
	void (*rules_of)(void *arg, struct str transport, struct transport_rules *ret);
	void *arg;
};

char *copy_text(struct str s);
void update_destination(struct destination *d);
void release_if_idle(struct destination *d);

/*
 * preempt.c: moves a short job before `current` if that has earned it the slots. The job that passed, or
 * NULL.
 */
struct job *let_pass(struct job *current, int64_t now_ms);

/* known.c; t->known may be NULL */
bool destination_is_known(const struct transport *t, const struct destination *d, int64_t now_ms);
void destination_succeeded(struct transport *t, const struct destination *d, int64_t now_ms);
void destination_forget(struct transport *t, const struct destination *d);

/* standing.c */
void destination_pause(struct destination *d, int64_t now_ms);
void transport_pause(struct transport *t, int64_t now_ms);
void destination_die(struct destination *d, struct str reason, int64_t now_ms);

#endif
