/* SPDX-License-Identifier: ISC */
/* What master and `postroad check` know about the programs that rows of master.cf name. */
#ifndef ROAD_CONF_PROGRAMS_H
#define ROAD_CONF_PROGRAMS_H

#include "lib/base/str.h"

enum program_shape {
	MULTIPLEXES,		/* many clients at once in each of worker_processes processes */
	ONE_AT_A_TIME,		/* a process per client */
	SINGLETON,		/* one process, however many clients */
	IN_PROCESS,		/* what the service did is done inside others: the row needs no process */
	NOT_HERE_YET,		/* a Postfix program that Postroad does not have: said when first used */
};

struct program {
	const char *name;
	const char *file;	/* in daemon_directory, when it is not the name */
	enum program_shape shape;
	bool hands_over;	/* a singleton whose successor starts while it still finishes what it holds */
	bool always;		/* started without waiting for a client, and again as soon as it died */
	bool ends_last;		/* at a stop it goes after the others: they log through it */
	/* its processes leave their successors something in memory: see lib/daemon/supervision.h */
	bool has_keepsake;
};

/* Is it in the table? Others may be anybody's. */
bool program_is_ours(const struct program *p);
/* A program that the table does not know serves one client at a time. */
const struct program *program_find(struct str name);

#endif
