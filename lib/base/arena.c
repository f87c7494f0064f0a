/* SPDX-License-Identifier: ISC */
/*
 * An arena is a list of blocks, newest first. Blocks double up to 64 KiB; a bigger request gets a
 * block of its own. The first block is made at the first use, so an idle arena costs its head only.
 */
#include "lib/base/arena.h"

#include <stdarg.h>

#include "lib/base/die.h"
#include "lib/base/format.h"
#include "lib/base/list.h"

struct block {
	struct block *older;
	size_t size, used;
	_Alignas(max_align_t) char bytes[];
};

struct arena {
	const char *name;
	size_t limit, held;		/* held: bytes handed out */
	struct block *newest;
	struct list children, sibling;
};

/*
 * The first block with its head is what malloc() finds fastest again: up to 1032 bytes have a list
 * of their own in glibc.
 */
enum { FIRST_BLOCK = 1024 - sizeof(struct block), BIGGEST_BLOCK = 65536, ALIGNMENT = _Alignof(max_align_t) };

struct arena *arena_new(const char *name, struct arena *parent, size_t limit)
{
	struct arena *a = get_memory(sizeof(*a));

	a->name = name;
	a->limit = limit;
	list_init(&a->children);
	list_init(&a->sibling);
	if (parent != NULL)
		list_append(&parent->children, &a->sibling);
	return a;
}

static void add_block(struct arena *a, size_t need)
{
	size_t size = a->newest == NULL ? FIRST_BLOCK : MIN(a->newest->size * 2, (size_t) BIGGEST_BLOCK);
	struct block *block;

	size = MAX(size, need);
	block = resize_memory(NULL, sizeof(*block) + size);
	block->size = size;
	block->used = 0;
	block->older = a->newest;
	a->newest = block;
}

static char *take(struct arena *a, size_t n)
{
	size_t need = (MAX(n, (size_t) 1) + ALIGNMENT - 1) & ~((size_t) ALIGNMENT - 1);
	char *at;

	if (n > a->limit || need > a->limit - MIN(a->held, a->limit))
		BUG("arena %s: %zu bytes more than its limit of %zu", a->name, n, a->limit);
	if (a->newest == NULL || a->newest->size - a->newest->used < need)
		add_block(a, need);
	at = a->newest->bytes + a->newest->used;
	a->newest->used += need;
	a->held += need;
	return at;
}

void *arena_get(struct arena *a, size_t n)
{
	return memset(take(a, n), 0, n);
}

size_t arena_left(const struct arena *a)
{
	return a->limit - MIN(a->held, a->limit);
}

size_t arena_used(const struct arena *a)
{
	return a->held;
}

struct str arena_copy(struct arena *a, struct str s)
{
	char *copy = take(a, s.len + 1);

	if (s.len > 0)
		memcpy(copy, s.at, s.len);
	copy[s.len] = 0;
	return str_make(copy, s.len);
}

struct str arena_lower(struct arena *a, struct str s)
{
	char *copy = take(a, s.len + 1);

	for (size_t i = 0; i < s.len; i++)
		copy[i] = to_lower(s.at[i]);
	copy[s.len] = 0;
	return str_make(copy, s.len);
}

const char *str_c(struct arena *a, struct str s)
{
	return arena_copy(a, s).at;
}

struct str arena_fmt(struct arena *a, const char *format, ...)
{
	va_list arguments;
	char usual[256], *text;
	int n;

	va_start(arguments, format);
	n = format_textv(usual, sizeof(usual), format, arguments);
	va_end(arguments);
	BUG_UNLESS(n >= 0);
	text = arena_get(a, (size_t) n + 1);
	if (n < (int) sizeof(usual)) {
		memcpy(text, usual, (size_t) n);
	} else {
		va_start(arguments, format);
		format_textv(text, (size_t) n + 1, format, arguments);
		va_end(arguments);
	}
	return str_make(text, (size_t) n);
}

void *arena_grow_array(struct arena *a, const void *old, size_t len, size_t *cap, size_t element_size)
{
	size_t new_cap = *cap == 0 ? 8 : *cap * 2;
	size_t bytes;
	void *array;

	if (__builtin_mul_overflow(new_cap, element_size, &bytes))
		BUG("arena %s: array overflow", a->name);
	array = arena_get(a, bytes);
	if (len > 0)
		memcpy(array, old, len * element_size);
	*cap = new_cap;
	return array;
}

void arena_reset(struct arena *a)
{
	LIST_EACH(child, &a->children, struct arena, sibling)
		arena_free(child);
	while (a->newest != NULL && a->newest->older != NULL) {
		struct block *older = a->newest->older;

		free(a->newest);
		a->newest = older;
	}
	if (a->newest != NULL && a->newest->size > BIGGEST_BLOCK) {
		free(a->newest);
		a->newest = NULL;
	}
	if (a->newest != NULL)
		a->newest->used = 0;
	a->held = 0;
}

void arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	arena_reset(a);
	list_remove(&a->sibling);
	free(a->newest);
	free(a);
}

void arena_reset_wipe(struct arena *a)
{
	for (struct block *b = a->newest; b != NULL; b = b->older)
		explicit_bzero(b->bytes, b->used);
	arena_reset(a);
}

void arena_wipe(struct arena *a)
{
	if (a != NULL)
		arena_reset_wipe(a);
	arena_free(a);
}
