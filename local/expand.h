/* SPDX-License-Identifier: ISC */
/* $name in forward_path and luser_relay: filled in at delivery. */
#ifndef ROAD_LOCAL_EXPAND_H
#define ROAD_LOCAL_EXPAND_H

#include "local/local.h"

/*
 * $name, ${name}, $(name), ${name?text}, ${name:text} with user, local, extension, domain, recipient,
 * recipient_delimiter, and of the account (may be NULL) home and shell. What comes with the mail has its
 * octets outside of filter (NULL: all are fine) made '_'. -EINVAL: unknown name or bad syntax.
 */
int expand_names(struct task *t, const struct account *account, struct str text, const char *filter,
		 struct buf *ret);

#endif
