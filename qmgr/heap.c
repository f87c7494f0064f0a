/* SPDX-License-Identifier: ISC */
/* See heap.h. */
#include "qmgr/heap.h"

#include "lib/base/die.h"

static void place(struct heap *h, uint32_t at, struct heap_node *n)
{
	h->at[at] = n;
	n->place = at + 1;
}

static uint32_t sift_up(struct heap *h, uint32_t at, struct heap_node *n)
{
	while (at > 0 && h->at[(at - 1) / 2]->key > n->key) {
		place(h, at, h->at[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	place(h, at, n);
	return at;
}

static void sift_down(struct heap *h, uint32_t at, struct heap_node *n)
{
	for (;;) {
		uint32_t child = at * 2 + 1;

		if (child >= h->len)
			break;
		if (child + 1 < h->len && h->at[child + 1]->key < h->at[child]->key)
			child++;
		if (h->at[child]->key >= n->key)
			break;
		place(h, at, h->at[child]);
		at = child;
	}
	place(h, at, n);
}

void heap_set(struct heap *h, struct heap_node *n, int64_t key)
{
	if (n->place == 0) {
		if (h->len == h->cap) {
			h->cap = h->cap == 0 ? 16 : h->cap * 2;
			h->at = resize_memory(h->at, h->cap * sizeof(struct heap_node *));
		}
		n->place = ++h->len;
	} else if (n->key == key) {
		return;
	}
	n->key = key;
	sift_down(h, sift_up(h, n->place - 1, n), n);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
	uint32_t at = n->place - 1;
	struct heap_node *last;

	if (n->place == 0)
		return;
	n->place = 0;
	last = h->at[--h->len];
	if (last != n)
		sift_down(h, sift_up(h, at, last), last);
}

void heap_free(struct heap *h)
{
	free(h->at);
	*h = (struct heap){ 0 };
}
