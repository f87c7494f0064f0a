/* SPDX-License-Identifier: ISC */
/* $name in forward_path, luser_relay and command_execution_directory: filled in at delivery. */
#ifndef ROAD_LOCAL_EXPAND_H
#define ROAD_LOCAL_EXPAND_H

#include "local/local.h"

/*
 * As in main.cf, ${name?{text}:{text}} and all, with user, local, extension, domain, recipient,
 * recipient_delimiter, and of the account (may be NULL) home and shell. What comes with the mail has its
 * octets outside of filter (NULL: all are fine) made '_'. 1: a name that stands
 * there has no value, as extension often; 0; -EINVAL: unknown name or bad syntax.
 */
int expand_for(struct task *t, const struct account *account, struct str text, const char *filter,
	       struct buf *ret);

#endif
