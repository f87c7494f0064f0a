/* SPDX-License-Identifier: ISC */
/*
 * One attempt to log in to a server: mechanisms of passwords by libgsasl, in a module that only who
 * logs in loads, and those of tokens by ourselves. Challenges and answers are bytes here; how they
 * travel (base64, in 334 replies) is the protocol's affair.
 *
 * Each attempt has a state of its own, which is overwritten when it ends. Nothing of it is ever logged.
 */
#ifndef ROAD_SASL_LOGIN_H
#define ROAD_SASL_LOGIN_H

#include "lib/base/buf.h"
#include "lib/co/co.h"

struct sasl_credentials {
	const char *user, *password;	/* password: or the token */
	const char *authorize;		/* as whom to act; NULL: as the user */
	bool is_token;			/* the password is a token and good for nothing else */
	/* "smtp", and the server's name: part of what DIGEST-MD5 and OAUTHBEARER sign or say */
	const char *service, *host;
	unsigned port;
};

struct sasl_mechanism;
/* In start(): loads the module from this directory. -errno with words. */
int sasl_login_open(const char *directory, struct buf *why);
const char *sasl_mechanism_name(const struct sasl_mechanism *m);
/* Does the client have the first word? */
bool sasl_mechanism_begins(const struct sasl_mechanism *m);
bool sasl_mechanism_takes_token(const struct sasl_mechanism *m);
/*
 * The best one that is offered (names, separated by blanks) and has all these options (options.h).
 * Those that take tokens come last, since a password may or may not be one; with is_token they are
 * the only ones. NULL: none.
 */
const struct sasl_mechanism *sasl_mechanism_choose(struct str offered, unsigned options, bool is_token);

struct sasl_login;
/* The credentials must live as long. -errno with words. */
int sasl_login_begin(const struct sasl_mechanism *m, const struct sasl_credentials *who,
		     struct sasl_login **ret, struct buf *why);
/*
 * The answer to a challenge (NULL: the first word), added to *ret, which is a buffer for a secret.
 * -EPROTO with words: the server does not follow the mechanism, or could not prove that it knows
 * the password; nothing more can be said.
 */
int sasl_login_answer(struct sasl_login *l, const struct str *challenge, struct buf *ret,
		      struct buf *why) MAY_YIELD;
/*
 * Has the mechanism come to its end? Before that a server's consent is worth nothing where the
 * server has to prove itself.
 */
bool sasl_login_may_end(const struct sasl_login *l);
void sasl_login_end(struct sasl_login *l);	/* NULL is fine */

#endif
