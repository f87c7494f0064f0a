/* SPDX-License-Identifier: ISC */
/* The arguments of a test that goes random walks: [SEED [WALKS [LENGTH]]]. */
#ifndef ROAD_QUEUE_WALKS_FOR_TEST_H
#define ROAD_QUEUE_WALKS_FOR_TEST_H

#include "lib/base/str.h"

static bool is_long;			/* somebody asks for these: all of it, and more words */
static uint64_t first_seed, walks;
static int length;			/* of each */

/* Without arguments, as in `make check`, so many walks of that length. */
static inline void read_walks(int argc, char **argv, uint64_t usual_walks, int usual_length)
{
	str_hash(STR("x"));		/* its key is made now, and so the same for every walk */
	is_long = argc > 1;
	first_seed = is_long ? strtoull(argv[1], NULL, 10) : 1;
	walks = argc > 2 ? strtoull(argv[2], NULL, 10) : usual_walks;
	length = argc > 3 ? (int) strtol(argv[3], NULL, 10) : usual_length;
}

#endif
