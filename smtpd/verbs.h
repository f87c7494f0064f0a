/* SPDX-License-Identifier: ISC */
/* The verbs, one function each; the table of them is in verbs.c. */
#ifndef ROAD_SMTPD_VERBS_H
#define ROAD_SMTPD_VERBS_H

#include "smtpd/session.h"

enum next verb_helo(struct session *s, const struct command *c) MAY_YIELD;
enum next verb_ehlo(struct session *s, const struct command *c) MAY_YIELD;
enum next verb_xclient(struct session *s, const struct command *c) MAY_YIELD;
enum next verb_mail(struct session *s, const struct command *c) MAY_YIELD;
enum next verb_rcpt(struct session *s, const struct command *c) MAY_YIELD;
enum next verb_data(struct session *s, const struct command *c) MAY_YIELD;
enum next verb_bdat(struct session *s, const struct command *c) MAY_YIELD;
enum next verb_rset(struct session *s, const struct command *c) MAY_YIELD;
enum next verb_noop(struct session *s, const struct command *c) MAY_YIELD;
enum next verb_vrfy(struct session *s, const struct command *c) MAY_YIELD;
enum next verb_auth(struct session *s, const struct command *c) MAY_YIELD;
enum next verb_etrn(struct session *s, const struct command *c) MAY_YIELD;
enum next verb_quit(struct session *s, const struct command *c) MAY_YIELD;
enum next verb_help(struct session *s, const struct command *c) MAY_YIELD;
enum next verb_starttls(struct session *s, const struct command *c) MAY_YIELD;

#endif
