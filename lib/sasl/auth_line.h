/* SPDX-License-Identifier: ISC */
/*
 * The lines of Dovecot's authentication protocol (version 1), as a client reads and writes them:
 * words separated by TAB, with TAB, LF, CR and NUL escaped inside. Pure parsing: what comes from
 * the server is checked and bounded here, once.
 */
#ifndef ROAD_SASL_AUTH_LINE_H
#define ROAD_SASL_AUTH_LINE_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/sasl/options.h"

enum {
	/* without its line end, as Dovecot reads it; it closes the connection of who sends more */
	AUTH_LONGEST_LINE = 16384,
	AUTH_LONGEST_NAME = 20,		/* of a mechanism (RFC 4422 3.1) */
	AUTH_LONGEST_USER = 1000,
	AUTH_LONGEST_REASON = 400,
};

enum auth_word { AUTH_VERSION, AUTH_MECH, AUTH_DONE, AUTH_OK, AUTH_CONT, AUTH_FAIL, AUTH_OTHER /* to be skipped */ };

struct auth_line {
	enum auth_word word;
	uint32_t id;			/* OK, CONT, FAIL: of the request, never 0 */
	uint64_t version;		/* VERSION: the major one */
	struct str name;		/* MECH: upper case as it came, characters checked */
	unsigned options;		/* MECH: enum sasl_option, what the server says that it is good for */
	bool is_private;		/* MECH: not to be announced */
	struct str challenge;		/* CONT: base64, possibly empty */
	/* OK (never empty), FAIL (cut if need be): printable; empty: not said */
	struct str user;
	struct str reason;		/* FAIL: printable; empty: not said */
	bool is_temporary;		/* FAIL: not the client's fault */
};

/*
 * A line without its line end. What it says lives in the line and in the arena. -EBADMSG: not in
 * the protocol.
 */
int auth_line_parse(struct arena *a, struct str line, struct auth_line *ret);

/* Adds a value with what has a meaning in the protocol escaped. */
int auth_add_value(struct buf *b, struct str value);

/* base64 (RFC 4648 4), padded; "" is fine. Only its form: what it stands for is the server's affair. */
bool is_base64(struct str text);

/* "PLAIN", "SCRAM-SHA-256", in any case. */
bool is_mechanism_name(struct str text);

#endif
