/* SPDX-License-Identifier: ISC */
/* Loadable modules: where table types get their drivers from that stand on a library of others. */
#ifndef ROAD_TABLE_MODULE_H
#define ROAD_TABLE_MODULE_H

#include "lib/base/buf.h"
#include "lib/table/modules/driver.h"

/* Of one type; those that it does not have are NULL. */
struct drivers {
	const struct server_driver *server;
	const struct database_driver *database;
	const struct pattern_driver *pattern;
};

struct table_type;
/* The drivers of a type, its module loaded if need be. A type without any has none: 0. -errno with words. */
int drivers_find(const struct table_type *type, struct drivers *ret_drivers, struct buf *why);

#endif
