/* SPDX-License-Identifier: ISC */
/*
 * Several processes on one disk in memory, each with a loop and pool threads, that take turns between any
 * two system calls: before each (calls_for_test.h) the dice say who goes on. Of the tasks of a process one at a
 * time is on its loop; a task whose work is on a pool thread is not, and goes on beside it.
 */
#ifndef ROAD_QUEUE_TASKS_FOR_TEST_H
#define ROAD_QUEUE_TASKS_FOR_TEST_H

#include "lib/co/co.h"
#include "lib/queue/calls_for_test.h"

struct task;

struct process {
	int number;			/* from 1 */
	bool is_dead;
	int tasks;			/* that have not ended */
	struct task *on_loop;
	struct list turns;		/* at_turn_end() */
	void (*when_turn_has_ended)(struct process *p);		/* NULL: nobody wants to know */
};

/* Inside loop_run(). stride: at one call of so many somebody else may go on. */
void tasks_begin(uint64_t *dice, unsigned stride);
void tasks_run(void);				/* until all have ended */

void process_init(struct process *p, int number);
void process_kill(struct process *p);		/* its calls fail from now on; it is to notice that, and to end */
/* run() begins, and has to end, on the process's loop. */
void task_start(struct process *p, void (*run)(void *arg), void *arg);
/* From the loop: the process has nothing else to do for a moment. */
void task_sleep(void);
/* From the loop: what is to be done at the end of its turn, now. */
void process_end_turn(struct process *p);
struct process *process_now(void);

#endif
