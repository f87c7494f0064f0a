/* SPDX-License-Identifier: ISC */
/*
 * A message's content as an agent or bounce gets it: all of it in memory (a small message), or in a
 * queue file.
 */
#ifndef ROAD_QUEUE_CONTENT_H
#define ROAD_QUEUE_CONTENT_H

#include "lib/queue/queue.h"

struct content {
	struct str bytes;		/* headers, empty line, body; empty: in the file */
	int file;			/* read only; -1: none */
	struct queue_parts parts;	/* the offsets are the file's */
};

/* Is all of it there, one way or the other? For whoever gets it from another process. */
bool content_is_whole(const struct content *c);
/* Damage that no later attempt mends: its file ends before what its head describes. */
bool content_is_cut_off(const struct content *c);
/*
 * Up to n bytes from `at`, which counts from 0 to parts.size: headers, empty line, body, LF line
 * ends. Bytes, 0 at end, -errno (-EIO: the file is shorter than its head says).
 */
ssize_t content_pread(const struct content *c, uint64_t at, void *to, size_t n);

#endif
