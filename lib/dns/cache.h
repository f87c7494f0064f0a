/* SPDX-License-Identifier: ISC */
/*
 * Answers of the resolver, as bytes: those of this process that are still good, and those under
 * way, so that many who ask the same thing at once ask it once.
 */
#ifndef ROAD_DNS_CACHE_H
#define ROAD_DNS_CACHE_H

#include "lib/base/list.h"
#include "lib/co/co.h"
#include "lib/dns/dns.h"

struct kept {				/* one question and its answer */
	struct list link;		/* least recently used first */
	struct str key;
	bool under_way;			/* the answer is not there yet: wait for the bell */
	unsigned users;			/* it is not freed while somebody reads or waits */
	bool dropped;			/* no longer in the cache */
	struct bell answered;
	int64_t good_until_ms;
	int result;			/* -errno of the call, else 0 and what follows */
	enum dns_status status;
	enum dns_security security;
	struct str canonical, records, why;
	char *memory;			/* of the three */
};

/*
 * The entry of a question, made if need be; *ret_new: the caller has to ask and to call
 * kept_answer(). Give back with kept_release().
 */
struct kept *kept_get(enum dns_type type, struct str name, bool *ret_new);
/* An entry with a good answer, or NULL. */
struct kept *kept_find(enum dns_type type, struct str name);
/* Copies the answer, wakes who waits, and keeps it ttl seconds (0: only for those who wait already). */
void kept_answer(struct kept *k, const struct kept *answer, uint64_t ttl);
void kept_release(struct kept *k);
void kept_forget_all(void);		/* for tests, and when the resolver's data changed */

#endif
