/* SPDX-License-Identifier: ISC */
/*
 * printf into memory, quick: most of what a mail server writes (log lines, trace headers, replies,
 * envelopes) is text and small numbers, and with libc's vsnprintf() that was a fifth of all
 * instructions spent on a message.
 */
#ifndef ROAD_BASE_FORMAT_H
#define ROAD_BASE_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/*
 * As vsnprintf(3) and snprintf(3): never writes more than `size` bytes, the last one a 0, and
 * returns the length that all of it has; negative: the format is wrong. Texts, characters and
 * integers are made here; a format with anything else in it (%g, %-5s, %p, ...) goes to libc as a
 * whole.
 */
__attribute__((format(printf, 3, 0))) int format_textv(char *at, size_t size, const char *format,
						       va_list arguments);
__attribute__((format(printf, 3, 4))) int format_text(char *at, size_t size, const char *format, ...);

#endif
