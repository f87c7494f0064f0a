/* SPDX-License-Identifier: ISC */
/* For tests: each runs a loop of its own; what happened is written down in a string of letters. */
#ifndef ROAD_CO_LOOP_FOR_TEST_H
#define ROAD_CO_LOOP_FOR_TEST_H

#include <unistd.h>

#include "lib/co/co.h"

static char trace[256];

static inline void note(char c)
{
	size_t n = strlen(trace);

	assert_true(n + 1 < sizeof(trace));
	trace[n] = c;
	trace[n + 1] = 0;
}

/* Runs `first` in a loop; it calls loop_stop(). A test that hangs dies by SIGALRM. */
static inline void run(void (*first)(void *))
{
	trace[0] = 0;
	alarm(60);
	assert_int_equal(loop_run(first, NULL), 0);
	alarm(0);
}

#endif
