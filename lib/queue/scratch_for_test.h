/* SPDX-License-Identifier: ISC */
/* For this room's tests: a queue's directories below a scratch directory, and an arena. */
#ifndef ROAD_QUEUE_SCRATCH_FOR_TEST_H
#define ROAD_QUEUE_SCRATCH_FOR_TEST_H

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/queue/queue.h"

struct scratch {
	char path[64];
	int dir;
	struct arena *a;
};

static void scratch_make(struct scratch *s)
{
	snprintf(s->path, sizeof(s->path), "/tmp/queue-test-XXXXXX");
	assert_non_null(mkdtemp(s->path));
	s->dir = open(s->path, O_DIRECTORY | O_RDONLY);
	for (int i = 0; i < QUEUE_COUNT; i++)
		assert_int_equal(mkdirat(s->dir, queue_name_text((enum queue_name) i), 0700), 0);
	assert_int_equal(mkdirat(s->dir, "intake", 0700), 0);
	s->a = arena_new("test", NULL, 64 << 20);
}

static struct queue *scratch_open_queue(const struct scratch *s)
{
	AUTO(buf) why = BUF_WORDS;
	struct queue *q;

	assert_int_equal(queue_open(s->dir, 1, (1u << QUEUE_COUNT) - 1, &q, &why), 0);
	return q;
}

static int scratch_remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void) st; (void) kind; (void) at;
	return remove(path);
}

static void scratch_remove(struct scratch *s)
{
	assert_int_equal(nftw(s->path, scratch_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	arena_free(s->a);
	close(s->dir);
}

#endif
