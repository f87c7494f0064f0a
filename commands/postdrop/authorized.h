/* SPDX-License-Identifier: ISC */
/* May this account hand in mail (authorized_submit_users)? */
#ifndef ROAD_POSTDROP_AUTHORIZED_H
#define ROAD_POSTDROP_AUTHORIZED_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

/* 1 yes, 0 no; -errno with words when the list cannot be understood: then nobody may. user "": an account without a name. */
int is_authorized(struct arena *a, struct str list, struct str user, struct buf *why);

#endif
