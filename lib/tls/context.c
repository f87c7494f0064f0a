/* SPDX-License-Identifier: ISC */
/*
 * What a service presents and trusts. The library's SSL_CTX is made anew when key files change, and
 * takes the place of the old one only if all of it could be made; connections under way keep the
 * one that they began with. What is trusted (CA files) stays as it was at start.
 */
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/table/watch.h"
#include "lib/tls/private.h"

enum { QUIET_MS = 2000, MOST_FILES = 64 };

int tls_failed(struct buf *why, const char *what, const char *which)
{
	buf_addf(why, "%s%s%s: ", what, which[0] == 0 ? "" : " ", which);
	tls_library_words(why);
	return -EINVAL;
}

bool tls_is_given(const char *file)
{
	return file != NULL && file[0] != 0 && strcmp(file, "none") != 0;
}

/* ---- files ---- */

static int add_file(struct tls_context *c, struct str path, struct buf *why)
{
	struct tls_file f = { 0 };
	int r = c->file_count >= MOST_FILES ? -E2BIG : watch_new(path, &f.watch, why);

	if (r < 0)
		return r;
	c->files = resize_memory(c->files, (c->file_count + 1) * sizeof(*c->files));
	c->files[c->file_count++] = f;
	return 0;
}

/* The key's file is the certificate's when none is named. */
static int add_pair(struct tls_context *c, const char *cert, const char *key, struct buf *why)
{
	int r;

	if (!tls_is_given(cert))
		return 0;
	r = add_file(c, str_of(cert), why);
	return r < 0 ? r : add_file(c, str_of(tls_is_given(key) ? key : cert), why);
}

static int name_files(struct tls_context *c, struct buf *why)
{
	struct str rest = str_of(c->conf.chain_files), word;
	int r = 0;

	if (str_trim(rest).len == 0) {
		r = add_pair(c, c->conf.cert_file, c->conf.key_file, why);
		if (r >= 0)
			r = add_pair(c, c->conf.eccert_file, c->conf.eckey_file, why);
		return r < 0 ? r : add_pair(c, c->conf.dcert_file, c->conf.dkey_file, why);
	}
	while (r >= 0 && str_token(&rest, ", \t\r\n", &word))
		r = add_file(c, word, why);
	return r;
}

static int read_files(struct tls_context *c, struct buf *why)
{
	int r = 0;

	/* All are looked at even if one fails: what was seen is not looked at again before it changes. */
	for (size_t i = 0; i < c->file_count; i++) {
		AUTO(buf) words = BUF_WORDS;
		int one = tls_file_read(&c->files[i], &words);

		if (one < 0 && r == 0) {
			buf_add(why, buf_str(&words));
			r = one;
		}
	}
	return r;
}

static int use_files(struct tls_context *c, SSL_CTX *ssl, struct buf *why)
{
	bool chains = str_trim(str_of(c->conf.chain_files)).len > 0;
	int r = c->inherits ? -!tls_keepsake_find(c->conf.keepsake, c) : read_files(c, why);

	for (size_t i = 0; i < c->file_count && r >= 0; i += chains ? 1 : 2)
		r = chains ? tls_use_chains(ssl, &c->files[i], why) : tls_use_pair(ssl, &c->files[i],
				&c->files[i + 1], why);
	if (r >= 0 && c->conf.keepsake > 0)
		tls_keepsake_leave(c->conf.keepsake, c);
	for (size_t i = 0; i < c->file_count; i++)
		tls_file_forget(&c->files[i]);
	return r < 0 ? r : 0;
}

/* ---- trust ---- */

/* Read once: those files may be out of reach later. */
static int set_authorities(struct tls_context *c, SSL_CTX *ssl, struct buf *why)
{
	int r;

	if (c->trusted == NULL) {
		r = tls_use_authorities(&c->conf, ssl, why);
		if (r < 0)
			return r;
		c->trusted = SSL_CTX_get_cert_store(ssl);
		X509_STORE_up_ref(c->trusted);
		c->names = SSL_dup_CA_list(SSL_CTX_get_client_CA_list(ssl));
		return 0;
	}
	SSL_CTX_set1_cert_store(ssl, c->trusted);
	SSL_CTX_set_client_CA_list(ssl, SSL_dup_CA_list(c->names));
	return 0;
}

/* Whatever is wrong with a certificate, the handshake goes on; SSL_get_verify_result() remembers. */
static int go_on(int ok, X509_STORE_CTX *x)
{
	tls_trace_certificate(x, ok);
	return 1;
}

/* ---- how much work ---- */

enum { MOST_DH_BITS = 4096 };
static int (*usual_security)(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid,
			     void *other, void *arg);

/*
 * A server may choose any group for DHE, and one of 10,000 bits takes a second of this thread (0.02
 * with 4,096).
 */
static int is_affordable(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid,
			 void *other, void *arg)
{
	if (op == SSL_SECOP_TMP_DH && other != NULL && EVP_PKEY_get_bits(other) > MOST_DH_BITS)
		return 0;
	return usual_security(ssl, ctx, op, bits, nid, other, arg);
}

static void limit_work(SSL_CTX *ssl)
{
	usual_security = SSL_CTX_get_security_callback(ssl);
	SSL_CTX_set_security_callback(ssl, is_affordable);
}

/* ---- the rest ---- */

/* A list with an unknown name would be refused as a whole. */
static void use_groups(SSL_CTX *ssl, const struct tls_config *conf)
{
	AUTO(buf) all = BUF(4096);
	AUTO(buf) known = BUF(4096);
	struct str rest, word;

	if (str_trim(str_of(conf->curves)).len == 0)
		return;
	buf_addf(&all, "%s %s", conf->curves, conf->groups);
	rest = buf_str(&all);
	while (str_token(&rest, ":, \t\r\n", &word)) {
		AUTO(buf) one = BUF(200);

		buf_add(&one, word);
		if (SSL_CTX_set1_groups_list(ssl, buf_text(&one)) == 1)
			buf_addf(&known, "%s%s", known.len > 0 ? ":" : "", buf_text(&one));
	}
	if (known.len > 0)
		SSL_CTX_set1_groups_list(ssl, buf_text(&known));
	ERR_clear_error();
}

/*
 * smtpd_tls_dh1024_param_file: primes of the administrator's own. Read once, with the rights of the
 * start. Without them the library has some that fit the key.
 */
static void read_dh(struct tls_context *c, struct buf *why)
{
	const char *path = c->conf.dh_file;
	EVP_PKEY *parameters = NULL;
	BIO *from;

	if (!c->conf.server || !tls_is_given(path) || strcmp(path, "auto") == 0)
		return;
	ERR_clear_error();
	from = BIO_new_file(path, "r");
	if (from != NULL)
		parameters = PEM_read_bio_Parameters(from, NULL);
	BIO_free(from);
	if (parameters != NULL && EVP_PKEY_is_a(parameters, "DH")) {
		c->dh = parameters;
		return;
	}
	EVP_PKEY_free(parameters);
	tls_failed(why, "DH parameters", path);
	buf_add_text(why, ": the standard ones are used");
	ERR_clear_error();
}

static int use_dh(const struct tls_context *c, SSL_CTX *ssl, struct buf *why)
{
	if (c->dh == NULL)
		return SSL_CTX_set_dh_auto(ssl, 1) == 1 ? 0 : tls_failed(why, "DH parameters", "");
	if (EVP_PKEY_up_ref(c->dh) == 1) {
		if (SSL_CTX_set0_tmp_dh_pkey(ssl, c->dh) == 1)
			return 0;
		EVP_PKEY_free(c->dh);
	}
	return tls_failed(why, "DH parameters", c->conf.dh_file);
}

/* A server keeps nothing of a session: the client has it, in its ticket. */
static void use_resumption(const struct tls_context *c, SSL_CTX *ssl)
{
	const struct tls_config *conf = &c->conf;

	SSL_CTX_set_session_cache_mode(ssl,
				       conf->session_ids ? SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL
				       : SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(ssl, c->scope, sizeof(c->scope));
	if (conf->session_s <= 0 || (conf->server && c->ticket_cipher == NULL)) {
		SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(ssl, 0);
		return;
	}
	SSL_CTX_set_timeout(ssl, (long) conf->session_s);
	if (conf->server)
		tls_tickets_offer(ssl);
	else
		tls_sessions_keep(ssl);
}

static void use_modes(const struct tls_config *conf, SSL_CTX *ssl)
{
	SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
			 | SSL_MODE_RELEASE_BUFFERS);
	/* SMTP has its own ends: a connection that breaks off can make nothing seem complete. */
	SSL_CTX_set_options(ssl, SSL_OP_ALL | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION
					 | SSL_OP_IGNORE_UNEXPECTED_EOF);
	if (conf->wipes_plaintext)
		SSL_CTX_set_options(ssl, SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_options(ssl, conf->options.on);
	SSL_CTX_clear_options(ssl, conf->options.off);
	if (conf->preempt)
		SSL_CTX_set_options(ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_read_ahead(ssl, 1);
	/* versions and ciphers are as main.cf says, whatever the library thinks of them */
	if (conf->server)
		SSL_CTX_set_security_level(ssl, 0);
	/* the library does not count the last issuer, nor Postfix the first */
	SSL_CTX_set_verify_depth(ssl, conf->depth + 1);
	if (!conf->server)
		limit_work(ssl);
	if (!conf->server)
		SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, go_on);
	else if (conf->ask_cert || conf->need_cert)
		SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, go_on);
	if (conf->server && conf->trust_server_certs)
		/* peer.c looks whether it is one of the two */
		SSL_CTX_set_purpose(ssl, X509_PURPOSE_ANY);
}

static int configure(struct tls_context *c, SSL_CTX *ssl, struct buf *why)
{
	const struct tls_config *conf = &c->conf;

	use_modes(conf, ssl);
	use_resumption(c, ssl);
	if (conf->server && use_dh(c, ssl, why) < 0)
		return -EINVAL;
	if (tls_protocols_apply(&conf->protocols, NULL, ssl) < 0)
		return tls_failed(why, "TLS protocol versions", "");
	if (conf->anonymous)		/* 1.3 has no ciphers that do without certificates */
		SSL_CTX_set_options(ssl, SSL_OP_NO_TLSv1_3);
	if (SSL_CTX_set_cipher_list(ssl, conf->ciphers) != 1)
		return tls_failed(why, "cipher list", conf->ciphers);
	if (conf->dane_digests != NULL && tls_dane_enable(ssl, conf->dane_digests, why) < 0)
		return -EINVAL;
	use_groups(ssl, conf);
	if (conf->chains_for != NULL)
		tls_names_listen(ssl);
	return set_authorities(c, ssl, why);
}

/* ---- life ---- */

static int make(struct tls_context *c, bool *ret_only_files, struct buf *why)
{
	SSL_CTX *ssl;
	int r;

	ERR_clear_error();
	ssl = SSL_CTX_new(c->conf.server ? TLS_server_method() : TLS_client_method());
	if (ssl == NULL)
		return tls_failed(why, "TLS library", "");
	r = configure(c, ssl, why);
	*ret_only_files = r >= 0;
	if (r >= 0)
		r = use_files(c, ssl, why);
	ERR_clear_error();
	if (r < 0) {
		SSL_CTX_free(ssl);
		return r;
	}
	SSL_CTX_free(c->ssl);
	c->ssl = ssl;
	return 0;
}

/* Keys and certificates cannot be used: those of the process before this one may be there. */
static int inherit(struct tls_context *c)
{
	AUTO(buf) why = BUF_WORDS;
	bool only_files;

	if (c->conf.keepsake <= 0)
		return 1;
	c->inherits = true;
	return make(c, &only_files, &why) < 0 ? 1 : 2;
}

int tls_context_open(const struct tls_config *conf, struct tls_context **ret, struct buf *why)
{
	struct tls_context *c = get_memory(sizeof(*c));
	AUTO(buf) odd = BUF_WORDS;
	bool only_files = false;
	int r;

	c->conf = *conf;
	read_dh(c, &odd);
	tls_tickets_scope(conf, c->scope);
	r = conf->server ? tls_tickets_choose_cipher(c, why) : 0;
	if (r >= 0)
		r = name_files(c, why);
	if (r >= 0 && conf->server && c->file_count == 0 && !conf->anonymous) {
		buf_add_text(why, "there is no server certificate");
		r = -ENOENT;
	}
	if (r >= 0)
		r = make(c, &only_files, why);
	if (r < 0 && !only_files) {
		tls_context_free(c);
		return r;
	}
	if (r < 0)
		r = inherit(c);
	else
		buf_add(why, buf_str(&odd));
	c->inherits = false;
	c->conf.keepsake = 0;
	*ret = c;
	return r;
}

bool tls_context_is_usable(const struct tls_context *c)
{
	return c != NULL && c->ssl != NULL;
}

const char *tls_context_ciphers(const struct tls_context *c)
{
	return c->conf.ciphers;
}

void tls_context_free(struct tls_context *c)
{
	if (c == NULL)
		return;
	SSL_CTX_free(c->ssl);
	EVP_PKEY_free(c->dh);
	X509_STORE_free(c->trusted);
	sk_X509_NAME_pop_free(c->names, X509_NAME_free);
	OPENSSL_cleanse(c->ticket_keys, sizeof(c->ticket_keys));
	for (size_t i = 0; i < c->file_count; i++)
		watch_free(c->files[i].watch);
	free(c->files);
	free(c);
}

/* A file that still cannot be opened for the same reason is no change, though nothing of it can be compared. */
static bool has_changed(const struct tls_file *f)
{
	AUTO(buf) ignored = BUF_WORDS;
	struct stat st;

	if (!watch_changed(f->watch, true))
		return false;
	if (f->error != 0) {
		AUTO_FD fd = watch_open(f->watch, &st, &ignored);

		return fd != f->error;
	}
	return true;
}

int tls_context_refresh(struct tls_context *c, struct buf *why)
{
	bool only_files;
	int r;

	for (size_t i = 0; i < c->file_count; i++)
		if (c->changed_ms == 0 && has_changed(&c->files[i]))
			c->changed_ms = mono_ms();
	/* A key and its certificate are hardly replaced in the same instant. */
	if (c->changed_ms == 0 || mono_ms() < c->changed_ms + QUIET_MS)
		return 0;
	c->changed_ms = 0;
	r = make(c, &only_files, why);
	return r < 0 ? r : 1;
}

size_t tls_digest_size(const char *name)
{
	const EVP_MD *digest = EVP_get_digestbyname(name);

	return digest == NULL ? 0 : (size_t) EVP_MD_get_size(digest);
}
