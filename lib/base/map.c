/* SPDX-License-Identifier: ISC */
/* Linear probing with backward-shift removal, at most three quarters full. */
#include "lib/base/map.h"

#include "lib/base/die.h"

struct entry {
	uint64_t hash;
	struct str key;		/* owned; at == NULL: free slot */
	void *value;
};

struct map {
	struct entry *entries;
	size_t slots, count;	/* slots is 0 or a power of two */
};

struct map *map_new(void)
{
	return get_memory(sizeof(struct map));
}

/* The slot that holds the key, or the free one where it belongs. Needs slots > count. */
static size_t find_slot(const struct map *m, uint64_t hash, struct str key)
{
	size_t slot = hash & (m->slots - 1);

	while (m->entries[slot].key.at != NULL
	       && (m->entries[slot].hash != hash || !str_is(m->entries[slot].key, key)))
		slot = (slot + 1) & (m->slots - 1);
	return slot;
}

static void grow(struct map *m)
{
	struct map bigger = { .slots = m->slots == 0 ? 16 : m->slots * 2, .count = m->count };

	bigger.entries = get_memory(bigger.slots * sizeof(struct entry));
	for (size_t i = 0; i < m->slots; i++)
		if (m->entries[i].key.at != NULL)
			bigger.entries[find_slot(&bigger, m->entries[i].hash,
						 m->entries[i].key)] = m->entries[i];
	free(m->entries);
	*m = bigger;
}

void *map_get(const struct map *m, struct str key)
{
	if (m->count == 0)
		return NULL;
	return m->entries[find_slot(m, str_hash(key), key)].value;
}

void *map_put(struct map *m, struct str key, void *value)
{
	uint64_t hash = str_hash(key);
	struct entry *e;
	void *old;
	char *copy;

	BUG_UNLESS(value != NULL);
	if ((m->count + 1) * 4 > m->slots * 3)
		grow(m);
	e = &m->entries[find_slot(m, hash, key)];
	old = e->value;
	e->value = value;
	if (e->key.at != NULL)
		return old;
	copy = get_memory(key.len + 1);
	if (key.len > 0)
		memcpy(copy, key.at, key.len);
	e->key = str_make(copy, key.len);
	e->hash = hash;
	m->count++;
	return NULL;
}

void *map_remove(struct map *m, struct str key)
{
	size_t hole, slot;
	void *value;

	if (m->count == 0)
		return NULL;
	hole = find_slot(m, str_hash(key), key);
	if (m->entries[hole].key.at == NULL)
		return NULL;
	value = m->entries[hole].value;
	free((void *) m->entries[hole].key.at);
	for (slot = (hole + 1) & (m->slots - 1); m->entries[slot].key.at != NULL;
	     slot = (slot + 1) & (m->slots - 1)) {
		size_t home = m->entries[slot].hash & (m->slots - 1);

		/* the entry may move into the hole unless its home lies behind the hole */
		if (((slot - home) & (m->slots - 1)) >= ((slot - hole) & (m->slots - 1))) {
			m->entries[hole] = m->entries[slot];
			hole = slot;
		}
	}
	m->entries[hole] = (struct entry){ 0 };
	m->count--;
	return value;
}

size_t map_count(const struct map *m)
{
	return m->count;
}

bool map_next(const struct map *m, struct map_at *i)
{
	/* A removed entry may have been replaced by a later one: look at its slot again. */
	if (i->key.at != NULL && i->slot > 0 && m->entries[i->slot - 1].key.at != NULL
	    && m->entries[i->slot - 1].key.at != i->key.at)
		i->slot--;
	for (; i->slot < m->slots; i->slot++) {
		const struct entry *e = &m->entries[i->slot];

		if (e->key.at == NULL)
			continue;
		i->key = e->key;
		i->value = e->value;
		i->slot++;
		return true;
	}
	return false;
}

void map_free(struct map *m, void (*free_value)(void *))
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->slots; i++) {
		if (m->entries[i].key.at == NULL)
			continue;
		free((void *) m->entries[i].key.at);
		if (free_value != NULL)
			free_value(m->entries[i].value);
	}
	free(m->entries);
	free(m);
}
