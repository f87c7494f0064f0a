/* SPDX-License-Identifier: ISC */
/*
 * The pool of coroutine stacks. Slabs of 64 stacks are mapped without reserving memory and never
 * unmapped; below each stack lies a guard. Free stacks are reused last in, first out, because the
 * last one's pages are warm; of those that lie deeper than WARM_STACKS the pages are given back.
 * The struct co lies at the top of its stack.
 *
 * The guard is 64 KiB: glibc chooses between alloca and malloc by the limit of the thread, whose
 * stack is far bigger than ours, so a libc routine may step over a single page.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/str.h"
#include "lib/co/private.h"
#include "lib/co/sanitizers.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102		/* Linux 6.13: a guard without a mapping of its own */
#endif

enum { STACKS_PER_SLAB = 64, WARM_STACKS = 64 };

#ifdef CO_BIG_STACKS
static size_t stack_bytes = 512 << 10;
#else
static size_t stack_bytes = 128 << 10;
#endif
static const size_t GUARD_BYTES = 64 << 10;
static size_t most_stacks = 100000;
static bool guards_need_mappings;	/* mprotect: two mappings per stack, and the system limits them */

struct slab {
	struct slab *next;
	char *at;
	size_t size, stride;
};

static struct slab *slabs;		/* newest first; read by the crash handler */
static char **free_stacks;		/* the lowest usable byte of each */
static size_t free_count, free_cap, made, live;
static size_t cold_count;		/* of the free ones, counted from the bottom: they hold no pages */

/* 4 KiB, or on some machines 16 or 64. */
static size_t page_size(void)
{
	static size_t size;

	if (size == 0)
		size = (size_t) sysconf(_SC_PAGESIZE);
	return size;
}

void stack_tune(size_t bytes, size_t most)
{
	BUG_UNLESS(slabs == NULL || bytes == 0);
	if (bytes > 0)
		stack_bytes = (bytes + page_size() - 1) & ~(page_size() - 1);
	if (most > 0)
		most_stacks = most;
}

size_t stack_live(void)
{
	return live;
}

static size_t most_mappings(void)
{
	char text[32];
	int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	int64_t most = 65530;

	if (fd >= 0)
		close(fd);
	if (n > 0 && str_to_int(str_trim(str_make(text, (size_t) n)), 1024, INT32_MAX, &most) < 0)
		most = 65530;
	return (size_t) most;
}

static int make_guard(char *at)
{
#ifndef CO_SANITIZED		/* LeakSanitizer reads whole mappings: it must be able to see where a guard is */
	if (!guards_need_mappings && madvise(at, GUARD_BYTES, MADV_GUARD_INSTALL) == 0)
		return 0;
#endif
	if (!guards_need_mappings) {
		guards_need_mappings = true;
		most_stacks = MIN(most_stacks, most_mappings() / 3);
	}
	return mprotect(at, GUARD_BYTES, PROT_NONE) < 0 ? -errno : 0;
}

static void keep_free(char *low)
{
	if (free_count == free_cap) {
		free_cap = free_cap == 0 ? STACKS_PER_SLAB : free_cap * 2;
		free_stacks = resize_memory(free_stacks, free_cap * sizeof(*free_stacks));
	}
	free_stacks[free_count++] = low;
}

static int add_slab(void)
{
	size_t stride = GUARD_BYTES + stack_bytes, size = stride * STACKS_PER_SLAB;
	struct slab *slab;
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (at == MAP_FAILED)
		return -EAGAIN;
	madvise(at, size, MADV_NOHUGEPAGE);	/* or every touched stack holds 2 MiB */
	for (int i = 0; i < STACKS_PER_SLAB; i++) {
		if (make_guard(at + (size_t) i * stride) < 0) {
			munmap(at, size);
			return -EAGAIN;
		}
	}
	slab = get_memory(sizeof(*slab));
	*slab = (struct slab){ .next = slabs, .at = at, .size = size, .stride = stride };
	slabs = slab;
	made += STACKS_PER_SLAB;
	root_region_register(at, size);
	for (int i = STACKS_PER_SLAB - 1; i >= 0; i--) {
		char *low = at + (size_t) i * stride + GUARD_BYTES;

		keep_free(low);
		valgrind_stack_register(low, low + stack_bytes);
	}
	cold_count = free_count;
	return 0;
}

struct co *stack_get(void)
{
	const size_t head = (sizeof(struct co) + 63) & ~(size_t) 63;
	struct co *co;
	char *low;

	if (free_count == 0 && (made >= most_stacks || add_slab() < 0))
		return NULL;
	low = free_stacks[--free_count];
	cold_count = MIN(cold_count, free_count);
	unpoison(low, stack_bytes);
	co = (struct co *) (void *) (low + stack_bytes - head);
	memset(co, 0, sizeof(*co));
	co->stack_low = low;
	co->stack_size = (size_t) ((char *) co - low);
	live++;
	return co;
}

void stack_put(struct co *co)
{
	live--;
	keep_free(co->stack_low);
	if (free_count - cold_count > WARM_STACKS && !census_is_on())
		madvise(free_stacks[cold_count++], stack_bytes, MADV_DONTNEED);
}

void stack_trim(struct co *co)
{
	const char *in_use = co->context.depth != NULL ? co->context.depth : co->context.sp;
	char *end = (char *) (((uintptr_t) in_use - 256) & ~(page_size() - 1));

	if (end > co->stack_low && end < (char *) co && !census_is_on())
		madvise(co->stack_low, (size_t) (end - co->stack_low), MADV_DONTNEED);
}

const char *stack_guarding(const void *address)
{
	const char *at = address;

	for (const struct slab *slab = slabs; slab != NULL; slab = slab->next) {
		if (at >= slab->at && at < slab->at + slab->size) {
			size_t offset = (size_t) (at - slab->at) % slab->stride;

			return offset < GUARD_BYTES ? at - offset + GUARD_BYTES : NULL;
		}
	}
	return NULL;
}
