/* SPDX-License-Identifier: ISC */
/*
 * What the names set in main.cf and master.cf are to the suite. conf_review() tells the
 * administrator; postconf lists by it.
 */
#ifndef ROAD_CONF_REVIEW_H
#define ROAD_CONF_REVIEW_H

#include "lib/conf/master_cf.h"

enum name_class {
	NAME_BUILT_IN,		/* has a row */
	NAME_OF_SERVICE,	/* of a family or the like, for a service that master.cf has */
	/* used as $name, as a restriction class, or by a table that main.cf describes */
	NAME_OF_USER,
	NAME_PLANNED,		/* a Postfix parameter that is not here: conf_absence() */
	NAME_UNUSED,		/* nothing reads it */
};

struct review;

/* Reads master.cf too (whether it can be read or not). c must live as long. */
struct review *review_open(struct conf *c);
void review_close(struct review *v);
enum name_class review_class(struct review *v, struct str name);
/* The services of master.cf, implicit ones included; empty when it cannot be read. */
const struct master_cf *review_services(const struct review *v);
const char *review_no_services(const struct review *v);		/* why not, or NULL */
struct conf *review_conf(const struct review *v);
/* nearest.c: the known name that this one may have been meant for; empty: none is near. */
struct str review_nearest(struct review *v, struct arena *a, struct str name);
/*
 * Tells what needs a word, as conf_review() does: of names that nothing reads or that are not here
 * only where asked for, the rest always.
 */
enum {
	REVIEW_UNUSED_IN_MAIN_CF = 1, REVIEW_UNUSED_IN_MASTER_CF = 2,
	REVIEW_WITH_LINES = 4,		/* of unused and undefined names; without it in Postfix's words */
};
void review_tell(struct review *v, unsigned what, void (*say)(void *arg, const char *text), void *arg);

#endif
