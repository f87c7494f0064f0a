/* SPDX-License-Identifier: ISC */
/* What the files of postroad lint share. */
#ifndef ROAD_POSTROAD_LINT_H
#define ROAD_POSTROAD_LINT_H

#include "commands/postroad/postroad.h"
#include "lib/conf/master_cf.h"
#include "lib/route/route.h"

struct lint {
	struct work *work;
	struct conf *conf;
	struct arena *arena;
	struct master_cf table;
	struct map *seen;		/* specs of tables, words that were said */
	VEC(struct str) causes;		/* why tables cannot be opened: said once, whatever comes of it */
	struct route *route;
	bool is_running;
	VEC(struct wanted_port) ports;	/* lint_rows.c */
	int wrong;
};

/* An error or a warning; each thing is said once. */
__attribute__((format(printf, 3, 4))) void lint_say(struct lint *l, bool fatal, const char *format, ...);
const char *lint_place(struct lint *l, struct str name);	/* "FILE, line N: name", or the name */

/*
 * lint_keys.c: mappings of addresses and transports, tried with every key of the tables whose keys
 * can be listed.
 */
void lint_keys(struct lint *l);
/* lint_passwords.c: for servers that are logged in to. */
void lint_passwords(struct lint *l);
/* of a table that logs in to its server */
void lint_table_password(struct lint *l, const char *place, struct str type, struct str name);
/* lint_rows.c: of master.cf, and their ports. */
void lint_rows(struct lint *l);
/* lint_routes.c: what sends mail to this very machine, from where it would come back. */
void lint_routes(struct lint *l);
/* lint_unread.c: what is set where nobody looks. */
void lint_unread(struct lint *l);
/* The way of mail for this address; looked at once, for the first who asks. */
void lint_way(struct lint *l, const char *place, struct str address);

#endif
