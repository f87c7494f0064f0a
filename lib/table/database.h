/* SPDX-License-Identifier: ISC */
/* Tables that are database files, for those who make them (edit.c, postmap). */
#ifndef ROAD_TABLE_DATABASE_H
#define ROAD_TABLE_DATABASE_H

#include "lib/base/buf.h"
#include "lib/table/modules/driver.h"

/* -EINVAL: no type of database files; -errno: its module cannot be loaded. With words. */
int database_find(struct str type_name, const struct database_driver **ret_driver, struct buf *why);
/* What is stored, without the NUL at its end. */
struct str without_nul(struct str value);

extern const struct database_driver cdb_driver;

#endif
