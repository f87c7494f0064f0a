/* SPDX-License-Identifier: ISC */
/* For this room's tests: a queue's directories below a scratch directory, and an arena. */
#ifndef ROAD_QUEUE_SCRATCH_FOR_TEST_H
#define ROAD_QUEUE_SCRATCH_FOR_TEST_H

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/queue/queue.h"
#include "tests/scratch.h"

struct scratch {
	char path[SCRATCH_PATH];
	int dir;
	struct arena *a;
};

static inline void scratch_queue_make(struct scratch *s)
{
	scratch_directory(s->path);
	s->dir = open(s->path, O_DIRECTORY | O_RDONLY);
	for (int i = 0; i < QUEUE_COUNT; i++)
		assert_int_equal(mkdirat(s->dir, queue_name_text((enum queue_name) i), 0700), 0);
	assert_int_equal(mkdirat(s->dir, "intake", 0700), 0);
	s->a = arena_new("test", NULL, 64 << 20);
}

static inline struct queue *scratch_queue_open(const struct scratch *s)
{
	AUTO(buf) why = BUF_WORDS;
	struct queue *q;

	assert_int_equal(queue_open(s->dir, 1, (1u << QUEUE_COUNT) - 1, &q, &why), 0);
	return q;
}

static inline void scratch_queue_remove(struct scratch *s)
{
	scratch_remove(s->path);
	arena_free(s->a);
	close(s->dir);
}

#endif
