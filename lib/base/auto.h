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
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
