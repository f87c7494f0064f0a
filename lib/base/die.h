/* SPDX-License-Identifier: ISC */
/*
 * The two ways a process may end on purpose other than by returning from main.
 *
 * die(): the world is not as the program needs it: bad configuration at start, out of
 *   memory. Ends with the given sysexits(3) status after "fatal: ..." went to the sink.
 * BUG(): the program contradicts itself. Logs "panic: file:line: ..." and aborts.
 *
 * lib/log installs its sink with die_set_sink(); before that the words go to stderr.
 */
#ifndef ROAD_BASE_DIE_H
#define ROAD_BASE_DIE_H

#include <sysexits.h>

__attribute__((noreturn, format(printf, 2, 3))) void die(int status, const char *format, ...);
__attribute__((noreturn, format(printf, 3, 4))) void bug(const char *file, int line, const char *format, ...);
#define BUG(...) bug(__FILE__, __LINE__, __VA_ARGS__)
#define BUG_UNLESS(condition) do { if (!(condition)) BUG("not so: %s", #condition); } while (0)

/* `sink` gets one whole line without line end ("fatal: ..."); it must flush. NULL: stderr. */
void die_set_sink(void (*sink)(const char *line));

/*
 * From now on die() ends with this status, whatever it is called with: for commands of which
 * scripts expect that every failure is 1. 0: no longer.
 */
void die_always_with(int status);

/* malloc, zeroed or resized; never NULL: dies with EX_OSERR. Bound sizes before calling. */
__attribute__((malloc, returns_nonnull)) void *get_memory(size_t bytes);	/* zeroed */
__attribute__((returns_nonnull)) void *resize_memory(void *old, size_t bytes);	/* not zeroed */

/* errno text, thread-safe and without locale; takes errno values of either sign. */
const char *error_text(int error);

#endif
