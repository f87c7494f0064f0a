/* SPDX-License-Identifier: ISC */
/* Inside lib/jail only: the steps of jail_enter(), in the order in which it takes them. */
#ifndef ROAD_JAIL_PRIVATE_H
#define ROAD_JAIL_PRIVATE_H

#include <stdint.h>

#include "lib/jail/jail.h"

typedef void say_fn(const char *text);

/* Landlock: the rules are made while paths can still be seen, and take effect after the change of user. */
int landlock_prepare(const struct jail *j, const struct jail_world *w, say_fn *say);	/* ruleset descriptor; -ENOSYS: none */
int landlock_close_in(int ruleset);
int landlock_abi(void);			/* 0: the kernel has none */
void landlock_note_active(int abi);
int landlock_active(void);

int enter_chroot(const struct jail_world *w, struct buf *why);
/* All ids and groups, verified; keeps the capabilities that the next step sorts out. */
int enter_user(const struct jail *j, const struct jail_world *w, struct buf *why);
/* Names to a bit mask; -EINVAL for a name that does not exist. */
int capabilities_parse(const char *names, uint64_t *ret_mask);
int capabilities_bound(uint64_t keep);	/* what exec could give back; before the change of user */
int capabilities_keep(uint64_t mask);	/* what this process has; after it */

/* The filter of these sets. 0, -ENOSYS: not for this architecture or kernel. */
int seccomp_enter(unsigned sets);

#endif
