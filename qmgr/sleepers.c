/* SPDX-License-Identifier: ISC */
/* See sleepers.h. A hash table with chains through the sleepers themselves, and one heap per queue. */
#include "qmgr/sleepers.h"

#include "lib/base/die.h"

enum { FIRST_SLOTS = 1024 };

struct sleepers {
	struct heap queues[QUEUE_COUNT], crowds[QUEUE_COUNT];
	struct sleeper **slots;
	size_t slot_count, count;	/* slot_count: a power of two */
};

uint32_t site_bit(struct str domain)
{
	return UINT32_C(1) << (str_hash_nocase(domain) & 31);
}

struct sleepers *sleepers_new(void)
{
	struct sleepers *s = get_memory(sizeof(*s));

	s->slot_count = FIRST_SLOTS;
	s->slots = get_memory(s->slot_count * sizeof(struct sleeper *));
	return s;
}

void sleepers_free(struct sleepers *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->slot_count; i++)
		while (s->slots[i] != NULL)
			sleepers_remove(s, s->slots[i]);
	for (int i = 0; i < QUEUE_COUNT; i++) {
		heap_free(&s->queues[i]);
		heap_free(&s->crowds[i]);
	}
	free(s->slots);
	free(s);
}

size_t sleepers_count(const struct sleepers *s, enum queue_name where)
{
	return s->queues[where].len + s->crowds[where].len;
}

static struct sleeper **slot_of(const struct sleepers *s, struct str id)
{
	return &s->slots[str_hash(id) & (s->slot_count - 1)];
}

/* The pointer that points at it, so that it can be taken out; at the chain's end when it is not there. */
static struct sleeper **find(const struct sleepers *s, struct str id)
{
	struct sleeper **at = slot_of(s, id);

	while (*at != NULL && !str_is(str_of((*at)->id), id))
		at = &(*at)->next;
	return at;
}

struct sleeper *sleepers_find(const struct sleepers *s, struct str id)
{
	return *find(s, id);
}

static void grow(struct sleepers *s)
{
	struct sleepers bigger = { .slot_count = s->slot_count * 2 };

	bigger.slots = get_memory(bigger.slot_count * sizeof(struct sleeper *));
	for (size_t i = 0; i < s->slot_count; i++)
		while (s->slots[i] != NULL) {
			struct sleeper *sl = s->slots[i], **slot = slot_of(&bigger, str_of(sl->id));

			s->slots[i] = sl->next;
			sl->next = *slot;
			*slot = sl;
		}
	free(s->slots);
	s->slots = bigger.slots;
	s->slot_count = bigger.slot_count;
}

struct sleeper *sleepers_add(struct sleepers *s, enum queue_name where, struct str id, int64_t due_us,
			     uint32_t sites)
{
	struct sleeper *sl = sleepers_find(s, id), **slot;

	if (sl != NULL)
		sleepers_remove(s, sl);
	if (s->count >= s->slot_count)
		grow(s);
	sl = get_memory(sizeof(*sl) + id.len + 1);
	memcpy(sl->id, id.at, id.len);
	sl->where = (unsigned char) where;
	sl->sites = sites;
	slot = slot_of(s, id);
	sl->next = *slot;
	*slot = sl;
	s->count++;
	heap_set(&s->queues[where], &sl->due, due_us);
	return sl;
}

static struct heap *heap_of(struct sleepers *s, const struct sleeper *sl)
{
	return sl->is_crowd ? &s->crowds[sl->where] : &s->queues[sl->where];
}

void sleepers_set_due(struct sleepers *s, struct sleeper *sl, int64_t due_us)
{
	heap_set(heap_of(s, sl), &sl->due, due_us);
}

void sleepers_mark_crowd(struct sleepers *s, struct sleeper *sl)
{
	heap_remove(heap_of(s, sl), &sl->due);
	sl->is_crowd = true;
	heap_set(heap_of(s, sl), &sl->due, sl->due.key);
}

struct sleeper *sleepers_first(const struct sleepers *s, enum queue_name where, bool crowds)
{
	struct heap_node *n = heap_first(&s->queues[where]),
			 *crowd = crowds ? heap_first(&s->crowds[where]) : NULL;

	if (n == NULL || (crowd != NULL && crowd->key < n->key))
		n = crowd;
	return n == NULL ? NULL : CONTAINER_OF(n, struct sleeper, due);
}

void sleepers_remove(struct sleepers *s, struct sleeper *sl)
{
	struct sleeper **at = find(s, str_of(sl->id));

	BUG_UNLESS(*at == sl);
	*at = sl->next;
	heap_remove(heap_of(s, sl), &sl->due);
	s->count--;
	free(sl);
}

void sleepers_each(struct sleepers *s, void (*each)(void *arg, struct sleeper *sl), void *arg)
{
	for (size_t i = 0; i < s->slot_count; i++)
		for (struct sleeper *sl = s->slots[i]; sl != NULL; sl = sl->next)
			each(arg, sl);
}
