/* SPDX-License-Identifier: ISC */
/* Asking mtasts for a domain's MTA-STS policy (RFC 8461), and holding a mail exchanger against it. */
#ifndef ROAD_PEERS_MTASTS_H
#define ROAD_PEERS_MTASTS_H

#include "lib/base/arena.h"
#include "lib/co/co.h"

enum sts_mode { STS_NO_POLICY, STS_NONE, STS_TESTING, STS_ENFORCE };

struct sts_policy {
	enum sts_mode mode;
	struct str domain;
	struct str id;			/* of the _mta-sts record that it was fetched for */
	struct str mx;			/* patterns in lower case, one per line */
	uint64_t max_age;		/* seconds */
	/* its lines as they were published; empty: not known, the fields above say the same */
	struct str text;
	/*
	 * The last attempt to get it failed: a result type of RFC 8460 4.3 and words. There may be
	 * a policy nevertheless, from an earlier one.
	 */
	struct str failure, why;
};

void sts_use(const char *path);		/* the service's socket; once per process */
/*
 * The policy in force for the domain, in the arena. A policy that is not known yet is fetched
 * first, which may take as long as mtasts_fetch_time_limit. -errno: the service cannot be asked, so
 * whether there is a policy is not known.
 */
int sts_ask(struct arena *a, struct str domain, struct sts_policy *ret) MAY_YIELD;
/* Does the policy name this mail exchanger? "*.example.com" stands for one label (RFC 8461 4.1). */
bool sts_names(const struct sts_policy *p, struct str host);

#endif
