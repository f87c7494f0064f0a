/* SPDX-License-Identifier: ISC */
/*
 * What a domain publishes: the TXT record at _mta-sts.DOMAIN, and the policy file (RFC 8461 3.1,
 * 3.2). Both are written by strangers.
 */
#ifndef ROAD_MTASTS_POLICY_H
#define ROAD_MTASTS_POLICY_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/peers/mtasts.h"

enum { POLICY_MOST = 64 << 10, POLICY_MOST_AGE = 31557600, POLICY_MOST_ID = 32 };

struct policy {
	enum sts_mode mode;		/* STS_NO_POLICY: there is none */
	int64_t max_age;		/* seconds, at most POLICY_MOST_AGE */
	struct str mx;			/* patterns in lower case, one per line; at most POLICY_MOST bytes */
};

/*
 * *ret points into the arena. -EINVAL with words. Unknown keys are skipped; of keys that are there
 * twice the first counts.
 */
int policy_parse(struct str text, struct arena *a, struct policy *ret, struct buf *why);

/*
 * A TXT record's text. 1: of version STSv1, *ret_id points into it; 0: something else, which does
 * not count; -EINVAL: of that version and malformed.
 */
int record_parse(struct str text, struct str *ret_id);

enum sts_mode mode_named(struct str name);		/* "enforce"; STS_NO_POLICY: none of them */
const char *mode_name(enum sts_mode mode);
/* "mx.example.com", "*.example.com" */
bool pattern_is_valid(struct str pattern);

#endif
