/* SPDX-License-Identifier: ISC */
/*
 * Connections to a server that speaks a simple protocol (tcp, socketmap, memcache tables), kept while they are used. Coroutines speak it themselves, with the
 * loop's waits: no thread is needed.
 */
#ifndef ROAD_TABLE_REMOTE_H
#define ROAD_TABLE_REMOTE_H

#include "lib/base/buf.h"
#include "lib/co/co.h"
#include "lib/io/stream.h"

struct remote;

/* where: "inet:host:port", "host:port", "unix:/path". -EINVAL with words. most: connections at once. */
int remote_new(struct str where, int most, struct remote **ret_r, struct buf *why);
void remote_free(struct remote *r);		/* NULL is fine; nobody may have a connection */

/*
 * Has a conversation: talk() reads and writes, and returns what is to be returned, or -errno when the connection is of no use any more. One that had been lying
 * there may have ended unnoticed: then it is had again with a fresh one. All of it takes until then at most.
 */
typedef int remote_talk(struct stream *s, void *arg, struct buf *why) MAY_YIELD;
int remote_ask(struct remote *r, remote_talk *talk, void *arg, when_t until, struct buf *why) MAY_YIELD;

#endif
