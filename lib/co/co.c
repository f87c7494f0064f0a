/* SPDX-License-Identifier: ISC */
/*
 * Coroutines and scopes. Only the loop switches into a coroutine and a coroutine switches only back
 * to the loop, so there is one place for each direction, and that is where the sanitizers are told.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/format.h"
#include "lib/co/loop.h"
#include "lib/co/private.h"
#include "lib/co/sanitizers.h"

struct scope {
	const char *name;
	int count;
	bool closing;			/* who is started by one of those that end is cancelled as well */
	struct list members;
	struct list waiting;		/* coroutines in scope_wait() or scope_close() */
};

struct co *co_current;
struct list co_all = LIST_INIT(co_all);

static struct co_context loop_context;
static const void *loop_stack_low;	/* learned at the first entry; for AddressSanitizer */
static size_t loop_stack_size;
static void *loop_tsan_fiber;

/* ---- switching ---- */

static void back_to_loop(struct co *co, void **fake_stack)
{
	fiber_leave(fake_stack, loop_stack_low, loop_stack_size);
	tsan_fiber_enter(loop_tsan_fiber);
	co_switch(&co->context, &loop_context);
	fiber_enter(co->fake_stack, &loop_stack_low, &loop_stack_size);
}

static void boot(void *arg)
{
	struct co *co = arg;

	fiber_enter(NULL, &loop_stack_low, &loop_stack_size);
	co->run(co->arg);
	co->state = CO_DONE;
	back_to_loop(co, NULL);		/* NULL: the fake stack ends here */
	BUG("%s runs after its end", co->name);
}

static void end(struct co *co)
{
	struct scope *scope = co->scope;

	census_note(co);
	tsan_fiber_free(co->tsan_fiber);
	list_remove(&co->in_all);
	list_remove(&co->in_scope);
	stack_put(co);
	if (--scope->count == 0) {
		LIST_EACH(waiter, &scope->waiting, struct co, waiting)
			co_wake(waiter, 0);
	}
}

void co_resume(struct co *co)
{
	void *fake_stack = NULL;

	BUG_UNLESS(co_current == NULL && co->state == CO_READY);
	if (loop_tsan_fiber == NULL)
		loop_tsan_fiber = tsan_fiber_self();
	co->state = CO_RUNNING;
	co_current = co;
	fiber_leave(&fake_stack, co->stack_low, co->stack_size);
	tsan_fiber_enter(co->tsan_fiber);
	co_switch(&loop_context, &co->context);
	fiber_enter(fake_stack, NULL, NULL);
	co_current = NULL;
	if (co->state == CO_DONE)
		end(co);
}

static void timed_out(struct timer *t)
{
	co_wake(CONTAINER_OF(t, struct co, timer), -ETIMEDOUT);
}

/*
 * Whoever parks has put co->waiting into the list it wants to be found in, if any; it is taken out
 * when woken.
 */
int co_park(when_t until, bool cancellable)
{
	struct co *co = co_current;

	if (cancellable && co->cancelled) {
		list_remove(&co->waiting);
		return -ECANCELED;
	}
	if (until != NEVER) {
		co->timer.run = timed_out;
		timer_set(&co->timer, until);
	}
	co->cancellable = cancellable;
	co->state = CO_PARKED;
	loop_parked(co);
	back_to_loop(co, &co->fake_stack);
	return co->wake_result;
}

void co_wake(struct co *co, int result)
{
	if (co->state != CO_PARKED)
		return;
	if (co->timer.heap_index != 0)
		timer_set(&co->timer, NEVER);
	list_remove(&co->waiting);
	co->wake_result = result;
	co->state = CO_READY;
	loop_ready(co);
}

bool co_may_park(void)
{
	if (co_current == NULL && co_loop_running)
		BUG("a wait on the loop's own stack");
	return co_current != NULL;
}

void co_pass(void)
{
	struct co *co = co_current;

	if (co == NULL)
		return;
	co->state = CO_READY;
	co->wake_result = 0;
	loop_passed(co);
	back_to_loop(co, &co->fake_stack);
}

int co_sleep(when_t until)
{
	int result;

	if (!co_may_park()) {
		for (when_t left; (left = until - mono_ms()) > 0;)
			poll(NULL, 0, (int) MIN(left, (when_t) 3600000));
		return 0;
	}
	result = co_park(until, true);
	return result == -ETIMEDOUT ? 0 : result;
}

/* ---- who runs ---- */

struct co *co_self(void)
{
	return co_current;
}

const char *co_name(const struct co *co)
{
	return co->name;
}

const char *co_what(const struct co *co)
{
	return co->what;
}

void co_describe(const char *format, ...)
{
	va_list arguments;

	if (co_current == NULL)
		return;
	va_start(arguments, format);
	format_textv(co_current->what, sizeof(co_current->what), format, arguments);
	va_end(arguments);
}

bool co_is_cancelled(void)
{
	return co_current != NULL && co_current->cancelled;
}

void co_after_fork(void)
{
	co_current = NULL;
	co_loop_running = false;
	loop_dropped();
}

void co_tune(size_t stack_bytes, size_t most_coroutines, int pool_threads)
{
	stack_tune(stack_bytes, most_coroutines);
	offload_tune(pool_threads);
}

/* ---- scopes ---- */

struct scope *scope_open(const char *name)
{
	struct scope *s = get_memory(sizeof(*s));

	s->name = name;
	list_init(&s->members);
	list_init(&s->waiting);
	return s;
}

int scope_start(struct scope *s, const char *name, void (*run)(void *), void *arg)
{
	struct co *co = stack_get();

	if (co == NULL)
		return -EAGAIN;
	co->name = name;
	co->run = run;
	co->arg = arg;
	co->scope = s;
	co->cancelled = s->closing;
	co->started = mono_ms();
	list_init(&co->waiting);
	list_init(&co->queued);
	list_append(&co_all, &co->in_all);
	list_append(&s->members, &co->in_scope);
	s->count++;
	if (census_is_on())
		census_paint(co);
	co_context_make(&co->context, co->stack_low, co->stack_size, boot, co);
	co->tsan_fiber = tsan_fiber_new();
	co->state = CO_READY;
	loop_ready(co);
	return 0;
}

int scope_count(const struct scope *s)
{
	return s->count;
}

static bool is_member(const struct scope *s)
{
	return co_current != NULL && co_current->scope == s;
}

int scope_wait(struct scope *s, when_t until)
{
	if (s->count == 0)
		return 0;
	if (!co_may_park() || is_member(s))
		BUG("scope %s: this wait can never end", s->name);
	list_append(&s->waiting, &co_current->waiting);
	return co_park(until, true);
}

void scope_cancel(struct scope *s)
{
	LIST_EACH(co, &s->members, struct co, in_scope) {
		co->cancelled = true;
		if (co->state == CO_PARKED && co->cancellable)
			co_wake(co, -ECANCELED);
	}
}

void scope_close(struct scope *s)
{
	if (s == NULL)
		return;
	if (s->count > 0) {
		if (!co_may_park() || is_member(s))
			BUG("scope %s: closed by who cannot wait for its end", s->name);
		s->closing = true;
		scope_cancel(s);
		list_append(&s->waiting, &co_current->waiting);
		co_park(NEVER, false);
	}
	BUG_UNLESS(s->count == 0);
	free(s);
}
