/* SPDX-License-Identifier: ISC */
/* A block of addresses, "192.0.2.0/24", "[2001:db8::]/32", "192.0.2.1": for cidr tables and match lists. */
#ifndef ROAD_TABLE_NETWORK_H
#define ROAD_TABLE_NETWORK_H

#include "lib/io/net.h"

struct network {
	int family;
	unsigned bits;
	unsigned char bytes[16];
};

/* -EINVAL with words: no address, bad length, or bits set behind the length. */
int network_parse(struct str text, struct network *ret_n, struct buf *why);
bool network_has(const struct network *n, const struct address_ip *ip);

#endif
