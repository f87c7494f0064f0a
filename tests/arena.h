/* SPDX-License-Identifier: ISC */
/* An arena for the cases of a unit test: cmocka_run_group_tests(tests, set_up, tear_down). */
#ifndef ROAD_TESTS_ARENA_H
#define ROAD_TESTS_ARENA_H

#include "lib/base/arena.h"

static struct arena *arena;

static int set_up(void **state)
{
	(void) state;
	arena = arena_new("test", NULL, 64 << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void) state;
	arena_free(arena);
	return 0;
}

#endif
