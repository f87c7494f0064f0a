/* SPDX-License-Identifier: ISC */
/* Shared by the files of lib/route. */
#ifndef ROAD_ROUTE_PRIVATE_H
#define ROAD_ROUTE_PRIVATE_H

#include "lib/conf/own_addresses.h"
#include "lib/route/route.h"

struct masquerade {
	struct str domain;
	bool is_kept;			/* its subdomains are left as they are */
};

struct route {
	struct arena *arena;		/* as long as the route */
	const struct common_conf *common;
	struct route_conf conf;
	struct str myorigin;		/* read from its file when it names one */
	struct str delimiter;
	struct own_addresses own, proxies;
	struct match_list *local, *virtual_alias, *virtual_mailbox, *relay;
	struct tables *virtual_alias_maps, *virtual_mailbox_maps, *local_recipients, *relay_recipients;
	struct tables *transport, *relocated, *sender_relayhost, *sender_transport;
	struct tables *canonical, *sender_canonical, *recipient_canonical;
	/* enum address_use */
	unsigned canonical_uses, sender_canonical_uses, recipient_canonical_uses, masquerade_uses;
	VEC(struct masquerade) masquerade;
	struct match_list *masquerade_exceptions;	/* NULL: none */
	/* "domain" in transport_maps matches subdomains too, instead of ".domain" */
	bool transport_parents;
	bool propagate_virtual, propagate_canonical;
	struct buf why;
};

/* Notes why something cannot be told, and returns error. */
int cannot_tell(struct route *r, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* canonical.c: what the configuration says about it. -errno with words. */
int open_canonical(struct route *r, struct buf *why);

bool is_own_literal(struct route *r, struct str domain);	/* "[127.0.0.1]" */
/* The class of a domain that is not local. */
int remote_class(struct route *r, struct arena *a, struct str domain);

/* What rewrite_address() does; plain: '!' and '%' of a local part without domain count. */
struct str rewrite_text(struct route *r, struct arena *a, struct str address, bool plain, struct str origin,
			struct str domain);
/* "transport:nexthop" of main.cf: the transport, and the next hop when one is given. */
void apply_transport_setting(struct str setting, struct resolution *res);
/* transport_maps for res->recipient in this domain. 1 an entry was applied, 0 none, < 0. */
int apply_transport_maps(struct route *r, struct arena *a, struct str domain, struct resolution *res);

#endif
