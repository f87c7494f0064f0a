/* SPDX-License-Identifier: ISC */
/*
 * Match lists, as in mydestination, relay_domains, mynetworks, smtpd_authorized_xclient_hosts: patterns in order, "!" negates, "/file" is read in,
 * "type:table" is looked up (the key matters, not the result).
 */
#ifndef ROAD_TABLE_MATCH_H
#define ROAD_TABLE_MATCH_H

#include "lib/io/net.h"
#include "lib/table/table.h"

struct match_list;
enum match_flags {
	MATCH_PARENT = 1,		/* "example.com" matches its subdomains too (parent_domain_matches_subdomains) */
};
/* name: the parameter, for messages. */
int match_list_open(const char *name, struct str patterns, unsigned flags, struct match_list **ret, struct buf *why);
void match_list_free(struct match_list *m);
/* 1 matches, 0 not, < 0 cannot tell. */
int match_domain(struct match_list *m, struct arena *a, struct str domain) MAY_YIELD;
/* name may be "unknown". address patterns: a.b.c.d, a.b.c.d/n, [v6]/n, [v6]. */
int match_client(struct match_list *m, struct arena *a, struct str name, const struct address_ip *ip) MAY_YIELD;

#endif
