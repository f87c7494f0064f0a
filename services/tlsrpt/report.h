/* SPDX-License-Identifier: ISC */
/*
 * A report of what was counted for a domain in a period: JSON (RFC 8460 4), compressed, and as a
 * message (5.3).
 */
#ifndef ROAD_TLSRPT_REPORT_H
#define ROAD_TLSRPT_REPORT_H

#include "services/tlsrpt/tally.h"

struct submitter {			/* who reports */
	const char *organization, *contact, *sender, *host;
	int64_t period_s;
};

struct report {
	struct str id;			/* "1728000000.example.com@mail.example.org": the period's begin */
	int64_t begin_s, end_s;		/* of the period, both inside */
	struct str file_name;		/* 5.1 */
	struct str json;
	struct str gzip;
};

/*
 * Everything in the arena, which has room for it; d may be gone afterwards. -ENOMEM when
 * compression fails.
 */
int report_make(const struct counted_domain *d, const struct submitter *s, struct arena *a,
		struct report *ret);
/* The message for a mailto: place; LF line ends. boundary: nobody else's. */
void report_mail(const struct report *r, const struct submitter *s, struct str domain, struct str to,
		 const char *boundary, struct buf *ret);

#endif
