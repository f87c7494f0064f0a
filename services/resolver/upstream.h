/* SPDX-License-Identifier: ISC */
/*
 * The way to DNS: libunbound in a thread of its own, which reads every packet, keeps the cache and
 * validates. It is made for a list of name servers; when that changes, a new one takes over and the
 * old one ends with its last question.
 */
#ifndef ROAD_RESOLVER_UPSTREAM_H
#define ROAD_RESOLVER_UPSTREAM_H

#include "lib/co/co.h"
#include "lib/conf/params/dns.h"
#include "lib/ipc/message.h"

struct upstream;
/* servers: as in dns_resolver_addresses. -EINVAL with words. */
int upstream_new(const struct dns_conf *conf, struct str servers, struct upstream **ret,
		 struct buf *why) MAY_YIELD;
/* In the loop: starts taking answers in. */
int upstream_start(struct upstream *u, struct scope *scope);
/* No more questions come; ends and frees itself when those under way are through. */
void upstream_retire(struct upstream *u);
/* Everything in *ret lives in the arena. */
void upstream_ask(struct upstream *u, struct arena *a, struct str name, unsigned type, when_t until,
		  struct dns_reply *ret) MAY_YIELD;

#endif
