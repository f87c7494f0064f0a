/* SPDX-License-Identifier: ISC */
/*
 * A block of addresses, "192.0.2.0/24", "[2001:db8::]/32", "192.0.2.1": for cidr tables and match
 * lists. A block means what is written there: ::ffff:0:0/96, which lists of bogus networks have, is
 * IPv6 and does not contain every IPv4 address.
 */
#ifndef ROAD_TABLE_NETWORK_H
#define ROAD_TABLE_NETWORK_H

#include <arpa/inet.h>

#include "lib/base/buf.h"

struct network {
	int family;
	unsigned bits;
	unsigned char bytes[16];
};

/* -EINVAL with words: no address, bad length, or bits set behind the length. */
int network_parse(struct str text, struct network *ret_n, struct buf *why);
/* "192.0.2.1", "2001:db8::1", without brackets: a block of one address. False: it is none. */
bool network_of_address(struct str text, struct network *ret_n);
/* family and bytes of an address. */
bool network_has(const struct network *n, int family, const unsigned char *bytes);

#endif
