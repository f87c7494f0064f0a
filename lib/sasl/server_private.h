/* SPDX-License-Identifier: ISC */
/* Between server.c, which keeps the connection, and exchange.c, which uses it. */
#ifndef ROAD_SASL_SERVER_PRIVATE_H
#define ROAD_SASL_SERVER_PRIVATE_H

#include "lib/sasl/server.h"

/*
 *   state        connection                          who leaves it
 *   AT_REST      none; not before rest_until again   server_ready() starts a coroutine
 *   CONNECTING   under way, or in the handshake      the coroutine, to READY or AT_REST
 *   READY        requests may be sent                the coroutine when it ends: all that wait for answers are told
 */
enum server_state { SERVER_AT_REST, SERVER_CONNECTING, SERVER_READY };

struct auth_server {
	struct sasl_settings settings;
	char *path, *host;		/* one of them */
	uint16_t port;
	enum server_state state;
	struct bell changed;
	struct scope *scope;		/* the connection's coroutine; NULL: never started */
	when_t rest_until;
	int fd;				/* READY: for the writer; -1 otherwise */
	unsigned connection;		/* counts them */
	when_t heard;			/* when the last line came */
	struct buf unsent;
	struct bell to_send;
	struct list waiting;		/* of struct sasl_exchange */
	uint32_t last_id;
	int offer_count;
	struct sasl_offer offers[SASL_MOST_OFFERS];	/* of the last handshake that ended well */
	struct buf why;
};

/* Connected and greeted, in time: 0, or -errno; auth_server_why() has words. */
int server_ready(struct auth_server *s) MAY_YIELD;
/* Adds to s->unsent; it may be a password. -EMSGSIZE: nothing was added. */
int server_add(struct auth_server *s, struct str line);
/* What is in s->unsent goes out soon. */
void server_send(struct auth_server *s);
/* Nothing came for too long: the connection ends, and with it whatever waits. */
void server_give_up(struct auth_server *s);
struct auth_server *server_like(const struct auth_server *s);

/* exchange.c: a line about an exchange; nobody may be waiting for it any more. */
void exchange_answered(struct auth_server *s, const struct auth_line *l);
/* The connection is gone. */
void exchanges_lost(struct auth_server *s);

#endif
