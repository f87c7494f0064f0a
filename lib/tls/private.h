/* SPDX-License-Identifier: ISC */
/* Inside lib/tls only. */
#ifndef ROAD_TLS_PRIVATE_H
#define ROAD_TLS_PRIVATE_H

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "lib/tls/tls.h"

struct tls_context {
	struct tls_config conf;
	SSL_CTX *ssl;			/* NULL: keys or certificates cannot be used */
	X509_STORE *trusted;		/* as it was at start */
	STACK_OF(X509_NAME) *names;	/* of CAs, for clients */
	EVP_PKEY *dh;			/* parameters of the administrator's own, or NULL */
	struct tls_file *files;
	size_t file_count;
	bool inherits;			/* while it is opened: the files are no good, what was left counts */
	int64_t changed_ms;		/* when a change was noticed that is not loaded yet; 0: none */
	const EVP_CIPHER *ticket_cipher;	/* NULL: no tickets */
	unsigned char scope[TLS_TICKET_SCOPE];
	unsigned char ticket_keys[TLS_TICKET_KEYS];	/* the newest first */
	size_t ticket_key_count;
};

struct tls_name {
	enum { NAME_NOT_LOOKED_AT, NAME_WAITS, NAME_IS_OURS, NAME_IS_NOT, NAME_FAILED } state;
	unsigned char len;
	char at[255];
};

enum tls_traced {
	TRACE_NOTHING,
	TRACE_STATES,			/* and certificates */
	TRACE_HANDSHAKE_BYTES,
	TRACE_BYTES,
};

struct tls {
	SSL *ssl;
	const struct tls_context *context;	/* may be gone after the handshake */
	const EVP_MD *digest;
	int fd;
	int error;			/* 0 or the -errno of a call on the socket */
	bool ended;			/* the socket has nothing more to say */
	bool broken;			/* the library gave up: no close_notify */
	bool has_anchors;		/* only what fits them is trusted */
	struct buf ahead;		/* read before TLS began */
	struct tls_name asked;		/* server: by the client */
	enum tls_traced traced;
	int64_t trace_left;		/* so many bytes may still be shown; INT64_MAX: all */
	void (*trace)(void *arg, const char *line);
	void *trace_arg;
	char *resume_as;		/* NULL: not to be kept */
	int64_t session_s;
	bool trusts_server_certs;
};

/* ---- pem.c ---- */

struct tls_file {
	struct watch *watch;
	struct str text;		/* while loading; contains keys: wiped by tls_file_forget() */
	int error;			/* 0, or the -errno of the last attempt to read it */
};
int tls_file_read(struct tls_file *f, struct buf *why);
void tls_file_forget(struct tls_file *f);
/* All of key, certificate, issuers in a text, as often as they come. How many, or -errno with words. */
int tls_use_chains(SSL_CTX *ssl, const struct tls_file *f, struct buf *why);
/* The same for one connection, from text that nobody needs afterwards. `what`: for words. */
int tls_use_text(SSL *ssl, struct str text, const char *what, struct buf *why);
int tls_use_pair(SSL_CTX *ssl, const struct tls_file *cert, const struct tls_file *key, struct buf *why);

/* ---- keepsake.c ---- */

/* the texts of the files, which are still there */
void tls_keepsake_leave(int fd, const struct tls_context *c);
/* those that were left, in place of what was read */
bool tls_keepsake_find(int fd, struct tls_context *c);

/* The library's words for what went wrong just now; empties its queue. */
void tls_library_words(struct buf *why);

/* ---- resume.c ---- */

void tls_sessions_keep(SSL_CTX *ssl);	/* the context's new sessions go under their tls' resume_as */
SSL_SESSION *tls_session_take(struct str name);	/* the caller's; NULL: none */

/* ---- tickets.c ---- */

void tls_tickets_scope(const struct tls_config *conf, unsigned char *ret_scope);
int tls_tickets_choose_cipher(struct tls_context *c, struct buf *why);
void tls_tickets_offer(SSL_CTX *ssl);
void tls_tickets_withhold(SSL *ssl);	/* from one connection */

/* ---- sni.c ---- */

void tls_names_listen(SSL_CTX *ssl);	/* handshakes stop at the client's name */
/* After it has stopped there: asks whose it is. -errno with words: the handshake is over. */
int tls_name_answer(struct tls *t, const struct tls_wish *w, struct buf *why) MAY_YIELD;

/* ---- dane.c ---- */

int tls_dane_enable(SSL_CTX *ssl, const char *digests, struct buf *why);
/* -EINVAL: none can be used */
int tls_dane_demand(SSL *ssl, const struct tls_tlsa *records, size_t n);
bool tls_dane_fits(SSL *ssl, bool *ret_by_issuer);	/* after the handshake */
/* ---- trace.c ---- */

void tls_trace_begin(struct tls *t, const struct tls_wish *w);
void tls_trace_handshake_done(struct tls *t);
void tls_trace_certificate(X509_STORE_CTX *x, int ok);
void tls_trace_bytes(struct tls *t, bool received, const void *bytes, size_t asked, ssize_t n);

/* ---- authorities.c ---- */

/* -ENOENT with words: a file or directory of them cannot be used. */
int tls_use_authorities(const struct tls_config *conf, SSL_CTX *ssl, struct buf *why);

bool tls_is_given(const char *file);	/* "none" is not */
/* -EINVAL, with the library's words behind these */
int tls_failed(struct buf *why, const char *what, const char *which);

int tls_protocols_apply(const struct tls_protocols *p, SSL *ssl, SSL_CTX *ctx);	/* to one of them */

#endif
