/* SPDX-License-Identifier: ISC */
/*
 * The `query` of mysql, pgsql and sqlite tables as a statement with placeholders, and the values to
 * be bound to them. '%u@example.com' becomes one placeholder, whose value is the whole string:
 * nothing of what is looked up can become part of the statement, whatever it contains.
 */
#ifndef ROAD_TABLE_SQL_H
#define ROAD_TABLE_SQL_H

#include "lib/table/template.h"

enum sql_dialect { SQL_PGSQL, SQL_MYSQL, SQL_SQLITE };

struct sql {
	struct str statement;		/* NUL-terminated */
	VEC(struct template) values;	/* one per placeholder */
};

/* -EINVAL with words: an expansion where no value can stand (within double quotes, say). */
int sql_compile(struct arena *a, struct str query, enum sql_dialect dialect, struct sql *ret_sql,
		struct buf *why);

#endif
