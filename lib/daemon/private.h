/* SPDX-License-Identifier: ISC */
/* Inside lib/daemon only. */
#ifndef ROAD_DAEMON_PRIVATE_H
#define ROAD_DAEMON_PRIVATE_H

#include "lib/conf/service_type.h"
#include "lib/daemon/daemon.h"
#include "lib/daemon/startup.h"
#include "lib/daemon/supervision.h"

/* ---- the command line (options.c) ---- */

struct daemon_options {
	const char *service;
	enum service_type type;
	const char *config_dir;		/* NULL: MAIL_CONFIG */
	int listeners;			/* inherited from FIRST_LISTENER_FD on */
	int main_cf;			/* -i: main.cf, open; -1: to be read from config_dir */
	int keepsake;			/* -k; -1: none */
	int session_limit;
	int workers;			/* -w; 0: not told */
	int verbose;
	bool foreground, unprivileged, chroot;
	bool rehearsal;			/* -R: reads its configuration and ends; see rehearsal.h */
	/* -RR: of a reload, which is refused for whatever could not be used */
	bool strict;
	const char **overrides;		/* -o, in order; to be freed */
	size_t override_count;
	char *const *rest;		/* what follows the options; ends with NULL */
};
/* Dies with EX_USAGE when the command line makes no sense. */
void options_parse(int argc, char **argv, struct daemon_options *ret);

/* ---- listeners ---- */

struct listener {
	int fd;
	enum service_type type;
	bool is_public;
};
/*
 * The inherited ones, or in the foreground those that the remaining arguments name. Dies. Returns
 * how many.
 */
int listeners_inherit(const struct daemon_options *o, struct listener ret[MOST_LISTENERS]);
int listeners_open(const struct daemon_options *o, struct listener ret[MOST_LISTENERS]);
bool listener_is_public(int fd);

/* One byte to master; nothing in the foreground. */
void report_to_master(enum worker_report report);
bool has_master(void);
void lifeline_use(bool yes);

/*
 * Logs the system calls that the jail refused since last time: a bug of ours, a new C library, or
 * an attack. Costs next to nothing when none were.
 */
void say_refusals(void);

/* ---- the three shapes: each returns when the process shall end ---- */

struct daemon_run {
	const struct daemon *d;
	const struct daemon_options *options;
	struct listener *listeners;
	int listener_count;
	int64_t max_use, max_idle_ms, stop_ms;
};
void run_sessions(const struct daemon_run *r);		/* also DAEMON_DATAGRAMS */
void run_one_at_a_time(const struct daemon_run *r);
extern volatile sig_atomic_t winding_down;

/* Fills in what there is to know about a connection that was accepted at l. */
void describe_socket(const struct listener *l, int fd, struct session_socket *ret);
/*
 * Waits for the first bytes of a connection to a service that can be woken, takes the wakeups off
 * and calls wake() once for them. False: that was all, and the peer has closed. True: there is, or
 * may come, something to serve.
 */
bool take_triggers(int fd, void (*wake)(void), when_t until) MAY_YIELD;

#endif
