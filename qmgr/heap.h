/* SPDX-License-Identifier: ISC */
/*
 * A binary heap of nodes that sit inside their owners: smallest key first. Keys that are equal come out in
 * any order.
 */
#ifndef ROAD_QMGR_HEAP_H
#define ROAD_QMGR_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	int64_t key;
	uint32_t place;		/* from 1; 0: in no heap. Zero-initialise */
};

struct heap {
	struct heap_node **at;
	uint32_t len, cap;
};

void heap_set(struct heap *h, struct heap_node *n, int64_t key);	/* puts it in, or moves it */
void heap_remove(struct heap *h, struct heap_node *n);			/* no harm when it is not in */
static inline struct heap_node *heap_first(const struct heap *h) { return h->len == 0 ? NULL : h->at[0]; }
static inline bool heap_has(const struct heap_node *n) { return n->place != 0; }
void heap_free(struct heap *h);

#endif
