/* SPDX-License-Identifier: ISC */
/*
 * What a restriction says: a value, never an errno. Who cannot find out says REJECT with a 4xx
 * code; the mapping from "cannot tell" to such a verdict is verdict_cannot_tell() alone.
 */
#ifndef ROAD_SMTPD_VERDICT_H
#define ROAD_SMTPD_VERDICT_H

#include "lib/base/arena.h"

enum act {
	DUNNO,			/* no opinion: ask the next one */
	PERMIT,			/* the rest of this list is not asked */
	REJECT,			/* code, dsn and text go to the client: 4xx or 5xx */
};

struct verdict {
	enum act act;
	int code;
	struct str dsn, text;	/* live in the arena of who asked */
};

static inline struct verdict dunno(void) { return (struct verdict){ .act = DUNNO }; }
static inline struct verdict permit(void) { return (struct verdict){ .act = PERMIT }; }
/* The class digit of dsn is made to fit the code (a reject code may be configured as 4xx). */
struct verdict reject(struct arena *a, int code, struct str dsn, const char *format,
		      ...) __attribute__((format(printf, 4, 5)));
/* 451 4.3.0 <subject>: Temporary lookup failure */
struct verdict verdict_cannot_tell(struct arena *a, struct str subject);

#endif
