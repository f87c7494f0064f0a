/* SPDX-License-Identifier: ISC */
/* Time spans in delivery log lines. */
#ifndef ROAD_AGENT_DELAYS_H
#define ROAD_AGENT_DELAYS_H

#include "lib/base/buf.h"

/*
 * Adds a time span in seconds with two significant digits and at most `digits` (0..6) behind the point,
 * rounded, without trailing zeros: 0.0043 -> "0", 0.153 -> "0.15", 1.25 -> "1.3", 12.6 -> "13". Negative
 * spans (the clock was set back) are 0.
 */
void delay_add(struct buf *b, int64_t us, int digits);

/* The stations of one delivery, wall_us(); connected 0: there was no connection to set up. */
struct stations {
	int64_t arrival, active, dispatch, connected, done;
};
/* "delay=D, delays=a/b/c/d": before the queue manager, in it, connection set-up, transmission. */
void delays_add(struct buf *b, const struct stations *s, int digits);

#endif
