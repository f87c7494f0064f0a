/* SPDX-License-Identifier: ISC */
/*
 * Inside smtp/ only: one delivery job, what goes wrong with it, and the sessions it uses.
 *
 * A job goes through destinations (the next hop, then fallback relays), each with candidates
 * (addresses in the order of trying). Whatever goes wrong becomes a trouble. A hard one of a
 * recipient or of the message is reported at once; a soft one, and with soft_bounce any, is kept per
 * recipient while there is something else to try, and reported by job_finish().
 */
#ifndef ROAD_SMTP_SMTP_H
#define ROAD_SMTP_SMTP_H

#include "lib/agent/agent.h"
#include "lib/conf/params/smtp.h"
#include "lib/conf/params/tls.h"
#include "lib/smtp/reply.h"
#include "smtp/auth.h"
#include "smtp/policy.h"

/* Set once by start(), constant afterwards. */
struct client {
	struct smtp_conf conf;
	struct tls_conf tls;
	const struct common_conf *common;
	bool lmtp;
	uint16_t default_port;
	struct str hostname;		/* myhostname: to notice that we talk to ourselves */
	struct str relayhost;		/* as main.cf has it; may be empty */
	struct arena *memory;		/* of its text, as long as the process */
	bool ipv4_first, ipv6_first;	/* smtp_address_preference; neither: as it comes */
	struct address_ip bind4, bind6;	/* family 0: the system chooses */
	const struct own_addresses *own, *proxied;
};
extern struct client the_client;
/* "smtp_x", or "lmtp_x" when that is what we are called: for words about a parameter. May be kept. */
const char *own_name(const char *smtp_parameter);

/* ---- troubles (trouble.c) ---- */

struct trouble {
	enum { NO_TROUBLE, SOFT, HARD } kind;
	/* of the next hop rather than of this message: qmgr shall let it rest */
	bool site;
	bool logged;			/* has a log line of its own already */
	const char *dsn;
	struct str text, relay, remote_mta, diagnostic;
};

struct job {
	struct delivery *d;
	struct arena *arena;
	/* per recipient: the last one that was not for good; or a hard one of finding the way */
	struct trouble *of;
	struct tls_policy site_policy;	/* of the destination that is tried */
	struct tls_policy policy;	/* and of its host */
	struct address_ip local;	/* our end of the last connection, for reports; family 0: not known */
	bool in_the_clear;		/* TLS failed, and this attempt goes without (level may) */
	/* the handshake failed, or the connection was lost or made no sense after it */
	bool tls_broke;
	struct outside *outside;	/* NULL: no smtp_generic_maps, all is sent as it is */
	struct login *login;		/* the sender's own; NULL: by server and destination, if any */
};

struct session;

__attribute__((format(printf, 6, 7)))
struct trouble trouble_make(struct job *job, int kind, bool site, const char *dsn, const struct session *at,
			    const char *format, ...);
/* The connection: lost, timed out, or what came is no reply. `doing`: "sending MAIL FROM". */
struct trouble trouble_of_io(struct job *job, const struct session *at, int error, const char *doing);
/* The server's reply decides: 5xx is HARD, with its enhanced status code; what is no refusal changes no code. */
void trouble_quote(struct trouble *t, struct job *job, const struct session *at);
/* "host x said: ... (in reply to RCPT TO command)" */
struct trouble trouble_of_reply(struct job *job, const struct session *at, const char *in_reply_to);
/* "host x refused to talk to me: ..." */
struct trouble trouble_of_refusal(struct job *job, const struct session *at);

bool job_is_done(const struct job *job);	/* every recipient has its outcome */
/* to remember what one more server says to each of as many recipients as there can be; else the rest waits */
bool job_has_room(const struct job *job);
void trouble_one(struct job *job, struct recipient *r, const struct trouble *t);
/* Hard, but of this host only: it counts in the end, if no other host did better and none had a soft one. */
void trouble_keep(struct job *job, const struct trouble *t);
void trouble_all(struct job *job, const struct trouble *t);	/* every pending one */
/* what did not work out so far, before the next thing is tried */
void trouble_log(struct job *job);
void job_finish(struct job *job);		/* nothing is left to try */

/* ---- what it is called outside (generic.c) ---- */

struct outside {
	struct str sender;
	struct str *recipients;		/* as d->env.recipients */
	struct buf headers;		/* of the message, LF line ends */
};
/* 1: there are smtp_generic_maps, which may ask proxymap; 0 none; -errno with words. */
int generic_open(struct conf *c, const struct common_conf *common, struct buf *why);
void generic_close(void);
/* Before anything is sent. False: it cannot be told now, and all pending recipients have their trouble. */
bool generic_apply(struct job *job) MAY_YIELD;
void generic_end(struct job *job);
struct str outside_sender(const struct job *job);
struct str outside_address(const struct job *job, const struct recipient *r);

/* ---- the way (destination.c, candidates.c) ---- */

struct destination {
	/* as it was given, without "inet:": "[host]:25", for people and as a key */
	struct str text;
	struct str key;			/* canonical: sessions are kept under it */
	/* domain, host, or address literal without brackets; lower case, A-labels */
	struct str host;
	struct str path;		/* not empty: a Unix socket */
	uint16_t port;
	bool use_mx;
	/* at the default port and at 25 only: elsewhere a server of our own may well listen */
	bool detect_loops;
	const char *named_by;		/* of main.cf: "relayhost", "smtp_fallback_relay"; NULL: neither */
};
struct destinations { struct destination *at; size_t len, cap; };

/* One next hop, or a list of them. -EINVAL. */
int destinations_parse(struct str text, struct arena *a, struct destinations *ret);

struct candidate {
	struct str host;
	struct address_ip ip;		/* with port */
	unsigned preference;
	unsigned draw;			/* among those that are alike */
	/* of the best preference: its session may be kept for the destination */
	bool is_best;
	bool is_backup;			/* DNS names better ones, which may be down or not be found now */
	/* For DANE: where it comes from, and whether DNSSEC vouches for that. */
	bool is_signed;			/* the address, with all aliases on the way to it */
	struct str canonical;		/* the host's name at the end of its aliases */
	bool by_mx, mx_is_signed;
	struct str mx_canonical;	/* the domain's name at the end of its aliases */
};
struct candidates {
	struct candidate *at;
	size_t len, cap;
	/* the best preference of all exchangers, also of those without a known address */
	unsigned best_named;
	/* we are one of the exchangers: a fallback relay might bring the mail back to us */
	bool has_us;
};

/* In the order of trying, at most smtp_mx_address_limit. False: there is none, and *ret_why says so. */
bool candidates_find(struct job *job, const struct destination *to, struct candidates *ret,
		     struct trouble *ret_why) MAY_YIELD;

/* ---- sessions (session.c, cache.c) ---- */

struct session {
	struct arena *arena;		/* holds the session itself */
	struct stream *stream;
	struct str host, name;		/* "mx.example"; "mx.example[192.0.2.1]" */
	struct str relay;		/* "mx.example[192.0.2.1]:25" */
	/* of the destination it was made for; empty: one of the destination's second choice */
	struct str key;
	struct str policy, host_policy;	/* ids: of that destination, and of the host itself */
	struct address_ip ip;
	struct ehlo offers;
	struct str mechanisms;		/* of the server's AUTH, as far as we may use them */
	bool is_authenticated;
	struct reply reply;		/* the last one */
	const char *tls;		/* for the log: "none", "may", "may:none", "encrypt" */
	bool is_encrypted;
	int tls_loglevel;
	const char *tls_proof;		/* for the log: "Trusted", with what TLS it is */
	struct str tls_summary;
	bool is_backup;			/* DNS names better exchangers of the destination */
	bool is_for_once;		/* must not serve another message */
	unsigned uses;			/* deliveries so far, the present one included */
	when_t opened;
	/* a transaction was begun and neither finished nor refused as a whole */
	bool needs_reset;
	bool is_dead;			/* must not be used again */
	when_t idle_until;		/* while kept */
	struct list link;
};

/* Connects and says hello. NULL: *ret_why. */
struct session *session_open(struct job *job, const struct destination *to, const struct candidate *at,
			     struct trouble *ret_why) MAY_YIELD;
/* Reads one whole reply into s->reply. 0, -EBADMSG, or the stream's error. */
int session_reply(struct session *s, int64_t timeout_ms) MAY_YIELD;
/* QUIT where that makes sense, and the end. Does not keep its caller waiting. */
void session_end(struct session *s) MAY_YIELD;
void session_free(struct session *s);		/* just closes */

/* tls.c */
void tls_open(void);			/* at start */
bool tls_has_tables(void);		/* they may be behind proxymap */
/*
 * TLS at the level may has failed in any way: may this mail, which has waited for it long enough,
 * go in the clear?
 */
bool tls_may_give_up(const struct job *job);
/* Moves the records that can be used to the front. How many. */
size_t tls_usable(struct tls_tlsa *records, size_t n);
/* After the hello, or (wrapped) before the greeting: TLS as the job's policy wants it. False: *ret_why. */
bool tls_start(struct job *job, struct session *s, bool wrapped, struct trouble *ret_why) MAY_YIELD;
void tls_log_reuse(const struct session *s);	/* a kept session serves once more */

/*
 * A kept session for this destination, or for this very address, made under the same policy (an
 * id); NULL: none.
 */
struct session *cache_take(struct str key, struct str policy);
struct session *cache_take_address(const struct address_ip *ip, struct str host_policy);
void cache_keep_or_end(struct session *s) MAY_YIELD;
void cache_end_all(void);		/* before the process exits */

/* ---- the dialogue (transaction.c, content.c) ---- */

/*
 * Delivers to the pending recipients. Afterwards those that are still pending have their trouble,
 * unless *ret_stale: a kept session turned out to be of no use before the server agreed to anything, so
 * nothing has been learnt.
 */
void transact(struct job *job, struct session *s, bool *ret_stale) MAY_YIELD;
/*
 * All of the content with its final dot, written out. 0, -EIO and the like of the queue file, or
 * -EPIPE: see the stream.
 */
int content_send(struct job *job, struct session *s, bool *ret_local) MAY_YIELD;
/* A header that only a server with SMTPUTF8 may get? */
bool content_needs_utf8(const struct job *job);

void smtp_deliver(struct delivery *d) MAY_YIELD;

/* Who looks on while sessions begin (finger.c); NULL in deliveries. */
struct onlooker {
	void (*connected)(struct session *s);
	void (*greeted)(const struct session *s);	/* an answer to EHLO is in s->reply and s->offers */
	void (*shaken)(const struct session *s, const struct tls *t, const struct tls_peer *p, bool verified);
};
extern const struct onlooker *the_onlooker;

#endif
