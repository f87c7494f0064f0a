/* SPDX-License-Identifier: ISC */
/* Inside commands/postroad only. Each action returns an exit status. */
#ifndef ROAD_COMMANDS_POSTROAD_H
#define ROAD_COMMANDS_POSTROAD_H

#include "lib/conf/params/daemon.h"
#include "lib/conf/params/postlogd.h"
#include "lib/daemon/daemon.h"
#include "lib/daemon/instance.h"

struct work {
	struct command_world world;
	struct daemon_conf daemon;
	struct postlogd_conf log;
	bool verbose;
	const char *notify_socket;	/* systemd's, for master; NULL: none */
};

int do_start(struct work *w);
int do_start_fg(struct work *w);
int do_stop(struct work *w);
int do_abort(struct work *w);
int do_reload(struct work *w);
int do_status(struct work *w);
int do_check(struct work *w);
int do_flush(struct work *w);
int do_logrotate(struct work *w);
int do_lint(struct work *w);
int do_explain(struct work *w, int argc, char **argv);	/* argv[0]: "explain" */

/*
 * What start, check and lint look at alike: says everything that is not as it should be. How much
 * of it is in the way of a start.
 */
int find_obstacles(struct work *w, bool thorough, report_fn *say, void *arg);
void say_problem(void *arg, bool fatal, const char *text);	/* to the log */
/* Names in main.cf and master.cf that nothing reads, or that are not supported here. */
void tell_of_names(struct work *w);
int tell_of_values(struct work *w);		/* how many no program can read */
/* The running system, or false: it does not run (said, unless quiet). Dies when that cannot be found out. */
bool find_running(struct work *w, struct instance_state *ret, bool quiet);

#endif
