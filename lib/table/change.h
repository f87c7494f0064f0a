/* SPDX-License-Identifier: ISC */
/*
 * Changes of database files by one process for many: proxymap, as the service proxywrite. Nobody
 * else links this.
 */
#ifndef ROAD_TABLE_CHANGE_H
#define ROAD_TABLE_CHANGE_H

#include "lib/table/type.h"

/*
 * Stores the value, or (NULL) deletes the key; 1, 0 the key to be deleted was not there, -errno
 * with words. What it returns for is on stable storage, and what the table answers from then on.
 * Changes that wait for one that is under way are made together.
 */
int database_change(struct table *t, struct str key, const struct str *value, struct buf *why) MAY_YIELD;

#endif
