/* SPDX-License-Identifier: ISC */
/*
 * All timers of the process in one binary heap, ordered by due time. heap[0] is unused, so index 0
 * means "not set".
 */
#include "lib/base/die.h"
#include "lib/co/private.h"

static struct timer **heap;
static size_t count, cap;

static void place(size_t at, struct timer *t)
{
	heap[at] = t;
	t->heap_index = at;
}

static void rise(size_t at, struct timer *t)
{
	for (; at > 1 && heap[at / 2]->due > t->due; at /= 2)
		place(at, heap[at / 2]);
	place(at, t);
}

static void sink(size_t at, struct timer *t)
{
	for (size_t child; (child = at * 2) <= count; at = child) {
		if (child < count && heap[child + 1]->due < heap[child]->due)
			child++;
		if (heap[child]->due >= t->due)
			break;
		place(at, heap[child]);
	}
	place(at, t);
}

static void take_out(struct timer *t)
{
	size_t at = t->heap_index;
	struct timer *last = heap[count--];

	t->heap_index = 0;
	if (last == t)
		return;
	if (at > 1 && heap[at / 2]->due > last->due)
		rise(at, last);
	else
		sink(at, last);
}

void timer_set(struct timer *t, when_t due)
{
	if (t->heap_index != 0) {
		BUG_UNLESS(t->heap_index <= count && heap[t->heap_index] == t);
		take_out(t);
	}
	t->due = due;
	if (due == NEVER)
		return;
	if (count + 2 > cap) {
		cap = cap == 0 ? 64 : cap * 2;
		heap = resize_memory(heap, cap * sizeof(*heap));
	}
	count++;
	rise(count, t);
}

when_t timers_next(void)
{
	return count == 0 ? NEVER : heap[1]->due;
}

void timers_run(when_t now)
{
	/* one that sets itself to a past time again runs in the next turn */
	for (size_t left = count; left > 0 && count > 0 && heap[1]->due <= now; left--) {
		struct timer *t = heap[1];

		take_out(t);
		t->run(t);
	}
}
