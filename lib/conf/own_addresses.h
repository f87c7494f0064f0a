/* SPDX-License-Identifier: ISC */
/* This system's own IP addresses, as inet_interfaces and inet_protocols choose them. */
#ifndef ROAD_CONF_OWN_ADDRESSES_H
#define ROAD_CONF_OWN_ADDRESSES_H

#include "lib/conf/conf.h"
#include "lib/io/net.h"

struct own_address {
	struct address_ip ip;		/* port 0 */
	int prefix;			/* bits of its network */
};
struct own_addresses {
	struct own_address *at;
	size_t len, cap;
};

/* Which of inet_protocols are in use. -EINVAL with words. */
int conf_inet_protocols(struct conf *c, bool *ret_ipv4, bool *ret_ipv6, struct buf *why);

/*
 * The addresses that inet_interfaces stands for, IPv4 first, each once: those of the machine's
 * interfaces for "all" and "loopback-only", else the ones that are named (host names are looked up,
 * which may block: at start only). An address that no interface has is accepted: it may appear
 * later. Memory in the arena. -EINVAL with words.
 */
int conf_own_addresses(struct conf *c, struct arena *a, struct own_addresses *ret, struct buf *why);
/* The addresses that proxy_interfaces names: mail for them is mail for this system too. As above. */
int conf_proxy_addresses(struct conf *c, struct arena *a, struct own_addresses *ret, struct buf *why);

#endif
