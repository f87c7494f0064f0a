/* SPDX-License-Identifier: ISC */
/* Inside lib/sasl only: the two mechanisms that take tokens (bearer.c). */
#ifndef ROAD_SASL_PRIVATE_H
#define ROAD_SASL_PRIVATE_H

#include "lib/sasl/login.h"

/* Everything is said at once. -EMSGSIZE. */
int bearer_xoauth2(const struct sasl_credentials *who, struct buf *ret);
int bearer_oauthbearer(const struct sasl_credentials *who, struct buf *ret);

#endif
