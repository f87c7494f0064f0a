/* SPDX-License-Identifier: ISC */
/*
 * A message's envelope: who sent it, who gets it, and what has to travel with it. One packed form
 * serves the queue file, the frames between daemons and postcat: lines of text, because no
 * attribute may hold a control character (checked when packed and when unpacked).
 *
 *   sender<TAB>ADDRESS
 *   name<TAB>VALUE                      attributes, see below
 *   to<TAB>INDEX<TAB>ADDRESS<TAB>ORIGINAL<TAB>NOTIFY<TAB>ORCPT
 */
#ifndef ROAD_QUEUE_ENVELOPE_H
#define ROAD_QUEUE_ENVELOPE_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

/* 0: not said */
enum dsn_notify { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };
enum dsn_return { RETURN_NOT_SAID, RETURN_FULL, RETURN_HEADERS };

enum envelope_flags {
	ENVELOPE_8BITMIME = 1,		/* BODY=8BITMIME was said, or 8-bit content found */
	ENVELOPE_SMTPUTF8 = 2,		/* SMTPUTF8 was asked for */
	/* handed in on this machine, or by a local_header_rewrite_clients client */
	ENVELOPE_LOCAL = 4,
	/* a notification made by bounce: never causes another for the sender */
	ENVELOPE_NOTICE = 8,
	/* in maildrop/ only: more recipients are in the headers (sendmail -t) */
	ENVELOPE_EXTRACT = 16,
	/* sendmail -bv: nothing is delivered, the sender hears what would happen */
	ENVELOPE_VERIFY = 32,
	ENVELOPE_REQUIRETLS = 64,	/* REQUIRETLS was asked for (RFC 8689 2) */
	/* "TLS-Required: No" is in the headers (RFC 8689 3), and REQUIRETLS was not asked for */
	ENVELOPE_TLS_OPTIONAL = 128,
};

struct recipient {
	uint32_t index;			/* within the message, from 0, for ever */
	struct str address;		/* where it goes now */
	struct str original;		/* as the client said it, empty when the same as address */
	unsigned notify;		/* enum dsn_notify */
	struct str orcpt;		/* "rfc822;addr", decoded xtext, empty when not said */
};

struct envelope {
	struct str queue_id;		/* not packed: the file's name or the frame's field */
	struct str sender;		/* empty: the null sender */
	int64_t arrival_us;		/* wall_us() at the start of the transaction */
	unsigned flags;			/* enum envelope_flags */
	enum dsn_return ret;
	unsigned notify;		/* with ENVELOPE_EXTRACT: what the recipients in the headers get */
	struct str envid;		/* decoded xtext */
	struct str full_name;		/* sendmail -F: for a From header that cleanup has to make */
	/* for the log, Received, milters, agents */
	struct str client_name, client_address, client_port, client_helo, client_protocol;
	struct str reverse_name;
	/* for Received: connection;key exchange;client certificate. Empty: nothing is to be said */
	struct str client_tls;
	struct str sasl_method, sasl_username, sasl_sender;
	struct str message_id;		/* set by cleanup, for bounce's References */
	struct str filter_transport;	/* FILTER action: "transport:nexthop", empty: none */
	/* two delimiters: each recipient is sent to from a sender of his own; empty: not */
	struct str verp;
	uint64_t uid;			/* of the local submitter; ENVELOPE_LOCAL from pickup only */
	size_t recipient_count;
	struct recipient *recipients;
};

/* -EINVAL control character; -EMSGSIZE: b's limit; b is then as before */
int envelope_pack(const struct envelope *e, struct buf *b);
/*
 * Views into packed, which must live as long; the recipient array is in the arena. -EBADMSG; -EMSGSIZE: the
 * arena is too small. Unknown attribute names are skipped.
 */
int envelope_unpack(struct str packed, struct arena *a, struct envelope *ret);
/* of that recipient in the array; -ENOENT */
int envelope_position(const struct envelope *e, uint32_t index);

#endif
