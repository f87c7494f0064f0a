/* SPDX-License-Identifier: ISC */
/*
 * What all tables with a file of parameters do with keys and values: domain, result_format,
 * expansion_limit.
 */
#ifndef ROAD_TABLE_RESULTS_H
#define ROAD_TABLE_RESULTS_H

#include "lib/table/match.h"
#include "lib/table/settings.h"
#include "lib/table/template.h"

struct results {
	struct template format;		/* result_format */
	size_t most;			/* expansion_limit; 0: none */
	struct match_list *domains;	/* domain; NULL: all keys */
};
/* -errno with words. results_free() also after a failure, if *r was zeroed before. */
int results_open(struct results *r, const struct settings *s, const char *format_parameter, struct buf *why);
void results_free(struct results *r);
/* Is the key looked up at all? 1, 0, -errno with words. */
int results_wants(const struct results *r, struct arena *a, const struct address_parts *key,
		  struct buf *why) MAY_YIELD;
/*
 * Adds one value, formatted, behind a comma if it is not the first. Empty and suppressed ones are
 * left out. -EMSGSIZE with words.
 */
int results_add(const struct results *r, const struct address_parts *key, struct str value, size_t *count,
		struct buf *joined, struct buf *why);

#endif
