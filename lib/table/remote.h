/* SPDX-License-Identifier: ISC */
/*
 * Connections to a server that speaks a simple protocol (tcp, socketmap, memcache tables, policy
 * servers of smtpd), kept while they are used. Coroutines speak it themselves, with the loop's
 * waits: no thread is needed.
 */
#ifndef ROAD_TABLE_REMOTE_H
#define ROAD_TABLE_REMOTE_H

#include "lib/base/buf.h"
#include "lib/co/co.h"
#include "lib/io/net.h"
#include "lib/io/stream.h"

struct remote;

/* 0 of a time or number: no limit. */
struct remote_limits {
	int connections;		/* at once */
	int64_t idle_ms;		/* how long a connection may lie unused */
	int64_t age_ms;			/* how old one may become */
	int64_t uses;			/* how often one may be used */
	/*
	 * The addresses of a host, how many, or -errno. NULL: what the C library says, asked on a
	 * pool thread.
	 */
	int (*find)(const char *host, struct address_ip *ret, int most) MAY_YIELD;
};

extern const struct remote_limits remote_limits_of_tables;

/* where: "inet:host:port", "host:port", "unix:path". -EINVAL with words. */
int remote_new(struct str where, const struct remote_limits *limits, struct remote **ret_r, struct buf *why);
void remote_free(struct remote *r);		/* NULL is fine; nobody may have a connection */

/*
 * Has a conversation: talk() reads and writes, and returns what is to be returned, or -errno when
 * the connection is of no use any more. One that had been lying there may have ended unnoticed:
 * then it is had again with a fresh one. All of it takes until then at most.
 */
typedef int remote_talk(struct stream *s, void *arg, struct buf *why) MAY_YIELD;
int remote_ask(struct remote *r, remote_talk *talk, void *arg, when_t until, struct buf *why) MAY_YIELD;

#endif
