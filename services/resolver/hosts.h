/* SPDX-License-Identifier: ISC */
/*
 * The hosts file: addresses and names that are known without asking DNS (hosts(5)); and localhost,
 * whatever the file says (RFC 6761).
 */
#ifndef ROAD_RESOLVER_HOSTS_H
#define ROAD_RESOLVER_HOSTS_H

#include "lib/dns/dns.h"

struct hosts;
struct hosts *hosts_parse(struct str text);
void hosts_free(struct hosts *h);		/* NULL is fine */
/*
 * Rdata as in dns_reply.records for A, AAAA or PTR of name (lower case, without final dot) into
 * `records`. True: the name is known here, and it is not asked for elsewhere; records stay empty
 * when it has no address of that kind.
 */
bool hosts_find(const struct hosts *h, struct str name, enum dns_type type, struct buf *records);

#endif
