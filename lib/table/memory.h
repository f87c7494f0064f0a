/* SPDX-License-Identifier: ISC */
/* Keys and values in memory: the content of texthash and inline tables. */
#ifndef ROAD_TABLE_MEMORY_H
#define ROAD_TABLE_MEMORY_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

struct memory;
struct memory *memory_new(size_t limit);	/* bytes of keys and values that it may hold */
void memory_free(void *m);
/* Copied; false: the key is there already, and (without replace) what was there stays. */
bool memory_put(struct memory *m, struct str key, struct str value, bool fold, bool replace);
const struct str *memory_get(const struct memory *m, struct str key);	/* NULL: not there */

#endif
