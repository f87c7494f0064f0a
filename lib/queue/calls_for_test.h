/* SPDX-License-Identifier: ISC */
/*
 * The system calls of lib/queue and lib/disk, on a disk in memory: the linker (--wrap, Makefile.inc)
 * has what these rooms call come here, and what is about another descriptor goes on to the kernel.
 * Work for pool threads is done at once, and what is random comes from dice: the same walk makes the
 * same calls.
 */
#ifndef ROAD_QUEUE_CALLS_FOR_TEST_H
#define ROAD_QUEUE_CALLS_FOR_TEST_H

#include "lib/queue/disk_for_test.h"

/* A descriptor of its root directory. */
int calls_mount(struct disk *d);
/* As when a process ends: descriptors of that disk that were opened since are closed, locks given back. */
void calls_close_all(const struct disk *d);

/* Is told after each call that changed that disk, or synced some of it. Returns who was told before. */
struct watch {
	const struct disk *d;
	void (*step)(void *arg);
	void *arg;
};
struct watch calls_watch(struct watch w);

/* Which calls fail, or do not what they say. */
enum lie { NO_LIE, FSYNC_LIES, FDATASYNC_LIES };
struct calls_trouble {
	uint64_t countdown;		/* until the next one fails; 0: none does */
	unsigned failing;		/* that many in a row from then on */
	uint64_t then;			/* and the so-manieth after these; 0: none */
	bool is_full;			/* no file can grow, and there is room for no new one */
	enum lie lie;			/* a sync that does nothing and says that it did */
	int lying_site;			/* the same at one place in the program only, numbered from 1; 0: none */
};
extern struct calls_trouble calls_trouble;
extern uint64_t calls_failed;		/* so many did, of those counted */
/* Where syncs were called from, in the order in which they were met. */
enum { MOST_SYNC_SITES = 32 };
extern const void *calls_sync_sites[MOST_SYNC_SITES];
extern int calls_sync_site_count;
extern uint64_t calls_dice;
extern bool calls_outside_loop;		/* what looks like the loop's coroutine is another process */

/* Several processes (tasks_for_test.h): who calls now, and who is told before each call, since others may come first. */
extern int calls_process;
extern bool calls_are_of_the_dead;	/* nothing that it calls has an effect any more */
extern void (*calls_before)(void);
extern int (*calls_offload)(int (*work)(void *), void *arg);
/* Its locks are gone; descriptors are closed as it is taken down. */
void calls_drop_locks(int process);

#endif
