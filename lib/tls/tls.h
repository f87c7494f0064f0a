/* SPDX-License-Identifier: ISC */
/*
 * TLS 1.2 and 1.3 (older versions where main.cf asks for them) between a stream and its socket. A
 * context holds what a service presents and trusts; a handshake puts TLS under a stream, which from
 * then on reads and writes as before and ends it with itself.
 *
 * A certificate is looked at, never decided upon here: the handshake succeeds with any, and
 * tls_peer tells what it was worth. Whoever makes no context pays nothing: the library is not even
 * initialised.
 */
#ifndef ROAD_TLS_TLS_H
#define ROAD_TLS_TLS_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/io/stream.h"

/* ---- settings (settings.c) ---- */

struct tls_protocols {
	int min, max;			/* as on the wire: 0x0303 is TLSv1.2; 0: no bound */
	unsigned excluded;		/* bits 1 << (version & 7) of 0x0300..0x0304 */
};
/* ">=TLSv1.2", "!SSLv3, !TLSv1", "TLSv1.2 TLSv1.3", ">=0303". -EINVAL with words. */
int tls_protocols_parse(struct str text, struct tls_protocols *ret, struct buf *why);

struct tls_grades { const char *high, *medium, *null; };	/* tls_high_cipherlist and so on */
/*
 * The list for a grade ("medium"), without what is excluded ("aNULL, DES+MD5"). -EINVAL with words:
 * no such grade.
 */
int tls_ciphers_make(const struct tls_grades *g, struct str grade, struct str exclude, struct buf *ret,
		     struct buf *why);

/* One TLSA record (RFC 6698). */
struct tls_tlsa { uint8_t usage, selector, matching; struct str data; };
struct tls_anchors { struct tls_tlsa *at; size_t len, cap; };

/* ---- what is logged (logging.c) ---- */

/*
 * What smtpd_tls_loglevel and its kin say: 0 to 4, Postfix's names for these ("routine",
 * "ssl-expert"), or several, of which the greatest counts. -EINVAL with words.
 */
int tls_loglevel_parse(struct str text, int *ret, struct buf *why);

struct tables;
struct tls_logging {
	int level;			/* of peers that the maps do not know */
	struct tables *maps;
};
/*
 * name: "smtpd_tls_loglevel", of which `level` is the value and `maps` that of
 * smtpd_tls_loglevel_maps. -EINVAL with words.
 */
int tls_logging_open(const char *name, const char *level, const char *maps, struct tls_logging *ret,
		     struct buf *why);
/*
 * The level for a peer: names and addresses of it, looked up in order with the domains above
 * (.example.com) and the networks (192.0.2). Where it cannot be told it is the level of all, with
 * words.
 */
int tls_loglevel_of(const struct tls_logging *l, struct arena *a, const struct str *peer, size_t n,
		    struct buf *why) MAY_YIELD;

/* ---- the library (library.c) ---- */

/*
 * Before anything else of TLS: tls_config_file ("default", "none", a path) and tls_config_name.
 * -EINVAL with words.
 */
int tls_library_open(const char *file, const char *name, struct buf *why);
struct tls_options { uint64_t on, off; };	/* OpenSSL's bits */
/* tls_ssl_options and tls_disable_workarounds: names, or hexadecimal numbers. -EINVAL with words. */
int tls_options_parse(struct str ssl_options, struct str disabled_workarounds, struct tls_options *ret,
		      struct buf *why);

/* ---- contexts (context.c) ---- */

struct tls_config {			/* texts live as long as the context */
	bool server;
	const char *name;		/* server: of the service */
	/* each: key, certificate, issuers, as often as wanted; not empty: the others do not count */
	const char *chain_files;
	/* NULL, "" or "none": none */
	const char *cert_file, *key_file, *eccert_file, *eckey_file, *dcert_file, *dkey_file;
	const char *ca_file, *ca_path;	/* both are read at the beginning */
	/*
	 * memory that outlasts this process, used only while the context is opened: see keepsake.c;
	 * 0: none
	 */
	int keepsake;
	/* server: parameters for DHE; NULL, "" or "auto": made to fit the key */
	const char *dh_file;
	bool default_ca;		/* and those that the system trusts */
	bool preempt;			/* the server's order of ciphers counts */
	bool ask_cert, need_cert;	/* server: of the client */
	/* server: has no certificate, and wants none of its own: TLS 1.2 and older */
	bool anonymous;
	bool trust_server_certs;	/* server: a client's certificate may be one for servers */
	/* passwords come: what was read is overwritten in the library's buffers */
	bool wipes_plaintext;
	/* server: give a session id (TLS 1.2) although nothing is kept under it */
	bool session_ids;
	struct tls_options options;
	/* of certificate chains: so many issuers between the first and the one that is trusted */
	int depth;
	struct tls_protocols protocols;
	const char *ciphers;		/* complete list, TLS 1.2 and older */
	/* in order; unknown ones are left out; curves "": as the library has both */
	const char *curves, *groups;
	const char *digest;		/* of fingerprints */
	/* client: those that TLSA records may use, the strongest first; NULL: there will be no records */
	const char *dane_digests;
	int64_t session_s;		/* how long sessions may be resumed; 0: never */
	/*
	 * Server: what to present to a client that asks for this name (the client's bytes, up to
	 * 255). 1: key, certificate and issuers as PEM text, as often as they come; the text is
	 * wiped afterwards. 0: the context's own. -errno with words: the handshake fails. NULL: the
	 * context's own for everybody.
	 */
	int (*chains_for)(void *arg, struct str name, struct buf *ret_pem, struct buf *why) MAY_YIELD;
	/* server: what tickets are sealed with; NULL: aes-256-cbc; "": there are none */
	const char *ticket_cipher;
};

struct tls_context;
/*
 * -EINVAL with words for a configuration that makes no sense, as a list without ciphers; -ENOENT and
 * such when no server certificate is named, or CAs cannot be read. 0 with words: it works, but not
 * with the DH parameters that were wanted. 1, with words: keys and certificates cannot be used as they are; the
 * context is there, not usable, and refresh tries again when the files change. 2, with words: the
 * same, but those that the process before this one used are in use. Files are read with the rights
 * of the moment, so a daemon opens its contexts in start(), where it may still read keys that only
 * root can.
 */
int tls_context_open(const struct tls_config *conf, struct tls_context **ret, struct buf *why);
bool tls_context_is_usable(const struct tls_context *c);	/* NULL is not */
const char *tls_context_ciphers(const struct tls_context *c);
void tls_context_free(struct tls_context *c);		/* NULL is fine; sessions live on */
/*
 * Call before a handshake: looks at most once a second whether a key or certificate file has
 * changed, and loads all of them again when that has been quiet for two. 0 nothing to do; 1 new
 * ones are in use; -errno with words, once for each change: the old ones stay in use. -EACCES: only
 * a process that starts anew may read them.
 */
int tls_context_refresh(struct tls_context *c, struct buf *why);
/*
 * Says what is odd about the certificates that a usable context presents (review.c): not valid yet,
 * expired or soon so, followed by one that did not issue it. In rehearsals; the context must serve
 * nobody at the time.
 */
void tls_context_review(const struct tls_context *c, void (*say)(void *arg, const char *text), void *arg);
/* The same for what chains_for would give it. -errno with words: it cannot be used. */
int tls_text_review(const struct tls_context *c, struct str pem, void (*say)(void *arg, const char *text),
		    void *arg, struct buf *why);
/* Of a digest (sha256, sha1, md5), in bytes; 0: there is none of this name. */
size_t tls_digest_size(const char *name);

/* ---- sessions (session.c) ---- */

/* How much of the bytes of sessions is shown at the log levels that show them. */
struct tls_trace_limits {
	int64_t size;			/* of one session; 0: all */
	/* of so many sessions that begin in a second, in this process; 0: of all */
	int64_t rate;
};

struct tls_wish {			/* of one handshake; zeros: as the context says */
	const struct tls_protocols *protocols;
	const char *ciphers;
	/*
	 * client: nothing has to be proved, so that old versions, weak keys and anonymous ciphers
	 * are better than nothing
	 */
	bool lenient;
	const char *sni;		/* client: the name to ask for; NULL: none */
	void *chains_arg;		/* server: for tls_config's chains_for */
	/*
	 * client: the certificate has to fit one of these; CAs do not count then. Such sessions are
	 * not resumed
	 */
	const struct tls_tlsa *anchors;
	size_t anchor_count;
	/*
	 * 2: the states of the handshake are traced, and the certificates that it looks at; 3: and
	 * its bytes on the wire; 4: and all others
	 */
	int loglevel;
	struct tls_trace_limits trace_limits;
	/* must not wait; the argument lives as long as the stream */
	void (*trace)(void *arg, const char *line);
	void *trace_arg;
	/* client: sessions are kept under this name; empty: not kept. Holds host, port and policy */
	struct str resume_as;
};

enum tls_trust {
	TLS_ANONYMOUS,			/* no certificate */
	TLS_UNTRUSTED,			/* it does not lead to somebody we trust */
	TLS_TRUSTED,			/* it does; or it fits one of the anchors that were asked for */
};
/*
 * The connection as it is now, in the arena. `summary`: "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384
 * (256/256 bits) key-exchange X25519 ...".
 */
struct tls_peer {
	const char *protocol, *cipher;
	int bits, algorithm_bits;
	struct str summary;		/* for the log */
	/* for a Received header, three parts: connection;key exchange (may be empty);client certificate */
	struct str received;
	enum tls_trust trust;
	struct str why;			/* TLS_UNTRUSTED: "certificate has expired" */
	/*
	 * for "server certificate verification failed for NAME: WHY", what stands before that:
	 * "server ", "client ", or nothing
	 */
	const char *whose;
	/* it was an anchor itself: what names it has does not matter (RFC 7672 3.1.1) */
	bool needs_no_name;
	bool has_expired;		/* TLS_UNTRUSTED: for that reason */
	struct str subject, issuer;	/* common names, printable */
	struct str fingerprint, key_fingerprint;	/* "AB:CD:..."; empty: no certificate */
	bool resumed;
	bool uses_1_3;
};

struct tls;
/*
 * Puts TLS under the stream, which must hold nothing to be sent. What it has read ahead: `keep`
 * false: it is forgotten (STARTTLS: it was sent in the clear); true: it is the beginning of the
 * handshake (after a proxy's header). -errno with words; -ETIMEDOUT, -ECANCELED, -EPIPE without
 * library's words. After a failure the stream has failed too. The struct tls lives as long as the
 * stream.
 */
int tls_begin(struct tls_context *c, struct stream *s, const struct tls_wish *w, bool keep, when_t until,
	      struct tls **ret, struct buf *why) MAY_YIELD;
void tls_peer(const struct tls *t, struct arena *a, struct tls_peer *ret);

/* For people: each certificate that the server has sent, with its names and fingerprints, as PEM. */
void tls_chain(const struct tls *t, struct buf *ret);

/* ---- whose certificate (peer.c) ---- */

enum tls_names {
	TLS_ANY_LABELS,			/* "*" stands for one label or several */
	TLS_ONE_LABEL,
	TLS_ONLY_DNS_IDS,		/* and a CN counts never, not even where there is nothing else */
};
/*
 * Is it for this host? ".example.com": for any host below. Trust is another question. To ret_as:
 * the name in the certificate that says so.
 */
bool tls_peer_is(const struct tls *t, const char *name, enum tls_names names, struct buf *ret_as);
/*
 * The context's digest of the certificate, or of its key, written as in `fingerprint`; letters'
 * case does not matter.
 */
bool tls_fingerprint_is(const struct tls_peer *p, struct str fingerprint);

/* ---- DANE (dane.c) ---- */

/*
 * Moves those that the library can use to the front: usage 2 and 3, known digests, certificates and
 * keys that are some. How many.
 */
size_t tls_tlsa_usable(struct tls_context *c, struct tls_tlsa *records, size_t n);
/*
 * Certificates and public keys of a PEM text, as anchors. -EINVAL with words: something else is in
 * it, or nothing.
 */
int tls_anchors_parse(struct arena *a, struct str pem, struct tls_anchors *ret, struct buf *why);

/* ---- resumption (resume.c) ---- */

/*
 * The client's session did not prove what it had to: neither it nor what it leaves is resumed, as
 * it would show the same certificate for as long as it is kept, whatever the server has by then.
 */
void tls_forget(struct tls *t);
size_t tls_sessions_kept(void);		/* of clients; for tests */

/* ---- tickets of servers (tickets.c) ---- */

enum { TLS_TICKET_SECRET = 32, TLS_TICKET_SCOPE = 32, TLS_TICKET_KEY = 80,
       TLS_TICKET_KEYS = 2 * TLS_TICKET_KEY };

/* -EIO: there is no randomness. */
int tls_ticket_secret_make(unsigned char *ret_secret);
/* A scope's key from a secret, the same whenever asked; the secret cannot be found out from it. -EIO. */
int tls_ticket_key_derive(const unsigned char *secret, struct str scope, unsigned char *ret_key);
/* Of services with another name or another policy it is another. */
struct str tls_context_scope(const struct tls_context *c);
bool tls_context_gives_tickets(const struct tls_context *c);
/*
 * One or two keys: the first seals new tickets, both open them. Before the first call there are no
 * tickets.
 */
void tls_context_use_ticket_keys(struct tls_context *c, struct str keys);

/*
 * features.c, for postconf -T: as "openssl version" prints it; the n-th kind of key that can be
 * used, NULL: no more.
 */
const char *tls_version_compiled(void);
const char *tls_version_running(void);
const char *tls_public_key_algorithm(size_t n);

#endif
