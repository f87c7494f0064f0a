/* SPDX-License-Identifier: ISC */
/*
 * One client's dialogue: a coroutine that reads a command, runs its verb, and gathers replies until
 * it has to wait.
 *
 * Memory: the session holds itself, the client's names and the HELO name; `step` lives for one
 * command, `tx` from MAIL to the end of the message. So an idle session outside a transaction costs
 * its stack and about two kilobytes.
 */
#ifndef ROAD_SMTPD_SESSION_H
#define ROAD_SMTPD_SESSION_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/io/net.h"
#include "lib/io/stream.h"
#include "lib/smtp/command.h"
#include "smtpd/verdict.h"

struct session;
struct transaction;
struct effects;
struct session_socket;
struct tls_peer;

enum next {
	DONE,				/* well: counts as a success of the verb */
	FAILED,				/* counts as an error of the client */
	NEITHER,			/* the session began anew (XCLIENT) */
	LEAVE,				/* the session ends, with success of the verb */
};

enum verb_id {				/* in the order in which "disconnect from" lists them */
	VERB_HELO, VERB_EHLO, VERB_XCLIENT, VERB_STARTTLS, VERB_AUTH, VERB_MAIL, VERB_RCPT, VERB_DATA,
		VERB_BDAT, VERB_RSET, VERB_NOOP,
	VERB_VRFY, VERB_ETRN, VERB_QUIT, VERB_HELP, VERB_UNKNOWN, VERB_COUNT
};
enum verb_flags {
	VERB_JUNK = 1,			/* counts against smtpd_junk_command_limit */
	VERB_LAST = 2,			/* nothing may be pipelined behind it (RFC 2920 3.1) */
};
struct verb {
	const char *name;
	unsigned flags;
	enum next (*run)(struct session *s, const struct command *c) MAY_YIELD;
};
extern const struct verb verbs[VERB_COUNT];

enum peer_status {
	PEER_OK,			/* the name leads to the address */
	PEER_NO_NAME,			/* no name, or it does not lead back: "unknown" */
	PEER_CANNOT_TELL,		/* DNS trouble: "unknown" for now */
};
struct peer {
	struct address_ip ip;		/* family 0: not known (XCLIENT) */
	char address[64];		/* as text, or "unknown" */
	char port[8];
	struct buf name;		/* verified, or "unknown" */
	struct buf reverse_name;	/* what the PTR record says, or "unknown" */
	struct buf shown;		/* "name[address]", for log and replies */
	enum peer_status status, reverse_status;
};

enum { LONGEST_REPLY = 4000 };

struct session {
	struct list link;		/* in the list of all sessions */
	struct stream *stream;
	struct arena *arena, *step;
	struct transaction *tx;		/* NULL outside a mail transaction */
	struct peer peer;
	struct address_ip local;	/* our end of the connection */
	/* whose session it was when they were counted (client_count.h); empty: nobody counts */
	struct str counted;
	struct buf reply;		/* the line under way: reply.c */
	struct buf helo;		/* what HELO or EHLO said, made harmless; empty: not yet */
	struct buf sasl_method, sasl_username;	/* printable; empty: not authenticated */
	/* the step under way has a password in it: its memory is overwritten */
	bool has_secret;
	bool sasl_is_down;		/* at EHLO or AUTH nobody could tell who may log in how */
	bool esmtp;			/* EHLO was said: proto=ESMTP */
	bool is_local;			/* a local_header_rewrite_clients client */
	bool is_local_unknown;		/* nobody could tell: its mail waits, lest its headers stay as they are */
	bool may_xclient, may_verp;
	const struct tls_peer *tls;	/* NULL: in the clear */
	int tls_loglevel;		/* of a handshake under way */
	/* the name that the client asked for, when there is a certificate for it */
	struct str sni;
	unsigned discard_ehlo;		/* enum ehlo_keyword */
	/* the command under way, or "CONNECT", "END-OF-MESSAGE": for the log */
	const char *where;
	const char *end_reason;		/* why the session ended, when not by QUIT; for the log */
	/* act == REJECT: refused at connect (smtpd_delay_reject = no); texts in the arena of `early` */
	struct verdict denied;
	/* of lists evaluated before MAIL (smtpd_delay_reject = no), those about the HELO name by themselves; NULL: none */
	struct effects *early, *helo_effects;
	struct verdict client_pending, helo_pending;	/* a defer_if_permit of those lists */
	/*
	 * during VRFY and ETRN: what lists wish for a message is for none. NULL: for the next one,
	 * or the one under way
	 */
	struct effects *idle;
	int errors, junk;
	bool told_of_pipelining, got_bare_lf;
	bool hang_up;			/* a 421 or 521 reply went out */
	unsigned good[VERB_COUNT], total[VERB_COUNT];
};

void serve_client(struct session_socket *socket) MAY_YIELD;
/*
 * The system stops: sessions outside a transaction are told so now, the others as soon as theirs is
 * through.
 */
void sessions_stop(void);

/* Is it one of local_header_rewrite_clients? */
void ask_whether_local(struct session *s) MAY_YIELD;
/* At MAIL. REJECT: nobody can tell now, and it was asked again. */
struct verdict local_verdict(struct session *s) MAY_YIELD;
/* After a change of name or address: what this client may, and what it is told of. */
void identity_changed(struct session *s) MAY_YIELD;
/*
 * Greets, also again after XCLIENT: client restrictions with smtpd_delay_reject = no, then 220 or
 * the refusal.
 */
void greet(struct session *s) MAY_YIELD;
/*
 * A bare line feed came (smtpd_forbid_bare_newline): the code to refuse it with, 4xx while nobody
 * can tell who is excluded; 0: it may pass.
 */
int bare_newline_code(struct session *s) MAY_YIELD;
/* "QID", or "NOQUEUE" outside a transaction with an accepted recipient. */
struct str session_queue_id(const struct session *s);
struct str session_protocol(const struct session *s);

/*
 * Replies gather in the stream, which writes them when the session has to wait. DONE for 2xx and
 * 3xx, else FAILED. dsn may be NULL (greeting, HELO). After too many errors each reply is held back
 * by smtpd_error_sleep_time. 421 and 521 end the session.
 */
enum next reply(struct session *s, int code, const char *dsn, const char *format,
		...) MAY_YIELD __attribute__((format(printf, 4, 5)));
void reply_more(struct session *s, int code, struct str text);	/* a line that is not the last */
enum next reply_verdict(struct session *s, const struct verdict *v) MAY_YIELD;

/*
 * proxy_header.c: what the proxy in front says, if there is one. False: it does not make sense, and
 * the session ends.
 */
bool read_proxy_header(struct session *s) MAY_YIELD;
/* peer.c: who is it? Asks DNS for the name. */
void peer_identify(struct session *s) MAY_YIELD;
void peer_renamed(struct peer *p);	/* name or address changed: makes `shown` again */
void peer_free(struct peer *p);

/* sni.c: tls_config's chains_for; the argument is the session. */
int chains_for_name(void *session, struct str name, struct buf *ret_pem, struct buf *why) MAY_YIELD;

/* tls.c */
bool offers_tls(const struct session *s);
/* wrapper mode: the handshake. False: the session ends */
bool tls_before_greeting(struct session *s) MAY_YIELD;
/* is the command refused because of what TLS is, or is not? */
struct verdict tls_verdict(const struct session *s, enum verb_id id);
bool tls_allows_auth(const struct session *s);	/* may AUTH be offered and used now (smtpd_tls_auth_only)? */

/* verb_hello.c */
enum ehlo_keyword { EHLO_PIPELINING = 1, EHLO_SIZE = 2, EHLO_VRFY = 4, EHLO_ETRN = 8, EHLO_XCLIENT = 16,
		    EHLO_ENHANCEDSTATUSCODES = 32,
		    EHLO_8BITMIME = 64, EHLO_DSN = 128, EHLO_SMTPUTF8 = 256, EHLO_CHUNKING = 512,
		    EHLO_STARTTLS = 1024, EHLO_AUTH = 2048,
		    EHLO_REQUIRETLS = 4096, EHLO_SILENT = 1 << 30 };
/*
 * "silent-discard, chunking": bits of enum ehlo_keyword; words that nobody knows are said through
 * why, -EINVAL.
 */
int ehlo_keywords_parse(struct str text, unsigned *ret, struct buf *why);
/* What this client is not told of: smtpd_discard_ehlo_keywords, or what the address maps say. */
void ehlo_choose_discards(struct session *s) MAY_YIELD;
/* REQUIRETLS is for encrypted sessions only (RFC 8689 2). */
bool offers_requiretls(const struct session *s);
void set_helo(struct session *s, struct str name);

#endif
