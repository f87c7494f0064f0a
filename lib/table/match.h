/* SPDX-License-Identifier: ISC */
/*
 * Match lists, as in mydestination, relay_domains, mynetworks, smtpd_authorized_xclient_hosts:
 * patterns in order, the first that fits decides. "!" negates, "/file" is read in (and again when
 * it changes), "type:table" is looked up (the key matters, not the result).
 */
#ifndef ROAD_TABLE_MATCH_H
#define ROAD_TABLE_MATCH_H

#include "lib/io/net.h"
#include "lib/table/table.h"

struct match_list;
enum match_flags {
	/*
	 * "example.com" matches its subdomains too (parent_domain_matches_subdomains); else
	 * ".example.com" does
	 */
	MATCH_PARENT = 1,
};
/*
 * name: the parameter, for messages. -EINVAL for what makes no sense, also for a file in it that
 * cannot be read now.
 */
int match_list_open(const char *name, struct str patterns, unsigned flags, struct match_list **ret,
		    struct buf *why);
void match_list_free(struct match_list *m);	/* NULL is fine */
bool match_list_is_empty(const struct match_list *m);
/* 1 matches, 0 not, < 0 cannot tell (see match_why). */
int match_domain(struct match_list *m, struct arena *a, struct str domain) MAY_YIELD;
/*
 * name may be "unknown" or empty. address patterns: a.b.c.d, a.b.c.d/n, [v6]/n, [v6]. Tables are
 * asked for the name, its parents, the address.
 */
int match_client(struct match_list *m, struct arena *a, struct str name,
		 const struct address_ip *ip) MAY_YIELD;
/* Plain text against the patterns and tables, without domain parents (user names, say). */
int match_text(struct match_list *m, struct arena *a, struct str text) MAY_YIELD;
const char *match_why(const struct match_list *m);	/* words for the last < 0 */
/* parent_domain_matches_subdomains' text and a parameter's name: MATCH_PARENT or 0. */
unsigned match_parent_flag(struct str parent_domain_matches_subdomains, struct str parameter);

#endif
