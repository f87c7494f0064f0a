/* SPDX-License-Identifier: ISC */
/* The content of a message on its way from the client to cleanup: what DATA and BDAT share. */
#ifndef ROAD_SMTPD_CONTENT_H
#define ROAD_SMTPD_CONTENT_H

#include "smtpd/session.h"

/* Before the first content: data restrictions. True: go on. False: refused, *ret is what to say. */
bool content_allowed(struct session *s, struct verdict *ret) MAY_YIELD;
void content_begin(struct session *s, bool dots);
/* Decodes and passes on what it can use of `bytes`; how much that was. */
size_t content_take(struct session *s, struct str bytes) MAY_YIELD;
/*
 * Content that is not wanted is read and thrown away, so that the client hears why; but not for
 * ever. The bytes of one DATA or BDAT command that may be thrown away: 10 times message_size_limit,
 * which a mail that is only too big has never.
 */
uint64_t content_most_discarded(void);
struct verdict content_too_big(struct session *s);
/* Beyond that: says the reply, and the session ends. */
enum next content_too_much(struct session *s, const struct verdict *v) MAY_YIELD;
/* When the next piece must be there. */
void content_deadline(struct session *s, when_t began, uint64_t received);
/*
 * The content is complete: end-of-data restrictions, cleanup's verdict, the reply. The transaction
 * ends. by_chunks: BDAT, whose reply names the bytes.
 */
enum next content_finish(struct session *s, bool by_chunks) MAY_YIELD;

#endif
