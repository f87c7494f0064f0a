/* SPDX-License-Identifier: ISC */
/*
 * What a proxy in front of the server says first about the connection that it passes on: the PROXY
 * protocol of HAProxy, version 1 (a line of text) and version 2 (binary).
 */
#ifndef ROAD_SMTP_HAPROXY_H
#define ROAD_SMTP_HAPROXY_H

#include "lib/io/net.h"

enum { HAPROXY_LONGEST = 4096 };	/* of a header with all its extensions, which are skipped */

struct haproxy {
	/* false: the proxy speaks for itself (LOCAL, UNKNOWN): the connection's own addresses count */
	bool proxied;
	struct address_ip client, server;
};

/* The length of the header at the start of bytes; 0: more bytes are needed; -EBADMSG: this is none. */
ssize_t haproxy_parse(struct str bytes, struct haproxy *ret);

#endif
