/* SPDX-License-Identifier: ISC */
/* Doubly linked rings: the node sits inside its owner; an empty head points at itself. */
#ifndef ROAD_BASE_LIST_H
#define ROAD_BASE_LIST_H

#include <stdbool.h>

#include "lib/base/auto.h"

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(head) { &(head), &(head) }

static inline void list_init(struct list *head) { head->next = head->prev = head; }
static inline bool list_is_empty(const struct list *head) { return head->next == head; }
static inline void list_insert_after(struct list *at, struct list *node)
{
	node->prev = at;
	node->next = at->next;
	at->next->prev = node;
	at->next = node;
}
static inline void list_append(struct list *head, struct list *node) { list_insert_after(head->prev, node); }
static inline void list_prepend(struct list *head, struct list *node) { list_insert_after(head, node); }
/* Takes the node out; it may be taken out again without harm. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)
#define LIST_FIRST(head, type, member) (list_is_empty(head) ? NULL : CONTAINER_OF((head)->next, type, member))
/* The body may remove `item` itself, nothing else. */
#define LIST_EACH(item, head, type, member) \
	for (type *item = CONTAINER_OF((head)->next, type, member), \
	     *item##_next = CONTAINER_OF(item->member.next, type, member); \
	     &item->member != (head); \
	     item = item##_next, item##_next = CONTAINER_OF(item->member.next, type, member))

#endif
