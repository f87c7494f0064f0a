/* SPDX-License-Identifier: ISC */
/*
 * Scope-bound cleanup. `AUTO(buf) b = BUF(100);` calls buf_auto(&b) at the end
 * of the scope; `AUTO_FD fd = open(...)` closes; AUTO_PTR frees.
 */
#ifndef ROAD_BASE_AUTO_H
#define ROAD_BASE_AUTO_H

#define AUTO(kind) __attribute__((cleanup(kind##_auto))) struct kind
#define AUTO_FD __attribute__((cleanup(fd_auto))) int
#define AUTO_PTR __attribute__((cleanup(free_auto)))

void fd_auto(int *fd);		/* closes when >= 0 */
void free_auto(void *pointer);	/* frees *(void **) pointer */

/* Takes the descriptor out of an AUTO_FD variable, so that it stays open. */
static inline int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member) \
	((type *) (void *) ((char *) (pointer) - __builtin_offsetof(type, member)))
/* Each operand is evaluated once: it may do something, or look at the clock. */
#define MIN(a, b) \
	__extension__ ({ __typeof__(1 ? (a) : (b)) min_a_ = (a), min_b_ = (b); min_a_ < min_b_ ? min_a_ : min_b_; })
#define MAX(a, b) \
	__extension__ ({ __typeof__(1 ? (a) : (b)) max_a_ = (a), max_b_ = (b); max_a_ > max_b_ ? max_a_ : max_b_; })

#endif
