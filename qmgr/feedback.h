/* SPDX-License-Identifier: ISC */
/*
 * How many deliveries to one destination go on at once: a window that grows with success and shrinks with
 * failure, as postconf(5) describes default_destination_concurrency_{positive,negative}_feedback and
 * _failed_cohort_limit.
 */
#ifndef ROAD_QMGR_FEEDBACK_H
#define ROAD_QMGR_FEEDBACK_H

#include "lib/base/buf.h"

enum feedback_kind { FEEDBACK_FIXED, FEEDBACK_PER_CONCURRENCY, FEEDBACK_PER_SQRT };
struct feedback {
	double amount;			/* 0..1 */
	enum feedback_kind kind;
};
/* "0.5", "1/8", "1/concurrency", "1 / sqrt_concurrency". -EINVAL with words. */
int feedback_parse(struct str text, struct feedback *ret, struct buf *why);

struct window {
	int size;			/* 0: the destination is dead */
	double success, failure;	/* parts of a step gathered */
	double failed_cohorts;		/* how often the whole window failed since the last success */
};

struct window_rules {
	int initial, limit;		/* limit 0: none */
	struct feedback positive, negative;
	double cohort_limit;		/* 0: never dead */
};
void window_reset(struct window *w, const struct window_rules *r);
void window_success(struct window *w, const struct window_rules *r, int busy);
/* True when that was the last straw: size is 0 until window_reset. */
bool window_failure(struct window *w, const struct window_rules *r);

#endif
