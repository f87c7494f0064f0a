/* SPDX-License-Identifier: ISC */
/*
 * One message on its way through cleanup: what a request or a stream of frames feeds, until it is a
 * queue file or refused.
 *
 *   state         what may be trusted                         leaves by
 *   IN_HEADERS    held: the beginning of the content;         message_feed() when the end of the headers is seen, message_end()
 *                 nothing is written
 *   IN_BODY       headers: complete; writer set unless        message_end()
 *                 refused or discarded
 *
 * Once `refused` is set nothing more is stored, the rest of the content is only counted, and the
 * reply says why.
 */
#ifndef ROAD_CLEANUP_MESSAGE_H
#define ROAD_CLEANUP_MESSAGE_H

#include "lib/base/map.h"
#include "lib/conf/params/cleanup.h"
#include "lib/conf/params/common.h"
#include "lib/conf/params/queue.h"
#include "lib/ipc/channel.h"
#include "lib/mail/header.h"
#include "lib/mail/mime.h"
#include "lib/peers/cleanup.h"
#include "lib/queue/queue.h"
#include "lib/route/route.h"
#include "lib/table/table.h"

enum { MOST_HEADERS = 2 << 20 };	/* of all headers together, in memory */

/* What every message shares: opened at start, constant afterwards. */
struct cleanup_world {
	const struct common_conf *common;
	struct cleanup_conf conf;
	struct queue_conf queue_conf;
	struct route_conf route_conf;
	struct route *route;
	struct queue *queue;
	struct client *qmgr, *bounce;
	struct str *drop_headers;
	size_t drop_count;
	struct tables *sender_bcc, *recipient_bcc;	/* NULL: not configured */
	struct tables *header_checks, *mime_checks, *nested_checks, *body_checks;
	bool soft_bounce, smtputf8_enable, enable_original_recipient;
};
extern struct cleanup_world the_cleanup;

struct refusal {
	int code;			/* 0: none */
	struct str dsn, text;
};

enum header_kind {
	HEADER_OTHER, HEADER_RECEIVED, HEADER_MESSAGE_ID, HEADER_DATE, HEADER_FROM, HEADER_SENDER,
		HEADER_REPLY_TO, HEADER_TO,
	HEADER_CC, HEADER_BCC, HEADER_RESENT_MESSAGE_ID, HEADER_RESENT_DATE, HEADER_RESENT_FROM,
	HEADER_RESENT_SENDER,
	HEADER_RESENT_REPLY_TO, HEADER_RESENT_TO, HEADER_RESENT_CC, HEADER_RESENT_BCC, HEADER_RETURN_PATH,
	HEADER_ERRORS_TO, HEADER_TLS_REQUIRED,
	HEADER_REQUIRE_TLS_ESMTP,
	HEADER_OF_MIME,
};

struct check_line;			/* checks.c: a body line under way */

struct message {
	struct arena *arena;
	const char *origin;		/* "smtpd", "pickup", ... */
	unsigned flags;			/* enum cleanup_flags */
	struct envelope e;		/* recipients as they came, replaced when expanded */
	char id[32];
	enum { IN_HEADERS, IN_BODY } state;
	struct refusal refused;
	bool hold, discard;
	uint64_t size;			/* of the content so far */

	struct buf held;		/* IN_HEADERS: content not yet looked at */
	struct buf mended;		/* a piece of content whose stray CRs were replaced */
	unsigned held_crs;		/* that the piece before ended with */
	size_t scanned;			/* of held: whole lines known to belong to the headers */
	bool awaits_prepended;		/* CLEANUP_PREPENDED: the empty line behind them has not come yet */
	struct buf prepended;		/* by PREPEND actions of smtpd: goes above Received */
	struct buf headers;
	unsigned seen;			/* 1 << enum header_kind */
	int hops;
	bool is_resent;
	VEC(struct str) extracted, extracted_resent;	/* sendmail -t */
	bool goes_to_resent;		/* to those of the Resent- headers alone */

	struct queue_writer *writer;
	bool headers_only;		/* the content ended without an empty line */
	char last_byte;			/* of the body */
	bool has_8bit;

	struct str redirect;		/* REDIRECT action */
	VEC(struct str) added;		/* recipients by BCC actions */
	struct mime_walker *mime;	/* NULL: nobody asks */
	struct check_line *check_line;
	VEC(struct recipient) recipients;	/* the final ones */
	struct map *duplicates;
	VEC(struct str) unexpanded;	/* recipients before aliases, for recipient_bcc_maps */
	bool adds_copies;		/* who gets a copy has no copy sent about it */
	VEC(struct recipient) expanded;	/* aliases of several members whose sender wants to hear of success */

	struct buf packed;		/* of e, once it is final */
	struct queue_parts parts;	/* when committed */
	struct queue_place place;
	bool committed;
};

/* message.c. a: ends with the message. packed and content views must live as long as the message. */
struct message *message_begin(struct arena *a, struct str origin, unsigned flags, struct str queue_id,
			      struct str packed);
void message_feed(struct message *m, struct str bytes) MAY_YIELD;
void message_feed_all(struct message *m, struct str bytes) MAY_YIELD;	/* the whole content, once */
/* reply and announcement ready; see message_announce */
void message_end(struct message *m, struct cleanup_reply *ret) MAY_YIELD;
void message_announce(struct message *m) MAY_YIELD;
void message_free(struct message *m);		/* not ended: nothing is left of it */

/*
 * Room for one more step on memory that the message's content or aliases decide about, and for so
 * many bytes; else it is refused.
 */
bool has_memory(struct message *m, size_t bytes);
/* The same for one more element of a VEC, which may have to grow. */
#define HAS_ROOM(m, v) has_memory((m), (v)->len < (v)->cap ? 0 : 2 * (v)->cap * sizeof(*(v)->at))
/* The first refusal stays. */
void refuse(struct message *m, int code, const char *dsn, const char *text);
/* the same, and logged as a warning */
void refuse_loudly(struct message *m, int code, const char *dsn, const char *text);
/* -errno of the queue: temporary, and logged */
void refuse_error(struct message *m, int error, const char *doing);
void refuse_table(struct message *m, const char *parameter, const char *why);

/* headers.c: the block of headers without the empty line. */
void take_headers(struct message *m, struct str block) MAY_YIELD;
/* Where do the headers end? False: more is needed. is_all: there is no more. */
bool find_end_of_headers(struct str text, bool is_all, size_t *scanned, size_t *ret_len, size_t *ret_body_at);
enum header_kind header_kind_of(struct str name);
void add_header(struct message *m, struct str whole);		/* without its last LF */
/* "Name : value" is "Name: value": checks that look for the one must see the other (RFC 5322 4.5). */
struct str header_without_blanks(struct message *m, struct str whole);

/* trace.c: what cleanup adds. */
void add_received(struct message *m) MAY_YIELD;
void add_missing_headers(struct message *m);

/* addresses.c. They may refuse the message; what they return then does not matter. */
struct str envelope_address(struct message *m, unsigned use, struct str address) MAY_YIELD;	/* use: enum address_use. "" stays. */
/* those of strangers are left alone, unless configured */
bool rewrites_headers(const struct message *m);
struct str header_with_our_addresses(struct message *m, const struct header *h,
				     enum header_role role) MAY_YIELD;

/* recipients.c */
/* Recipients, filter and the wish for hold/ as they are now; before message_end(). -EINVAL: no envelope. */
int change_envelope(struct message *m, unsigned flags, struct str packed);
void make_recipients(struct message *m) MAY_YIELD;

/*
 * expanded.c. The file is opened before the announcement: qmgr may be through with it at any time
 * after. -1: nobody is to be told.
 */
void note_expanded(struct message *m, const struct recipient *r);
int open_for_notification(struct message *m);
void tell_expanded(struct message *m, int *fd) MAY_YIELD;	/* takes *fd */

/* body.c */
void begin_body(struct message *m);
void free_body(struct message *m);
void take_body(struct message *m, struct str bytes) MAY_YIELD;
void end_body(struct message *m) MAY_YIELD;

/* checks.c. False: the header or line is left out. *ret may be replaced text. */
enum check_class { CHECK_HEADER, CHECK_MIME_HEADER, CHECK_NESTED_HEADER, CHECK_BODY };
struct tables *checks_for(const struct message *m, enum check_class c);
bool checks_look_at_body(const struct message *m);	/* at its lines, or at the headers of its parts */
/* says what is no action in its tables */
void checks_rehearse(const char *parameter, const char *tables);
bool check_text(struct message *m, enum check_class c, struct str text, struct str *ret) MAY_YIELD;
/* Parts within parts, deeper than checks look: nobody could tell what is in there. */
void refuse_nesting(struct message *m, struct str line);

#endif
