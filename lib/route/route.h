/* SPDX-License-Identifier: ISC */
/*
 * Address rewriting to standard form and resolution to transport, next hop, recipient: in process, with the rules of Postfix's trivial-rewrite(8),
 * transport(5), virtual(5). Used by cleanup (rewriting, virtual aliases), qmgr (resolution), smtpd (address classes, existence).
 */
#ifndef ROAD_ROUTE_ROUTE_H
#define ROAD_ROUTE_ROUTE_H

#include "lib/conf/params/common.h"
#include "lib/conf/params/route.h"
#include "lib/table/match.h"
#include "lib/table/table.h"

struct route;
/* Opens the tables and lists that the configuration names. -errno with words. */
int route_open(struct conf *c, const struct common_conf *common, struct route **ret, struct buf *why);
void route_free(struct route *r);

/* Standard form of an internal-form address: append_at_myorigin, append_dot_mydomain, swap_bangpath, allow_percent_hack, trailing dots. "" stays "". */
struct str rewrite_address(struct route *r, struct arena *a, struct str address, bool local_context);

enum address_class { CLASS_LOCAL = 1, CLASS_VIRTUAL_ALIAS = 2, CLASS_VIRTUAL_MAILBOX = 4, CLASS_RELAY = 8, CLASS_OTHER = 16 };

struct resolution {
	enum address_class class;
	struct str transport;		/* service name: "smtp", "local", "error", ... */
	struct str nexthop;
	struct str recipient;		/* possibly changed (local part unquoted, literal for us, ...) */
	bool is_error;			/* transport "error"/"retry" chosen by resolution itself: nexthop is "dsn text" */
};
/* 0, or < 0 cannot tell (a table or list failed): defer with route_why(). */
int resolve_address(struct route *r, struct arena *a, struct str sender, struct str recipient, struct resolution *ret) MAY_YIELD;
const char *route_why(const struct route *r);
/* Class of a domain alone. < 0 cannot tell. */
int domain_class(struct route *r, struct arena *a, struct str domain) MAY_YIELD;
/* Is [address] one of this machine's own (inet_interfaces, proxy_interfaces)? */
bool is_own_address(struct route *r, const struct address_ip *ip);

/* Is there such a recipient? As smtpd asks at RCPT: 1 yes (or not checked), 0 no, < 0 cannot tell. *ret_text: "User unknown in local recipient table" and so on. */
int recipient_exists(struct route *r, struct arena *a, struct str recipient, struct resolution *res, struct str *ret_text) MAY_YIELD;

/*
 * Virtual alias expansion of one recipient (recursive, virtual_alias_recursion_limit, virtual_alias_expansion_limit): results in internal form. Not there: itself.
 * -ELOOP, -E2BIG with words, other < 0 cannot tell.
 */
struct str_list { size_t count; struct str *at; };
int expand_virtual_alias(struct route *r, struct arena *a, struct str recipient, struct str_list *ret) MAY_YIELD;

#endif
