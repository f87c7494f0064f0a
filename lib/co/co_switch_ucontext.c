/* SPDX-License-Identifier: ISC */
/*
 * The portable stack switch: swapcontext(3). Costs one system call per switch (it saves the signal
 * mask), which nobody notices beside the I/O that made the coroutine wait. A context lies at the
 * top of its own stack; the loop's is static.
 */
#include <stdint.h>
#include <ucontext.h>

#include "lib/base/die.h"
#include "lib/co/private.h"

/* makecontext() passes ints only, so pointers travel in halves. */
static void boot(unsigned entry_high, unsigned entry_low, unsigned arg_high, unsigned arg_low)
{
	uintptr_t entry = (uintptr_t) ((uint64_t) entry_high << 32 | entry_low);
	uintptr_t arg = (uintptr_t) ((uint64_t) arg_high << 32 | arg_low);

	((void (*)(void *)) entry)((void *) arg);
	BUG("a coroutine's entry returned");
}

void co_context_make(struct co_context *c, void *stack_low, size_t size, void (*entry)(void *), void *arg)
{
	uintptr_t top = ((uintptr_t) stack_low + size - sizeof(ucontext_t)) & ~(uintptr_t) 63;
	ucontext_t *context = (ucontext_t *) top;
	uint64_t e = (uintptr_t) entry, a = (uintptr_t) arg;

	getcontext(context);
	context->uc_stack.ss_sp = stack_low;
	context->uc_stack.ss_size = top - (uintptr_t) stack_low;
	context->uc_link = NULL;
	makecontext(context, (void (*)(void)) (void *) boot, 4,
		    (unsigned) (e >> 32), (unsigned) e, (unsigned) (a >> 32), (unsigned) a);
	c->sp = context;
}

void co_switch(struct co_context *from, const struct co_context *to)
{
	static ucontext_t loop_context;

	if (from->sp == NULL)
		from->sp = &loop_context;
	from->depth = __builtin_frame_address(0);
	swapcontext(from->sp, to->sp);
}
