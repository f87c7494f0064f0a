/* SPDX-License-Identifier: ISC */
/*
 * Database files have keys and values that end with a NUL byte, or not: it depends on who made them. Both forms are tried until the first success
 * says which it is.
 */
#ifndef ROAD_TABLE_NUL_FORMS_H
#define ROAD_TABLE_NUL_FORMS_H

#include "lib/base/buf.h"

struct nul_forms {
	bool no_nul, no_plain;		/* forms that are ruled out; zero-initialise */
};

/* One key exactly as it is stored: 1, 0, -errno. */
typedef int fetch_key(void *db, struct str key);
int nul_forms_fetch(struct nul_forms *f, struct str key, fetch_key *fetch, void *db);
/* The value without the NUL. */
struct str without_nul(struct str value);

#endif
