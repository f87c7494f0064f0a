/* SPDX-License-Identifier: ISC */
/*
 * Handing a message to cleanup: used by smtpd, pickup, bounce and local. Small messages (up to
 * SMALL_MESSAGE bytes) go as one frame over the shared connection; what is larger streams over a
 * connection of its own.
 */
#ifndef ROAD_PEERS_CLEANUP_H
#define ROAD_PEERS_CLEANUP_H

#include "lib/ipc/channel.h"
#include "lib/queue/envelope.h"

enum { SMALL_MESSAGE = 64 << 10 };

enum cleanup_flags {
	CLEANUP_EXTRACT = 1,		/* sendmail -t: recipients from To, Cc, Bcc; Bcc removed */
	CLEANUP_HOLD = 2,		/* a HOLD action upstream: goes to hold/ */
	CLEANUP_DISCARD = 4,		/* a DISCARD action upstream: swallowed with success */
	CLEANUP_ADD_RECEIVED = 8,	/* prepend a Received header (smtpd and pickup) */
	CLEANUP_NO_BCC = 16,		/* notices, and what local forwards: no always_bcc and the like */
	/* remote client: no missing headers, unless always_add_missing_headers */
	CLEANUP_EXTERNAL = 32,
	/* the content begins with headers of the server's own, up to an empty line: they go above Received */
	CLEANUP_PREPENDED = 64,
	/* receive_override_options: addresses stay what they are, and nobody gets copies */
	CLEANUP_NO_MAPPINGS = 128,
	CLEANUP_NO_CHECKS = 256,	/* the same: no header_checks, body_checks */
	CLEANUP_SHOW_LOGIN = 512,	/* Received tells the login name */
	/* a REDIRECT action upstream: the recipients are in the place of all, and of any filter */
	CLEANUP_REDIRECTED = 1024,
	CLEANUP_ANY_SIZE = 2048,	/* what local forwards: it was small enough as it came, and has grown by our headers */
};

struct mail_out;			/* one message on its way to cleanup */

/*
 * The service of master.cf (cleanup_service_name); once per process (daemon start). A name with a
 * slash is the path of its socket.
 */
void mail_out_use(const char *name);
/*
 * e is packed when the first bytes are sent, that is in mail_out_write() or mail_out_end(): it must
 * be complete before the content, and live until the end. e->queue_id empty: cleanup makes one.
 * origin is not copied.
 */
struct mail_out *mail_out_begin(struct arena *a, const char *origin, unsigned flags,
				const struct envelope *e);
/* Content with LF line ends. Errors are sticky and shown by mail_out_end. Waits when cleanup is slower. */
void mail_out_write(struct mail_out *m, struct str bytes, when_t until) MAY_YIELD;
/*
 * The envelope has other recipients, another filter_transport, or CLEANUP_HOLD or CLEANUP_REDIRECTED
 * now: allowed until mail_out_end(). NULL is fine.
 */
void mail_out_changed(struct mail_out *m, unsigned more_flags);
/*
 * Ends and waits for the verdict: SMTP reply code (250 only when the message is on stable storage),
 * DSN and text. A cleanup that cannot be reached or dies is 451 4.3.0 (the message may be queued
 * nevertheless: whoever repeats it may cause a duplicate). Frees m. *ret texts are in the arena.
 * text is as it goes to the client behind code and DSN: "Ok: queued as ID", "Error: ...".
 */
struct mail_verdict { int code; struct str dsn, text; uint64_t size; };
void mail_out_end(struct mail_out *m, struct mail_verdict *ret, when_t until) MAY_YIELD;
void mail_out_abort(struct mail_out *m);	/* no message comes of it; NULL is fine */

#endif
