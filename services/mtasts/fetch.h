/* SPDX-License-Identifier: ISC */
/* Getting what a domain publishes: its _mta-sts record by DNS, its policy by HTTPS (RFC 8461 3.1, 3.3). */
#ifndef ROAD_MTASTS_FETCH_H
#define ROAD_MTASTS_FETCH_H

#include "services/mtasts/policy.h"

/*
 * 1: there is one record, with this id (in the arena); 0: there is none that is valid, or it cannot
 * be had now.
 */
int record_find(struct arena *a, struct str domain, struct str *ret_id) MAY_YIELD;

struct fetch_settings { uint16_t port; int64_t time_limit_ms; };
/*
 * NULL, or the result type of RFC 8460 4.3 with words. *ret lives in the arena, which needs room
 * for some POLICY_MOST bytes.
 */
const char *policy_fetch(struct arena *a, struct str domain, const struct fetch_settings *s,
			 struct policy *ret, struct buf *why) MAY_YIELD;

#endif
