/* SPDX-License-Identifier: ISC */
/*
 * Logging in to the next hop (RFC 4954), when smtp_sasl_auth_enable says so and there is a password
 * for it: whose it is (login.c), with which mechanism (mechanisms.c), the dialogue (auth.c), and
 * what was refused before (refusals.c). Passwords are in memory of their own, which is overwritten,
 * and in no log line.
 */
#ifndef ROAD_SMTP_AUTH_H
#define ROAD_SMTP_AUTH_H

#include "lib/base/arena.h"
#include "lib/conf/params/common.h"
#include "lib/smtp/reply.h"

struct job;
struct session;
struct destination;
struct destinations;
struct candidate;
struct trouble;

/* ---- as whom (login.c) ---- */

struct login {
	struct arena *arena;		/* holds the login itself */
	const char *user, *password;
	bool is_token;			/* the password is to be a token, which login_complete() asks for */
};

/* 1: it is switched on; 0: not; -errno with words. */
int auth_open(const struct common_conf *common, struct buf *why);
void auth_close(void);
bool auth_is_on(void);
const char *auth_token_socket(void);	/* of smtp_sasl_token_service; NULL: none */
/*
 * Before anything is tried: the sender's own login, if there is such a thing, and keys of
 * destinations that sessions of somebody else do not have. False: it cannot be told now, and all
 * pending recipients have their trouble.
 */
bool auth_prepare(struct job *job, struct destinations *to) MAY_YIELD;
/* May a session that was opened for another destination, and without a login, serve this one? */
bool auth_takes_strangers(struct job *job, const struct destination *to,
			  const struct candidate *at) MAY_YIELD;
/*
 * 1: *ret, which the caller frees unless it is the job's; 0: there is none for this server; -errno,
 * and the log says why.
 */
int login_find(struct job *job, struct str host, const struct destination *to, struct login **ret) MAY_YIELD;
/* The token, if it takes one and has none yet. -errno, and the log says why. */
int login_complete(struct job *job, struct login *l) MAY_YIELD;
void login_refused(struct login *l) MAY_YIELD;	/* forgets a token */
void login_free(struct login *l);	/* NULL is fine */

/* ---- with which mechanism (mechanisms.c) ---- */

int mechanisms_open(const char *module_directory, struct buf *why);
void mechanisms_close(void);
/* After each EHLO: the mechanisms that it names and that we may use. */
void auth_note_offers(struct session *s) MAY_YIELD;
/* NULL: none is good enough, and the log says for what. */
struct sasl_mechanism;
const struct sasl_mechanism *auth_choose(const struct job *job, const struct session *s,
					 const struct login *l);

/* ---- the dialogue (auth.c) ---- */

/* After the last EHLO. True: logged in, or there was no need to. */
bool auth_start(struct job *job, struct session *s, const struct destination *to,
		struct trouble *ret_why) MAY_YIELD;

/* ---- what was refused (refusals.c) ---- */

struct refusal {
	int code;
	char dsn[12];
	struct str text;		/* the whole reply */
};

int refusals_open(struct buf *why);
void refusals_close(void);
bool refusals_are_kept(void);
/* False: nothing is known. */
bool refusal_find(struct job *job, struct str host, const struct login *l, struct refusal *ret) MAY_YIELD;
void refusal_keep(struct job *job, struct str host, const struct login *l,
		  const struct refusal *what) MAY_YIELD;

#endif
