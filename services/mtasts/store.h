/* SPDX-License-Identifier: ISC */
/*
 * The cache's policies in a file, so that a restart does not make a new chance for whoever can
 * suppress the record or the policy. A line "postroad-mtasts 1", then one for each policy, the
 * least recently used first:
 *
 *   domain TAB id TAB mode TAB max_age TAB fetched TAB used TAB pattern[ pattern...]
 */
#ifndef ROAD_MTASTS_STORE_H
#define ROAD_MTASTS_STORE_H

#include "lib/base/buf.h"
#include "services/mtasts/cache.h"

/* How many lines were malformed, and left out; -EINVAL: it is no such file. */
int store_parse(struct str text);
void store_print(struct buf *b);

#endif
