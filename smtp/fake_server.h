/* SPDX-License-Identifier: ISC */
/*
 * For tests: a server that follows a script, one coroutine per address. A script is a text of lines:
 *   A        accept the next connection
 *   S text   say this line
 *   R text   say these bytes without a line end
 *   C text   the client's next line must start so
 *   D        read content up to its final dot into `content`
 *   X        close
 *   Z        reset (closes with unread input)
 *   E        the client must close, having said nothing but perhaps QUIT
 *   Q        the client must say QUIT, then close
 *   P ms     pause
 */
#ifndef ROAD_SMTP_FAKE_SERVER_H
#define ROAD_SMTP_FAKE_SERVER_H

#include "lib/io/net.h"
#include "lib/io/stream.h"

struct fake_server {
	const char *script;
	int listener;
	struct address_ip at;
	struct stream *s;
	struct buf content;		/* of all messages, as received on the wire without dots undone */
	bool done;			/* the script was followed to its end */
	char complaint[600];		/* what was not as the script says; "" nothing */
};

/* Listens on ip (port 0: any; else that one). False: somebody has that port there. */
bool fake_listen(struct fake_server *f, const char *ip, uint16_t port, const char *script);
/* The same without listening: who connects is refused, and nobody else gets the port meanwhile. */
bool fake_absence(struct fake_server *f, const char *ip, uint16_t port);
void fake_run(void *server) MAY_YIELD;		/* a coroutine */
void fake_end(struct fake_server *f);

#endif
