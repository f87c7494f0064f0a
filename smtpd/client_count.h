/* SPDX-License-Identifier: ISC */
/*
 * How many sessions one client has at the same time (smtpd_client_connection_count_limit), and how often it said AUTH lately
 * (smtpd_client_auth_rate_limit). Counted in this process; with several workers a client may have as many in each.
 */
#ifndef ROAD_SMTPD_CLIENT_COUNT_H
#define ROAD_SMTPD_CLIENT_COUNT_H

#include "lib/io/net.h"

/* The sessions from this client's network, with this one; each call needs a client_leaves() for the same address. */
int client_enters(const struct address_ip *ip);
void client_leaves(const struct address_ip *ip);
/* The AUTH commands from this client's network in the anvil_rate_time_unit under way, with this one. */
int client_authenticates(const struct address_ip *ip);

#endif
