/* SPDX-License-Identifier: ISC */
/*
 * Address rewriting to standard form and resolution to transport, next hop, recipient: in process, with the
 * rules of Postfix's trivial-rewrite(8), transport(5), virtual(5). Used by cleanup (rewriting, virtual
 * aliases), qmgr (resolution), smtpd (address classes, existence).
 *
 * Addresses are in internal form throughout (lib/mail/mail_address.h). Results live in the arena or as long
 * as the route. "Cannot tell" (< 0) is a table or list that failed: the caller defers, with route_why() for
 * the log; it is never "no".
 */
#ifndef ROAD_ROUTE_ROUTE_H
#define ROAD_ROUTE_ROUTE_H

#include "lib/conf/params/common.h"
#include "lib/conf/params/route.h"
#include "lib/table/match.h"
#include "lib/table/table.h"

struct route;
/*
 * Opens the tables and lists that the configuration names, and finds this machine's addresses (at start
 * only: it may block). Both conf and common must live as long. -errno with words.
 */
int route_open(struct conf *c, const struct common_conf *common, struct route **ret, struct buf *why);
/*
 * The same without a table or class: enough for rewrite_address(), is_local_domain(),
 * is_own_address(), route_map_one() with tables of the caller's own.
 */
int route_open_rewriting(struct conf *c, const struct common_conf *common, struct route **ret,
			 struct buf *why);
/* The same, and domain_class(), resolve_address(). */
int route_open_resolving(struct conf *c, const struct common_conf *common, struct route **ret,
			 struct buf *why);
void route_free(struct route *r);	/* NULL is fine */

/*
 * Standard form of an internal-form address: append_at_myorigin, append_dot_mydomain, swap_bangpath,
 * allow_percent_hack, trailing dots. "" stays "". local_context false: as for headers of remote clients'
 * mail, remote_header_rewrite_domain takes the place of myorigin and mydomain.
 */
struct str rewrite_address(struct route *r, struct arena *a, struct str address, bool local_context);

enum address_class { CLASS_LOCAL = 1, CLASS_VIRTUAL_ALIAS = 2, CLASS_VIRTUAL_MAILBOX = 4, CLASS_RELAY = 8,
		     CLASS_OTHER = 16 };

struct resolution {
	enum address_class class;
	struct str transport;		/* service name: "smtp", "local", "error", ... */
	struct str nexthop;
	/* possibly changed (local part unquoted, domain appended, routing resolved, ...) */
	struct str recipient;
	/* transport "error"/"retry" chosen by resolution itself: nexthop is "dsn text" */
	bool is_error;
	/*
	 * @, % or ! in the local part of an address that is not ours to take apart: the next system might.
	 * Whoever decides about relaying must not count such an address as being in a domain of ours
	 * unless allow_untrusted_routing is set.
	 */
	bool is_routed;
};
/* 0, or < 0 cannot tell (a table or list failed): defer with route_why(). */
int resolve_address(struct route *r, struct arena *a, struct str sender, struct str recipient,
		    struct resolution *ret) MAY_YIELD;
/*
 * Would it be "bad address syntax", whatever the tables say? An ordinary address is seen to be none
 * at once.
 */
bool address_is_malformed(struct route *r, struct arena *a, struct str address) MAY_YIELD;
const char *route_why(const struct route *r);
/* mydestination, or a literal address of ours. 1, 0, < 0 cannot tell. A dot at the end does not count. */
int is_local_domain(struct route *r, struct arena *a, struct str domain) MAY_YIELD;
/* Class of a domain alone. < 0 cannot tell. */
int domain_class(struct route *r, struct arena *a, struct str domain) MAY_YIELD;
/* Is [address] one of this machine's own (inet_interfaces, proxy_interfaces)? */
bool is_own_address(struct route *r, const struct address_ip *ip);

/*
 * Is there such a recipient? As smtpd asks at RCPT: 1 yes (or not checked), 0 no, < 0 cannot tell.
 * *ret_text: "User unknown in local recipient table" and so on; for one that the transport table sends to
 * the error or retry transport its text, which may start with a DSN (dsn_split).
 */
int recipient_exists(struct route *r, struct arena *a, struct str recipient, const struct resolution *res,
		     struct str *ret_text) MAY_YIELD;

/* A sender in sender_canonical_maps becomes another one, and counts as existing. 1, 0, < 0 cannot tell. */
int sender_is_mapped(struct route *r, struct arena *a, struct str address) MAY_YIELD;

/*
 * Virtual alias expansion of one recipient (recursive, virtual_alias_recursion_limit,
 * virtual_alias_expansion_limit): results in internal and standard form. Not there: itself. -ELOOP, -E2BIG
 * with route_why(), other < 0 cannot tell.
 */
struct str_list { size_t count; struct str *at; };
int expand_virtual_alias(struct route *r, struct arena *a, struct str recipient,
			 struct str_list *ret) MAY_YIELD;

/*
 * A user@domain or bare name in some table of addresses, in the order of tables_get_address(); the bare
 * local part counts when the domain is ours. For canonical, sender-dependent and other such maps.
 */
int route_lookup_address(struct route *r, struct tables *ts, struct arena *a, struct str address,
			 struct str *ret_value, struct str *ret_extension) MAY_YIELD;
/*
 * What a table's value makes of the address that matched (virtual, canonical): a list of addresses in
 * standard form; "@domain" keeps the whole local part; with propagate the unmatched extension ("+ext", may be
 * empty) is put into each. -EBADMSG with route_why(): the value cannot be parsed.
 */
int route_map_result(struct route *r, struct arena *a, struct str address, struct str value,
		     struct str extension, bool propagate,
		     struct str_list *ret);

/*
 * One address for another by the tables of `parameter`: 1 *ret in standard form, 0 not there, < 0 cannot
 * tell.
 */
int route_map_one(struct route *r, struct arena *a, struct tables *ts, const char *parameter, bool propagate,
		  struct str address, struct str *ret) MAY_YIELD;

/* Is this kind of lookup named in propagate_unmatched_extensions? */
bool route_propagates(const struct route *r, struct str kind);

/* Where an address stands, as canonical_classes and masquerade_classes have it. */
enum address_use { USE_ENVELOPE_SENDER = 1, USE_ENVELOPE_RECIPIENT = 2, USE_HEADER_SENDER = 4,
		   USE_HEADER_RECIPIENT = 8 };
/*
 * sender_ and recipient_canonical_maps, canonical_maps, masquerade_domains, as far as they are for
 * such a use. The address has its standard form. 1 *ret is another one, 0 it stays, < 0 cannot tell
 * (-ELOOP among it).
 */
int route_canonical(struct route *r, struct arena *a, unsigned use, struct str address,
		    struct str *ret) MAY_YIELD;

#endif
