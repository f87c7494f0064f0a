/* SPDX-License-Identifier: ISC */
/*
 * How postqueue prints the queue: for people (-p) and for programs (-j). Log analysers and scripts read both,
 * so the shapes are Postfix's.
 */
#ifndef ROAD_POSTQUEUE_LISTING_H
#define ROAD_POSTQUEUE_LISTING_H

#include <stdio.h>

#include "lib/queue/list.h"

struct printer {
	FILE *to;
	bool as_json;
	uint64_t count, bytes;
};

void print_message(struct printer *p, const struct listed_message *m);
void print_end(struct printer *p);

#endif
