/* SPDX-License-Identifier: ISC */
/*
 * What posttls-finger and `postroad explain` have the client do when it is started with -R; the
 * words behind it say what.
 */
#ifndef ROAD_SMTP_EXPLAIN_H
#define ROAD_SMTP_EXPLAIN_H

/*
 * finger ...: see finger.h. policy to=NEXTHOP sender=ADDRESS: hosts, TLS policy and login on
 * standard output. The exit status: 0, 1 when mail could not go there now, EX_USAGE.
 */
int explain(void);

#endif
