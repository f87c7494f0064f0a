/* SPDX-License-Identifier: ISC */
/* Bytes as text (RFC 4648 4): in tables, and in SASL's challenges and answers. */
#ifndef ROAD_BASE_BASE64_H
#define ROAD_BASE_BASE64_H

#include "lib/base/buf.h"

/* Adds to *ret: 0, or -EMSGSIZE at its limit (and nothing was added). */
int base64_encode(struct str bytes, struct buf *ret);
/*
 * -EINVAL: a byte that has no place there, padding that is missing, superfluous or not zero;
 * -EMSGSIZE. Then nothing was added.
 */
int base64_decode(struct str text, struct buf *ret);

#endif
