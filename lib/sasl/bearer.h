/* SPDX-License-Identifier: ISC */
/* Inside lib/sasl only: the two mechanisms that take tokens. */
#ifndef ROAD_SASL_BEARER_H
#define ROAD_SASL_BEARER_H

#include "lib/sasl/login.h"

/* Everything is said at once. -EMSGSIZE. */
int bearer_xoauth2(const struct sasl_credentials *who, struct buf *ret);
int bearer_oauthbearer(const struct sasl_credentials *who, struct buf *ret);

#endif
