/* SPDX-License-Identifier: ISC */
/* master.cf, as master(5) describes its syntax: services, one per logical line, with their -o overrides. */
#ifndef ROAD_CONF_MASTER_CF_H
#define ROAD_CONF_MASTER_CF_H

#include "lib/conf/conf.h"
#include "lib/conf/service_type.h"

enum { MASTER_CF_COLUMNS = 8 };		/* service type private unprivileged chroot wakeup maxproc command */

struct service_entry {
	struct str name;		/* "smtp", "127.0.0.1:2525", "[::1]:smtp", "cleanup" */
	enum service_type type;
	bool is_private;		/* private/ or public/; inet is never private */
	bool unprivileged;		/* runs as mail_owner */
	bool chroot;
	int64_t wakeup_ms;		/* 0: never */
	bool wakeup_if_used;		/* the "?" suffix */
	int maxproc;			/* 0: no limit; "-" is resolved to default_process_limit */
	struct str command;		/* program name, without directory */
	size_t argc;
	/* arguments as given, without the program, { } removed, -o overrides included as they stand */
	struct str *argv;
	struct str column[MASTER_CF_COLUMNS];	/* as written, "-" and all */
	int line;			/* of master.cf; 0: implicit, see below */
	int replaced_line;		/* of an earlier row with this name and type; 0: there is none */
};

struct master_cf {
	size_t count;
	struct service_entry *services;
};

/*
 * The next "name=value" that follows a -o among the options of a service, "-oname=value" too. *at
 * starts at 0. False: no more.
 */
bool service_override(const struct service_entry *s, size_t *at, struct str *ret_assignment);

/*
 * Reads DIR/master.cf. Everything lives in the arena. On error *why names file, line and field. Of
 * two rows with the same name and type the later one counts. Services that Postroad needs and a
 * master.cf made for Postfix lacks (resolver, mtasts, tlsrpt, postlog) are added at the end, with
 * line 0.
 */
int master_cf_load(struct conf *c, struct arena *a, struct master_cf *ret, struct buf *why);
/* The same from text; path is for messages. */
int master_cf_parse(struct conf *c, struct arena *a, const char *path, struct str text,
		    struct master_cf *ret, struct buf *why);

/* a service that others of the suite can ask */
bool master_cf_has(const struct master_cf *m, struct str name);
/*
 * A further row of the queue manager's program, as Postfix could have it: here a queue has one, to
 * which everybody goes by the name qmgr, and what waits for the queue meanwhile keeps that one out.
 */
bool master_cf_is_spare(const struct master_cf *m, const struct service_entry *s);
/*
 * By master_service_disable: "inet", "smtp/inet" ("smtp.inet" before Postfix 2.11), and "!smtp/inet"
 * for what is to be started. The first word that fits counts.
 */
bool master_cf_is_disabled(struct str disabled, const struct service_entry *s);
/*
 * Values of main.cf and of -o that name a service which the table does not have (default_transport,
 * content_filter, ...): says each, with file and line. How many there were.
 */
int master_cf_check_names(struct conf *c, const struct master_cf *m,
			  void (*say)(void *arg, const char *text), void *arg);

#endif
