/* SPDX-License-Identifier: ISC */
/*
 * Who counts as one client, and how many sessions it has at the same time in this process. What
 * comes of that, and how many it has in all of them: client_rate.h.
 */
#ifndef ROAD_SMTPD_CLIENT_COUNT_H
#define ROAD_SMTPD_CLIENT_COUNT_H

#include "lib/io/net.h"

/* "192.0.2.1", or its network when not all bits count, "2001:db8::/64". */
struct str client_counted_as(struct arena *a, const struct address_ip *ip);
/*
 * This client's sessions, with this one; each call needs a client_leaves() with the same words,
 * which returns how many are left.
 */
int client_enters(struct str client);
int client_leaves(struct str client);

#endif
