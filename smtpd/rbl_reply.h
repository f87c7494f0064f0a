/* SPDX-License-Identifier: ISC */
/* What is said to a client that a DNS list has: default_rbl_reply, rbl_reply_maps. */
#ifndef ROAD_SMTPD_RBL_REPLY_H
#define ROAD_SMTPD_RBL_REPLY_H

#include "smtpd/restrict.h"

struct rbl_hit {
	struct str domain;		/* of the list */
	struct str reason;		/* what it says of it; empty: nothing */
	struct str what;		/* the name or address that it has */
	const char *class;		/* "Client host" */
};
struct verdict rbl_reply(struct question *q, const struct rbl_hit *hit) MAY_YIELD;

#endif
