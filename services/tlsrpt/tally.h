/* SPDX-License-Identifier: ISC */
/*
 * What is counted: sessions by period (a UTC day), policy domain, policy, and, where they failed,
 * by how and with whom (RFC 8460 4). Bounded: what goes beyond is not counted. Kept in a file as
 * lines, since a day is longer than many a process lives:
 *
 *   postroad-tlsrpt 1
 *   domain TAB period TAB name
 *   policy TAB type TAB successes TAB failures TAB line of the policy[ TAB line...]
 *   detail TAB count TAB result TAB mx host TAB its address TAB ours TAB words
 *
 * A policy belongs to the domain above it, a detail to the policy above it.
 */
#ifndef ROAD_TLSRPT_TALLY_H
#define ROAD_TLSRPT_TALLY_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/list.h"

struct detail {
	struct list link;
	struct str result, mx, ip, local_ip, words;
	uint64_t count;
};
struct counted_policy {
	struct list link;
	struct str type;		/* "sts", "tlsa", "no-policy-found" */
	struct str text;		/* its lines, each with a TAB behind it */
	uint64_t successes, failures;
	struct list details;
	unsigned detail_count;
};
struct counted_domain {
	struct list link;
	struct arena *arena;		/* holds all of it */
	int64_t period;
	struct str name;
	struct list policies;
	unsigned policy_count;
	int64_t next_try_ms;		/* of the report; 0: not tried yet */
};

struct session_result {			/* what smtp tells; views */
	struct str domain, type, text, result, mx, ip, local_ip, words;
};

void tally_open(size_t most_bytes);
void tally_close(void);
/* Counts one session. False: there is no room for it. Control characters become blanks. */
bool tally_add(int64_t period, const struct session_result *r);
struct list *tally_all(void);		/* struct counted_domain.link */
void tally_drop(struct counted_domain *d);
void tally_print(struct buf *b);
/* how many lines were malformed, and left out; -EINVAL: it is no such file */
int tally_parse(struct str text);

#endif
