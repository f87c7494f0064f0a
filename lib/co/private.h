/* SPDX-License-Identifier: ISC */
/*
 * Inside lib/co only: the coroutine, how its stack is switched, and what the files of this room share.
 *
 * A coroutine is in one of these states:
 *   READY    in the ready (or passed) queue; `wake_result` is what its wait will return
 *   RUNNING  it is `co_current`
 *   PARKED   waits; exactly one wake() makes it READY, later ones do nothing
 *   DONE     has returned; its stack goes back to the pool before the loop runs anything else
 */
#ifndef ROAD_CO_PRIVATE_H
#define ROAD_CO_PRIVATE_H

#include <stddef.h>

#include "lib/co/co.h"

/* ---- switching: co_switch_x86_64.S, co_switch_aarch64.S or co_switch_ucontext.c ---- */

/* asm: the stack pointer under which the callee-saved registers lie. ucontext: where the ucontext_t lies. */
struct co_context {
	void *sp;
	/* ucontext, once it was switched away: about where its stack pointer stands */
	char *depth;
};

/* Makes the first co_switch() to c call entry(arg) on the given stack. entry never returns. */
void co_context_make(struct co_context *c, void *stack_low, size_t size, void (*entry)(void *), void *arg);
void co_switch(struct co_context *from, const struct co_context *to);

/* ---- coroutines ---- */

enum co_state { CO_READY, CO_RUNNING, CO_PARKED, CO_DONE };

/* Lies at the top of its own stack, so a parked session costs no other memory. */
struct co {
	struct co_context context;
	enum co_state state;
	bool cancelled;
	bool cancellable;		/* of the present wait */
	int wake_result;
	const char *name;
	char what[64];			/* co_describe() */
	void (*run)(void *);
	void *arg;
	when_t started, parked_at;
	struct scope *scope;
	struct list in_scope;
	struct list in_all;		/* co_all, for gdb and the census */
	/* ready, passed; or, while parked: co_parked, in the order of parking */
	struct list queued;
	struct list waiting;		/* in a bell's, gate's or scope's list */
	struct timer timer;
	void *fake_stack;		/* AddressSanitizer's */
	void *tsan_fiber;
	char *stack_low;		/* lowest usable byte */
	size_t stack_size;		/* from stack_low to this struct */
};

extern struct co *co_current;		/* NULL on the loop or outside */
extern struct list co_all;
extern bool co_loop_running;

/* Waits until wake() or `until`; returns the wake's result or -ETIMEDOUT, or, if cancellable, -ECANCELED. */
int co_park(when_t until, bool cancellable) MAY_YIELD;
void co_wake(struct co *co, int result);
/*
 * For waits: true in a coroutine; false outside, where one blocks plainly; on the loop's stack it
 * is a BUG.
 */
bool co_may_park(void);

/* ---- stacks (stack.c) ---- */

/* zeroed struct co with stack_low and stack_size; NULL: none to be had */
struct co *stack_get(void);
void stack_put(struct co *co);
void stack_trim(struct co *co);		/* gives back the pages below a parked coroutine's stack pointer */
/* The usable stack whose guard holds this address: its lowest byte, or NULL. Safe in a signal handler. */
const char *stack_guarding(const void *address);
size_t stack_live(void);
void stack_tune(size_t bytes, size_t most);	/* 0 keeps a default */

/* ---- the census (census.c) ---- */

bool census_is_on(void);
void census_paint(struct co *co);	/* before its first run */
void census_note(const struct co *co);

/* ---- loop parts ---- */

struct event_base;
struct event_base *loop_base(void);
when_t timers_next(void);		/* NEVER: none */
void timers_run(when_t now);
bool offload_collect(void);		/* wakes whose job is done; true: some were */
void offload_tune(int pool_threads);
/* true: the pool has to wake the loop through its eventfd from now on */
void offload_loop_sleeps(bool sleeps);
void offload_dropped(void);
void watch_fds_dropped(void);		/* after fork: forget all without touching the parent's epoll set */
void crash_handler_install(void);

#endif
