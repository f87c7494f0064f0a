/* SPDX-License-Identifier: ISC */
/*
 * The parameters behind the path of MAIL and RCPT: SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC
 * 6531), REQUIRETLS (RFC 8689), RET, ENVID, NOTIFY, ORCPT (RFC 3461). Which of them the server
 * wants at this moment is its own affair: it is told what was said.
 */
#ifndef ROAD_SMTP_ESMTP_ARGS_H
#define ROAD_SMTP_ESMTP_ARGS_H

#include "lib/base/arena.h"
#include "lib/queue/envelope.h"

struct esmtp_arg {
	struct str name;		/* "SIZE", as written */
	bool has_value;
	struct str value;
	struct str whole;		/* "SIZE=1000" */
};
/*
 * The next of *rest: 1; 0 at the end; -EINVAL: not NAME or NAME=VALUE (then *ret is the offending
 * word in `whole`).
 */
int esmtp_arg_next(struct str *rest, struct esmtp_arg *ret);

enum esmtp_error {			/* each has its own reply */
	ESMTP_OK,
	ESMTP_UNSUPPORTED,		/* a parameter nobody offered, or malformed */
	ESMTP_BAD_SIZE,
	ESMTP_SIZE_OVERFLOW,		/* more than any file can hold */
	ESMTP_BAD_RET,
	ESMTP_BAD_ENVID,
	ESMTP_BAD_NOTIFY,
	ESMTP_BAD_ORCPT,
};

enum esmtp_body { BODY_NOT_SAID, BODY_7BIT, BODY_8BITMIME };

struct mail_args {
	uint64_t size;			/* 0: not said */
	enum esmtp_body body;
	bool smtputf8;
	bool requiretls;		/* RFC 8689 */
	bool uses_dsn;			/* RET or ENVID was there */
	enum dsn_return ret;
	struct str envid;		/* decoded */
	bool has_verp;			/* XVERP, or XVERP=delimiters */
	struct str verp;		/* empty: the default ones */
	bool has_auth;			/* AUTH=; its value is for SASL only */
	struct str auth;
};
struct rcpt_args {
	bool uses_dsn;
	unsigned notify;		/* enum dsn_notify */
	struct str orcpt;		/* "type;address", address decoded */
};
/*
 * *ret_bad is the offending parameter, for ESMTP_UNSUPPORTED. Decoded texts live in the arena and
 * hold no control characters.
 */
enum esmtp_error esmtp_mail_args(struct str rest, struct arena *a, struct mail_args *ret,
				 struct str *ret_bad);
enum esmtp_error esmtp_rcpt_args(struct str rest, struct arena *a, struct rcpt_args *ret,
				 struct str *ret_bad);

#endif
