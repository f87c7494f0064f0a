/* SPDX-License-Identifier: ISC */
/*
 * Searching one access(5) table for the parts of a name or an address, in order, until one is
 * found; restrict_table.c.
 */
#ifndef ROAD_SMTPD_ACCESS_SEARCH_H
#define ROAD_SMTPD_ACCESS_SEARCH_H

#include "smtpd/restrict.h"

/* Meanwhile texts are about what is looked up, not about what the list is about. */
struct search {
	struct question *q;
	const struct rule *r;
	/* for what lookups need on the way: the question's, unless there are very many of them */
	struct arena *arena;
	bool ended;			/* with a value, or with trouble */
	struct verdict verdict;
	struct str list_subject;
	const char *list_class;
};

struct search search_begin(struct question *q, const struct rule *r, struct str subject, const char *class);
struct verdict search_end(struct search *f);
/* The same where strangers choose what is looked up: a table that permits is misconfigured, 451. */
struct verdict search_end_without_permission(struct search *f);
/* One key; true: that was the end of the search. `whole`: the key is not a part of something. */
bool search_key(struct search *f, struct str key, bool whole) MAY_YIELD;
/*
 * host.example.com, then example.com and com (or .example.com and .com); of an address in the place
 * of a name nothing but itself. whole: the name is not a part of something.
 */
void search_host(struct search *f, struct str name, bool whole) MAY_YIELD;
/* 192.0.2.1, then 192.0.2, 192.0, 192; of IPv6 likewise at colons. */
void search_address(struct search *f, struct str address) MAY_YIELD;

#endif
