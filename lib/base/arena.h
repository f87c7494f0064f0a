/* SPDX-License-Identifier: ISC */
/*
 * Memory with one lifetime: a session, a transaction, a command. Nothing is freed singly.
 * An arena has children (a session's transaction, say), which end with it.
 */
#ifndef ROAD_BASE_ARENA_H
#define ROAD_BASE_ARENA_H

#include "lib/base/str.h"

struct arena;

/*
 * `name` (not copied) is for diagnostics; `limit` is the most bytes it may hold: a hard stop (BUG),
 * so whoever stores what a peer sends checks arena_left() or bounds it otherwise. parent may be
 * NULL.
 */
struct arena *arena_new(const char *name, struct arena *parent, size_t limit);
/* zeroed, aligned for anything */
__attribute__((returns_nonnull)) void *arena_get(struct arena *a, size_t n);
#define ARENA_NEW(a, type) ((type *) arena_get((a), sizeof(type)))
size_t arena_left(const struct arena *a);
size_t arena_used(const struct arena *a);
struct str arena_copy(struct arena *a, struct str s);		/* also NUL-terminated */
struct str arena_lower(struct arena *a, struct str s);
const char *str_c(struct arena *a, struct str s);		/* the one door to libc strings */
__attribute__((format(printf, 2, 3))) struct str arena_fmt(struct arena *a, const char *format, ...);
void arena_reset(struct arena *a);	/* children end; one block of memory is kept */
/* the same, and overwrites what it held itself (not its children's) before */
void arena_reset_wipe(struct arena *a);
void arena_free(struct arena *a);	/* and children; NULL is fine */
void arena_wipe(struct arena *a);	/* arena_reset_wipe() and arena_free() */

/* A growing array in an arena: VEC(struct thing) v = {0}; *vec_add(a, &v) = thing; v.at[i], v.len */
#define VEC(type) struct { type *at; size_t len, cap; }
#define vec_add(a, v) ( \
	(v)->len == (v)->cap ? (void) ((v)->at = arena_grow_array((a), (v)->at, (v)->len, &(v)->cap, sizeof(*(v)->at))) : (void) 0, \
	&(v)->at[(v)->len++])
void *arena_grow_array(struct arena *a, const void *old, size_t len, size_t *cap, size_t element_size);

#endif
