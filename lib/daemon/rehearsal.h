/* SPDX-License-Identifier: ISC */
/*
 * Rehearsals: a daemon that is started with -R reads its configuration, opens its tables and lists
 * as in earnest, and then ends, instead of going on to the jail and to clients. So a reload can be
 * refused, and `postroad lint` can say, what the daemons themselves would stumble over.
 *
 * A daemon's start() may look at the_world->rehearsing where opening something would change it.
 */
#ifndef ROAD_DAEMON_REHEARSAL_H
#define ROAD_DAEMON_REHEARSAL_H

#include "lib/conf/master_cf.h"
#include "lib/conf/params/common.h"

/*
 * What a daemon said, behind the place that it is about: "FILE, line N: " of a parameter that the
 * words begin with, or of the service's row. fatal: it could not start, or must not.
 */
typedef void rehearsal_fn(void *arg, bool fatal, struct str line);
/*
 * Rehearses every service whose program is there and that master_service_disable does not name, each
 * program with the same arguments once.
 * Blocks, for most_ms at most in all; a daemon that is not through by then counts as failed. more:
 * arguments behind the row's own, a list that ends with NULL; without it the rehearsal is strict,
 * as before a reload: tables and certificates that cannot be opened count too. How many could not
 * start; -errno with words when nothing could be tried.
 */
int rehearse_services(struct conf *c, const struct common_conf *common, const struct master_cf *table,
		      int64_t most_ms, const char *const *(*more)(const struct service_entry *s),
		      rehearsal_fn *say, void *arg, struct buf *why);
/*
 * The command line of a rehearsal, with more arguments behind the row's own (what is to be
 * explained; NULL: a strict one); ends with NULL. *ret_path: the program.
 */
char **rehearsal_command(struct arena *a, const struct common_conf *common, const char *config_dir,
			 const struct service_entry *s, const char *const *more, const char **ret_path);

#endif
