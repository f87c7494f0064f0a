/* SPDX-License-Identifier: ISC */
/*
 * Messages that wait on disk: deferred ones for their next attempt, new ones for room in memory. A million of
 * them is a matter of some
 * 80 MB and of no directory scans: found by id, ordered by time.
 */
#ifndef ROAD_QMGR_SLEEPERS_H
#define ROAD_QMGR_SLEEPERS_H

#include "lib/queue/queue.h"
#include "qmgr/heap.h"

struct sleeper {
	struct heap_node due;		/* key: see sleepers_add */
	struct sleeper *next;		/* with the same hash */
	uint32_t sites;			/* which recipient domains it may have: see site_bit() */
	unsigned char where;		/* QUEUE_INCOMING or QUEUE_DEFERRED */
	unsigned char busy;		/* how often a predecessor was found to be delivering it still */
	bool is_crowd;			/* it has many recipients, and there was no room for them */
	/* somebody asked for this attempt: not to be put off because the destination seems dead */
	bool insist;
	char id[];
};

enum { ALL_SITES = -1 };		/* not looked at yet: may have any */
uint32_t site_bit(
	struct str domain); /* one of 32, for sleeper.sites: the empty intersection says "certainly not" */

struct sleepers;
struct sleepers *sleepers_new(void);
void sleepers_free(struct sleepers *s);
size_t sleepers_count(const struct sleepers *s, enum queue_name where);
struct sleeper *sleepers_find(const struct sleepers *s, struct str id);
/* due: wall_us() of the next attempt. One with the same id is replaced. */
struct sleeper *sleepers_add(struct sleepers *s, enum queue_name where, struct str id, int64_t due_us,
			     uint32_t sites);
void sleepers_set_due(struct sleepers *s, struct sleeper *sl, int64_t due_us);
void sleepers_mark_crowd(struct sleepers *s, struct sleeper *sl);
/* the one due next, or NULL; crowds: one of these, too */
struct sleeper *sleepers_first(const struct sleepers *s, enum queue_name where, bool crowds);
void sleepers_remove(struct sleepers *s, struct sleeper *sl);
/* Walks all; the callback must not add or remove. */
void sleepers_each(struct sleepers *s, void (*each)(void *arg, struct sleeper *sl), void *arg);

#endif
