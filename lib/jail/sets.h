/* SPDX-License-Identifier: ISC */
/* Inside lib/jail only: what the named sets of jail.h consist of. */
#ifndef ROAD_JAIL_SETS_H
#define ROAD_JAIL_SETS_H

#include <stddef.h>

struct call_set {
	unsigned set;			/* SYS_CORE ... */
	const int *calls;
	size_t count;
};
extern const struct call_set CALL_SETS[];
extern const size_t CALL_SET_COUNT;

#endif
