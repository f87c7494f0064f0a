/* SPDX-License-Identifier: ISC */
/* The message as a command gets it. */
#ifndef ROAD_PIPE_FEED_H
#define ROAD_PIPE_FEED_H

#include "agents/pipe/attributes.h"
#include "lib/agent/agent.h"

int feed_message(const struct attributes *at, struct delivery *d, int (*out)(void *arg, struct str bytes),
		 void *out_arg);
int feed_was_delivered_to(struct delivery *d, struct str address);	/* 1, 0, -errno */

#endif
