/* SPDX-License-Identifier: ISC */
/* $name in texts that are filled in while the program runs, by the rules of main.cf (expand.c). */
#ifndef ROAD_CONF_EXPAND_H
#define ROAD_CONF_EXPAND_H

#include "lib/base/buf.h"

/* False: there is no such name. What it gives is not expanded: it may have come with the mail. */
typedef bool name_value(void *arg, struct str name, struct str *ret_value);

/* Adds to *ret. 1: a name that stands there has an empty value; 0; -EINVAL, -ELOOP, -EMSGSIZE with words. */
int expand_names(struct str text, name_value *value, void *arg, struct buf *ret, struct buf *why);

#endif
