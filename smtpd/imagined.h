/* SPDX-License-Identifier: ISC */
/*
 * A session without a connection, so that restrictions can be asked about a client who is not there
 * (explain.c, lint.c).
 */
#ifndef ROAD_SMTPD_IMAGINED_H
#define ROAD_SMTPD_IMAGINED_H

#include "smtpd/session.h"

/* In the arena. name empty: what DNS says; "unknown": it has none. NULL: not an address. */
struct session *imagined_session(struct arena *a, struct str address, struct str name);
void imagined_session_end(struct session *s);

/*
 * lint.c: entries that are never reached, services through which a stranger could relay; as
 * warnings. The exit status, 0.
 */
int lint_restrictions(struct arena *a);

#endif
