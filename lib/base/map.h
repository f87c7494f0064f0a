/* SPDX-License-Identifier: ISC */
/*
 * A hash map from byte strings to pointers (open addressing, seeded hash, grows). Keys are copied.
 * Iteration order is unspecified; removing the current entry while iterating is allowed.
 */
#ifndef ROAD_BASE_MAP_H
#define ROAD_BASE_MAP_H

#include "lib/base/str.h"

struct map;

struct map *map_new(void);
void *map_get(const struct map *m, struct str key);		/* NULL: not there */
/* value not NULL; returns the old value or NULL */
void *map_put(struct map *m, struct str key, void *value);
void *map_remove(struct map *m, struct str key);		/* returns the value or NULL */
size_t map_count(const struct map *m);
void map_free(struct map *m, void (*free_value)(void *));	/* free_value may be NULL; m may be NULL */

/* for (struct map_at i = { 0 }; map_next(m, &i);) use(i.key, i.value); */
struct map_at { size_t slot; struct str key; void *value; };
bool map_next(const struct map *m, struct map_at *i);

#endif
