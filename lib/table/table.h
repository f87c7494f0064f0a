/* SPDX-License-Identifier: ISC */
/*
 * Lookup tables: "type:name". One small file per type behind one vtable (lib/table/type.h). A table that fails is a temporary
 * error (-errno, with words from table_why), never "not there". Files are reopened when they changed (checked at most once a second).
 *
 * In process: hash btree (Berkeley DB, read only), texthash static inline cidr regexp pcre. Through the proxymap service: "proxy:type:name" and types
 * that may block (unix:passwd.byname): table_open() arranges it.
 */
#ifndef ROAD_TABLE_TABLE_H
#define ROAD_TABLE_TABLE_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/co/co.h"

enum table_flags {
	TABLE_FOLD_KEY = 1,		/* keys are matched without regard to case (the default for mail tables) */
	TABLE_NO_PROXY = 2,		/* proxymap itself: open in process what others proxy */
	TABLE_NO_REGEXP_SUBSTITUTION = 4,	/* $1 in results refused: for tables whose results are trusted with privileges */
};

struct table;
/* spec: "hash:/etc/x", "inline:{ a=b }", "proxy:unix:passwd.byname". -EINVAL unknown type, -errno of the file, with words. */
int table_open(struct str spec, unsigned flags, struct table **ret, struct buf *why);
void table_free(struct table *t);
const char *table_spec(const struct table *t);
/* 1 found, 0 not there, < 0 cannot tell. */
int table_get(struct table *t, struct arena *a, struct str key, struct str *ret_value) MAY_YIELD;
const char *table_why(const struct table *t);	/* words for the last < 0 */

/* A list of tables as in alias_maps: the first that knows the key answers; the first that cannot tell stops the search. */
struct tables;
int tables_open(struct str specs, unsigned flags, struct tables **ret, struct buf *why);
void tables_free(struct tables *ts);
bool tables_are_empty(const struct tables *ts);
int tables_get(struct tables *ts, struct arena *a, struct str key, struct str *ret_value) MAY_YIELD;
const char *tables_why(const struct tables *ts);

/*
 * The usual order for an address: user+ext@domain, user@domain, user+ext, user (last two when the domain is in `local`, see local_domain), @domain.
 * *ret_extension (may be NULL) is the "+ext" that the matching form did not contain, so that the caller can propagate it.
 */
struct address_lookup {
	struct str delimiter;		/* recipient_delimiter */
	bool local_domain;		/* try the bare local part too */
	bool no_domain_catch_all;	/* leave out @domain */
};
int tables_get_address(struct tables *ts, struct arena *a, struct str address, const struct address_lookup *how,
		       struct str *ret_value, struct str *ret_extension) MAY_YIELD;

/* The service that table_open sends proxied types to; set once by lib/daemon. Path of the socket. */
void table_set_proxy(const char *path);

#endif
