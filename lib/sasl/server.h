/* SPDX-License-Identifier: ISC */
/*
 * Whether a client is who it says (RFC 4422, 4954), as an authentication server tells: Dovecot's
 * "auth" service, or what speaks its protocol. All exchanges of a process share one connection,
 * which is made when it is first needed, and again after it broke. A server that is not there, does
 * not answer or talks nonsense costs the exchanges under way a temporary failure, and nobody else
 * anything.
 */
#ifndef ROAD_SASL_SERVER_H
#define ROAD_SASL_SERVER_H

#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/co/co.h"
#include "lib/io/net.h"
#include "lib/sasl/auth_line.h"

struct auth_server;

enum { SASL_MOST_OFFERS = 40 };

/* A mechanism that the server can do. */
struct sasl_offer {
	char name[AUTH_LONGEST_NAME + 1];
	unsigned options;		/* enum sasl_option: what it is good for */
};

struct sasl_settings {
	struct str where;		/* "private/auth", "unix:/path", "inet:host:port"; copied */
	/* a connection for each exchange: the server does one thing at a time */
	bool one_exchange;
	int64_t connect_ms;		/* until it must have said what it can do */
	/* until it must have answered; Dovecot itself holds back refusals for up to 17 seconds */
	int64_t answer_ms;
};

/* -EINVAL with words: `where` makes no sense. Does not connect. */
int auth_server_new(const struct sasl_settings *settings, struct auth_server **ret, struct buf *why);
void auth_server_free(struct auth_server *s) MAY_YIELD;	/* no exchange is under way; NULL is fine */
bool auth_server_is_inet(const struct auth_server *s);
const char *auth_server_path(const struct auth_server *s);	/* of its Unix socket, or NULL */
/*
 * What the server can do, in its order; connects if need be. When it cannot be reached: what it
 * could when it was, or < 0 if it never was. *ret lives until the next call of anybody.
 */
int auth_server_offers(struct auth_server *s, const struct sasl_offer **ret) MAY_YIELD;

/* ---- one attempt ---- */

struct sasl_request {
	struct str mechanism;		/* one that the server has named, spelt as there */
	struct str service;		/* "smtp" */
	/* of names without one; empty: none. For Cyrus only, Dovecot has its own ideas */
	struct str realm;
	const struct address_ip *local, *remote;	/* family 0: not known */
	bool is_secured;		/* nobody listens in: TLS */
	bool has_trusted_certificate;	/* the client has proved whose it is (EXTERNAL) */
	bool has_response;		/* an initial response came with the command */
	struct str response;		/* base64; empty is a response too */
};

enum sasl_outcome {
	SASL_MORE,			/* challenge is for the client */
	SASL_DONE,			/* the client is `user` */
	SASL_REFUSED,			/* it is not; `reason`, `user` if known */
	/* nobody can tell now; `reason` for the client; auth_server_why() for the administrator */
	SASL_UNAVAILABLE,
};

/* Zero-initialise. Nothing of an attempt goes into the next one. */
struct sasl_exchange {
	struct buf challenge, user, reason;
	/* private to lib/sasl */
	struct auth_server *server, *own_server;
	struct list link;		/* in the server's list, while an answer is awaited */
	uint32_t id;			/* 0: not begun */
	unsigned connection;		/* that it began on */
	enum sasl_outcome outcome;
	bool is_answered, is_lost, is_over;
	struct bell answered;
};

enum sasl_outcome sasl_begin(struct sasl_exchange *e, struct auth_server *s,
			     const struct sasl_request *q) MAY_YIELD;
/* The client's answer to the last challenge, base64. */
enum sasl_outcome sasl_continue(struct sasl_exchange *e, struct str response) MAY_YIELD;
/* Tells the server that nothing more comes, if something was to come. Always; then `e` may be used again. */
void sasl_end(struct sasl_exchange *e) MAY_YIELD;
/* Words about the last trouble with the server, for the log; "" if there was none. */
const char *auth_server_why(const struct auth_server *s);

#endif
