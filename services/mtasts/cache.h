/* SPDX-License-Identifier: ISC */
/*
 * What is known of domains: their policies, and how attempts to get them went. Bounded in bytes:
 * what has not been asked for longest goes first, and may be asked for again; only what somebody is
 * busy with stays.
 */
#ifndef ROAD_MTASTS_CACHE_H
#define ROAD_MTASTS_CACHE_H

#include "lib/base/list.h"
#include "services/mtasts/policy.h"

struct known {
	struct list link;		/* least recently used first */
	struct str domain;
	struct policy policy;		/* mode STS_NO_POLICY: there is none, or it has expired */
	struct str id;
	int64_t fetched_s, used_s;	/* on the wall clock, since both survive a restart */
	/* of the last attempt, a result type of RFC 8460; NULL: it succeeded */
	const char *failure;
	char why[200];
	int64_t next_try_ms;		/* no attempt before */
	bool under_way;			/* an attempt; whoever needs its result waits for the bell */
	struct bell done;
	unsigned users;			/* it stays while somebody waits */
	char *texts;			/* domain, id and policy.mx */
};

void cache_open(size_t most_bytes);
/* NULL: nothing is known. */
struct known *cache_find(struct str domain);
struct known *cache_get(struct str domain);		/* made when it is not there */
void cache_touch(struct known *k);			/* somebody asked for it */
void cache_set_policy(struct known *k, const struct policy *p, struct str id, int64_t fetched_s);
/* after anything was added, when nobody holds pointers to what has no users */
void cache_shrink(void);
bool policy_is_live(struct known *k);			/* also forgets one that has expired */
struct list *cache_all(void);				/* struct known.link */
void cache_close(void);

#endif
