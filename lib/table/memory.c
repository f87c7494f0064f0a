/* SPDX-License-Identifier: ISC */
#include "lib/table/memory.h"

#include "lib/base/die.h"
#include "lib/base/map.h"
#include "lib/table/fold.h"

struct memory {
	struct map *values;		/* key -> struct str in the arena */
	struct arena *arena;
};

struct memory *memory_new(size_t limit)
{
	struct memory *m = get_memory(sizeof(*m));

	m->values = map_new();
	m->arena = arena_new("table", NULL, limit);
	return m;
}

void memory_free(void *content)
{
	struct memory *m = content;

	if (m == NULL)
		return;
	map_free(m->values, NULL);
	arena_free(m->arena);
	free(m);
}

bool memory_put(struct memory *m, struct str key, struct str value, bool fold, bool replace)
{
	AUTO(buf) folded = BUF(2 * key.len + 1);
	struct str *stored;

	if (fold) {
		key_fold(&folded, key);
		key = buf_str(&folded);
	}
	if (!replace && map_get(m->values, key) != NULL)
		return false;
	stored = ARENA_NEW(m->arena, struct str);
	*stored = arena_copy(m->arena, value);
	map_put(m->values, key, stored);
	return true;
}

const struct str *memory_get(const struct memory *m, struct str key)
{
	return map_get(m->values, key);
}
