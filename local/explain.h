/* SPDX-License-Identifier: ISC */
/* What `postroad explain` and `postroad lint` have local say (local -R ... explain NAME ..., lint). */
#ifndef ROAD_LOCAL_EXPLAIN_H
#define ROAD_LOCAL_EXPLAIN_H

#include "local/local.h"

/* explain: what these local parts come to, on standard output. lint: see lint.c. The exit status. */
int explain(void);
/* The task is nobody's: for its domain and memory, which is given back after each entry. */
void lint_aliases(struct task *t);

#endif
