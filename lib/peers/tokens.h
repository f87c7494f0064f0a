/* SPDX-License-Identifier: ISC */
/* Asking tokens(8) for what stands in place of a password. */
#ifndef ROAD_PEERS_TOKENS_H
#define ROAD_PEERS_TOKENS_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/co/co.h"

void tokens_use(const char *path);	/* the service's socket */
/*
 * The token is in the arena. -ENOENT: there is none; other -errno: the service cannot be asked.
 * Both with words.
 */
int token_ask(struct arena *a, struct str user, struct str *ret_token, struct buf *why) MAY_YIELD;
/* The server did not take it: the next one who asks wants another one. */
void token_refuse(struct str user, struct str token) MAY_YIELD;

#endif
