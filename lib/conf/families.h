/* SPDX-License-Identifier: ISC */
/*
 * Parameters that exist once per delivery service of master.cf:
 * SERVICE_destination_concurrency_limit and so on. A service may also have a parameter row of its
 * own with another default (local_destination_concurrency_limit): that one wins.
 */
#ifndef ROAD_CONF_FAMILIES_H
#define ROAD_CONF_FAMILIES_H

#include "lib/conf/conf.h"

struct param_family {
	const char *suffix;		/* "_destination_concurrency_limit" */
	enum param_type type;
	const char *default_text;
	int64_t min, max;
	const char *programs;
	const char *doc;
};
extern const struct param_family param_families[];
extern const size_t param_family_count;

/*
 * Which family a name belongs to, by its suffix; NULL: none. *ret_service (may be NULL) is the part
 * before, of which nothing is said about whether master.cf has it. default_destination_... and the
 * like are parameters of their own, not members.
 */
const struct param_family *param_family_of(struct str name, struct str *ret_service);
/* Parses and checks every member that main.cf sets: says each wrong one. How many there were. */
int conf_check_families(struct conf *c, void (*say)(void *arg, const char *text), void *arg);

#endif
