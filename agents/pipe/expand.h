/* SPDX-License-Identifier: ISC */
/* $name in the arguments of a pipe service's command. */
#ifndef ROAD_PIPE_EXPAND_H
#define ROAD_PIPE_EXPAND_H

#include "agents/pipe/attributes.h"
#include "lib/agent/agent.h"

/*
 * $name, ${name}, $(name), and $$ for a dollar sign. Each argument stays one, also when it comes to
 * nothing, but for those that name the recipient: they are repeated for each of the delivery's.
 * -EINVAL with words: unknown name or bad syntax; -E2BIG. *ret_argv ends with NULL.
 */
int expand_arguments(const struct attributes *at, const struct delivery *d, struct str delimiter,
		     struct arena *a, const char ***ret_argv, struct buf *why);

#endif
