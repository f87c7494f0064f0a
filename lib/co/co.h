/* SPDX-License-Identifier: ISC */
/*
 * Stackful coroutines on one event loop in one thread. A coroutine never changes thread.
 *
 * A daemon's session is one coroutine that reads from top to bottom like a blocking program.
 * Cancellation is only ever "your next wait returns -ECANCELED", and it stays so: the coroutine
 * unwinds by returning, so AUTO cleanups run. A parked stack is never freed.
 *
 * Every wait below may also be called outside a coroutine (in main(), or in the agents that do not
 * multiplex): then it simply blocks the process (poll, nanosleep, a direct call).
 */
#ifndef ROAD_CO_CO_H
#define ROAD_CO_CO_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/list.h"

#define MAY_YIELD			/* on every prototype that can switch: what others may change meanwhile is not to be trusted after it */

typedef int64_t when_t;			/* absolute, mono_ms() */
when_t in(int64_t ms);			/* now + ms; NEVER stays NEVER */
when_t sooner(when_t a, when_t b);
#define NEVER INT64_MAX

/* ---- the loop ---- */

/*
 * Runs `first` as the first coroutine and then the loop, until loop_stop(). Call once per process,
 * before any other.
 */
int loop_run(void (*first)(void *), void *arg);
void loop_stop(void);			/* loop_run() returns after this turn */
bool loop_is_running(void);		/* false: waits block plainly, and nothing runs at "turn end" */

/*
 * End of turn: `run` is called once on the loop's own stack after everything that is ready has run
 * and before the loop sleeps. This is where channels, logs and journals write what gathered. Must
 * not wait.
 */
struct turn {
	void (*run)(struct turn *t);
	struct list link;		/* zero-initialise; owned by the loop while queued */
};
void at_turn_end(struct turn *t);	/* idempotent while queued */
void turn_cancel(struct turn *t);

/*
 * A timer without a coroutine, for tables with many deadlines. `run` is called on the loop's stack;
 * must not wait.
 */
struct timer {
	void (*run)(struct timer *t);
	when_t due;
	size_t heap_index;		/* zero-initialise; owned by the loop */
};
void timer_set(struct timer *t, when_t due);	/* also moves one that is set; NEVER takes it out */

/* A POSIX signal as an event on the loop: `run` is called on the loop's stack. One handler per signal. */
void on_signal(int signal_number, void (*run)(int signal_number));

/*
 * In a forked child that goes on without exec: forgets the parent's loop, signals and threads;
 * waits block plainly.
 */
void co_after_fork(void);

/* ---- coroutines ---- */

struct co;
struct co *co_self(void);		/* NULL on the loop or outside */
const char *co_name(const struct co *co);
const char *co_what(const struct co *co);	/* as co_describe() said; "" */
/*
 * What the coroutine is busy with: peer, queue id. For gdb, the census and slow-slice reports.
 * Copied, cut to 63 bytes.
 */
void co_describe(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool co_is_cancelled(void);		/* of the running one */

/* A set of coroutines with one owner (libdill's bundle). */
struct scope;
struct scope *scope_open(const char *name);
/* Starts run(arg) soon (not at once). -EAGAIN: no stack to be had. `name` is not copied. */
int scope_start(struct scope *s, const char *name, void (*run)(void *), void *arg);
int scope_count(const struct scope *s);
int scope_wait(struct scope *s, when_t until) MAY_YIELD;	/* 0 all done, -ETIMEDOUT, -ECANCELED */
void scope_cancel(struct scope *s);				/* each one's next wait returns -ECANCELED */
/* cancels all, waits for their end, frees. NULL is fine */
void scope_close(struct scope *s) MAY_YIELD;

/* ---- waiting ---- */

/*
 * events: POLLIN, POLLOUT. Returns the ready ones, -ETIMEDOUT, -ECANCELED. Try the operation first
 * and wait only on EAGAIN: the descriptor stays registered edge-triggered. At most one coroutine
 * reads and one writes a descriptor.
 */
int co_wait_fd(int fd, short events, when_t until) MAY_YIELD;
void co_forget_fd(int fd);		/* before close() of a descriptor that was ever waited for */
int co_sleep(when_t until) MAY_YIELD;	/* 0 or -ECANCELED */
void co_pass(void) MAY_YIELD;		/* lets everyone else who is ready run first */

/*
 * Runs work(arg) on a pool thread (fsync, NSS) and returns its result. Cannot be cancelled
 * half-way: the coroutine waits for the worker and sees -ECANCELED at its next wait. work must not
 * touch anything the loop touches.
 */
int co_offload(int (*work)(void *), void *arg) MAY_YIELD;
bool co_offload_pending(void);		/* has anybody work on a pool thread, or done and not yet seen? */
/* Starts all threads now. Otherwise each starts when it is first needed, which also works inside a jail. */
void co_start_pool(void);

/* A condition: whoever waits is woken by the next ring and looks again. */
struct bell {
	struct list waiting;
};
void bell_init(struct bell *b);
int bell_wait(struct bell *b, when_t until) MAY_YIELD;	/* 0 rung, -ETIMEDOUT, -ECANCELED */
/* wakes all who wait now; from anywhere in the loop thread */
void bell_ring(struct bell *b);

/* A counting semaphore with a fair queue. */
struct gate {
	int room;
	struct list waiting;
};
void gate_init(struct gate *g, int room);
int gate_enter(struct gate *g, when_t until) MAY_YIELD;	/* 0, -ETIMEDOUT, -ECANCELED */
void gate_leave(struct gate *g);

/* ---- for tests and tools ---- */

/*
 * The deepest stack use since start, per coroutine name, painted stacks (POSTROAD_STACK_CENSUS=1).
 * Calls show() for each.
 */
void co_census(void (*show)(const char *name, size_t deepest, size_t stack_size));
/* before loop_run(); 0 keeps a default */
void co_tune(size_t stack_bytes, size_t most_coroutines, int pool_threads);

/*
 * Virtual time: both clocks stand still while anybody is ready, and jump to the next timer when
 * nobody is. For tests of schedules that take hours. wall_us < 0: real time again.
 */
void loop_use_virtual_time(int64_t wall_us);

/*
 * Called for every slice longer than 50 ms (one that starves the others). NULL: nobody wants to
 * know, and it costs nothing.
 */
void loop_report_slow(void (*report)(const char *name, const char *what, int64_t us));
/*
 * Gets the line about a stack overflow instead of stderr, inside the signal handler: only write(2),
 * send(2) and the like.
 */
void co_report_overflow(void (*to)(const char *line));

#endif
