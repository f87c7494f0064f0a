/* SPDX-License-Identifier: ISC */
/*
 * The entries of tables whose entries stand in a text, for those who look through a configuration
 * before it is used: inline, texthash, the rules of cidr, regexp and pcre, and databases, which are
 * taken to hold what their source says; of proxied tables and tables of tables those in them.
 */
#ifndef ROAD_TABLE_LISTING_H
#define ROAD_TABLE_LISTING_H

#include "lib/base/buf.h"

struct table_entry {
	struct str key;			/* of rules empty */
	struct str value;		/* as it is written */
	const char *path;		/* of the text; NULL: it stands in the parameter */
	int line;
};
/*
 * What cannot be read is passed over: whoever opens the table says so. False: there may be more
 * than what was told of.
 */
bool table_each_entry(struct str spec, void (*each)(void *arg, const struct table_entry *e), void *arg);
/* The same of alias_maps: the sources of databases are read as aliases(5) has them, by postalias. */
bool table_each_alias(struct str spec, void (*each)(void *arg, const struct table_entry *e), void *arg);

#endif
