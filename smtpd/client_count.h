/* SPDX-License-Identifier: ISC */
/*
 * How many sessions one client has at the same time in this process. What comes of it, and how many it has in all of them: client_rate.h.
 */
#ifndef ROAD_SMTPD_CLIENT_COUNT_H
#define ROAD_SMTPD_CLIENT_COUNT_H

#include "lib/io/net.h"

/* The sessions from this client's network, with this one; each call needs a client_leaves() for the same address, which returns how many are left. */
int client_enters(const struct address_ip *ip);
int client_leaves(const struct address_ip *ip);
/* "192.0.2.1", or its network when not all bits count, "2001:db8::/64". */
void client_network_print(const struct address_ip *ip, char text[80]);

#endif
