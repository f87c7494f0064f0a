/* SPDX-License-Identifier: ISC */
/*
 * What a hand says to the agent: lines of "KIND<TAB>...". The hand has become a user and may have been
 * tricked by him, so the agent believes nothing but the result of this user's own mail.
 *
 *   R status dsn text     what became of a destination        F address   to be forwarded to
 *   W text                a warning for the log                T           no .forward: mailbox_transport
 *                                                                          shall get it
 *   M name                the .forward file names its user so: his mailbox gets it too
 *   E                     the .forward file is not that of the extension, which may go on to its addresses
 */
#ifndef ROAD_LOCAL_REPLY_H
#define ROAD_LOCAL_REPLY_H

#include "local/local.h"

void reply_result(struct buf *reply, const struct mailbox_result *result);
void reply_warning(struct buf *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_forward(struct buf *reply, struct str address);
void reply_transport(struct buf *reply);
void reply_mailbox(struct buf *reply, struct str name);
void reply_unmatched(struct buf *reply);
/* Adds it all to the task. An enum errand_wish, or -EBADMSG. */
int reply_read(struct task *t, struct str reply);

#endif
