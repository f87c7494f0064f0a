/* SPDX-License-Identifier: ISC */
/*
 * Session tickets of a server (RFC 5077, RFC 8446 4.6.1): what a resumed session needs is with the
 * client, sealed with keys that all workers of a service have. The secret is tlsmgr's; what a
 * service gets is derived from it and from the service's name and policy (its scope), so that a
 * ticket of one service is noise to another. Nothing here waits: without keys there are no tickets.
 */
#include <assert.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

#include "lib/base/die.h"
#include "lib/tls/private.h"

enum { NAME_SIZE = 16, CIPHER_KEY_SIZE = 32, MAC_KEY_SIZE = 32 };

struct ticket_key { unsigned char name[NAME_SIZE], cipher[CIPHER_KEY_SIZE], mac[MAC_KEY_SIZE]; };
static_assert(sizeof(struct ticket_key) == TLS_TICKET_KEY, "no gaps");
static_assert(sizeof(((struct tls_context *) 0)->ticket_keys) % TLS_TICKET_KEY == 0, "whole keys");

/* ---- tlsmgr's side ---- */

int tls_ticket_secret_make(unsigned char *ret_secret)
{
	return RAND_bytes(ret_secret, TLS_TICKET_SECRET) == 1 ? 0 : -EIO;
}

int tls_ticket_key_derive(const unsigned char *secret, struct str scope, unsigned char *ret_key)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	static const unsigned char label[] = "postroad session tickets";
	size_t len = TLS_TICKET_KEY;
	int ok = c != NULL && EVP_PKEY_derive_init(c) == 1 && EVP_PKEY_CTX_set_hkdf_md(c, EVP_sha256()) == 1
		 && EVP_PKEY_CTX_set1_hkdf_key(c, secret, TLS_TICKET_SECRET) == 1
		 && EVP_PKEY_CTX_add1_hkdf_info(c, label, sizeof(label)) == 1
		 && EVP_PKEY_CTX_add1_hkdf_info(c, (const unsigned char *) scope.at, (int) scope.len) == 1
		 && EVP_PKEY_derive(c, ret_key, &len) == 1;

	EVP_PKEY_CTX_free(c);
	ERR_clear_error();
	return ok ? 0 : -EIO;
}

/* ---- the servers' side ---- */

static void add_text(EVP_MD_CTX *d, const char *text)
{
	if (text != NULL)
		EVP_DigestUpdate(d, text, strlen(text));
	EVP_DigestUpdate(d, "", 1);
}

/* Whatever makes a session worth more or less than another. */
void tls_tickets_scope(const struct tls_config *conf, unsigned char *ret_scope)
{
	const char *const texts[] = { conf->name, conf->ca_file, conf->ca_path, conf->ciphers, conf->digest,
				      conf->ticket_cipher, conf->chain_files,
				      conf->cert_file, conf->eccert_file };
	const int64_t numbers[] = { conf->default_ca, conf->ask_cert, conf->need_cert, conf->depth,
				    conf->protocols.min,
				    conf->protocols.max, conf->protocols.excluded, conf->session_s };
	EVP_MD_CTX *d = EVP_MD_CTX_new();

	if (d == NULL || EVP_DigestInit_ex(d, EVP_sha256(), NULL) != 1)
		die(EX_OSERR, "out of memory");
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		add_text(d, texts[i]);
	EVP_DigestUpdate(d, numbers, sizeof(numbers));
	BUG_UNLESS(EVP_DigestFinal_ex(d, ret_scope, NULL) == 1);
	EVP_MD_CTX_free(d);
}

struct str tls_context_scope(const struct tls_context *c)
{
	return str_make((const char *) c->scope, sizeof(c->scope));
}

bool tls_context_gives_tickets(const struct tls_context *c)
{
	return c->ticket_cipher != NULL && c->conf.session_s > 0;
}

void tls_context_use_ticket_keys(struct tls_context *c, struct str keys)
{
	size_t len = MIN(keys.len - keys.len % TLS_TICKET_KEY, sizeof(c->ticket_keys));

	OPENSSL_cleanse(c->ticket_keys, sizeof(c->ticket_keys));
	memcpy(c->ticket_keys, keys.at, len);
	c->ticket_key_count = len / TLS_TICKET_KEY;
}

static bool set_mac(EVP_MAC_CTX *mac, const struct ticket_key *k)
{
	char digest[] = "sha256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *) (uintptr_t) k->mac,
						  sizeof(k->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/*
 * Called by the library: to seal a ticket, or to open the one with this name. 0: a full handshake;
 * 1; 2: opened, and a new one is due; -1: trouble.
 */
static int choose_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		      EVP_MAC_CTX *mac, int seal)
{
	const struct tls *t = SSL_get_app_data(ssl);
	const struct tls_context *c = t->context;
	const struct ticket_key *keys = (const struct ticket_key *) (const void *) c->ticket_keys;
	size_t i = 0;

	if (seal != 0) {
		if (c->ticket_key_count == 0
		    || RAND_bytes(iv, EVP_CIPHER_get_iv_length(c->ticket_cipher)) != 1)
			return c->ticket_key_count == 0 ? 0 : -1;
		memcpy(name, keys[0].name, sizeof(keys[0].name));
		return EVP_EncryptInit_ex(cipher, c->ticket_cipher, NULL, keys[0].cipher, iv) == 1
		       && set_mac(mac, &keys[0]) ? 1 : -1;
	}
	while (i < c->ticket_key_count && memcmp(name, keys[i].name, sizeof(keys[i].name)) != 0)
		i++;
	if (i == c->ticket_key_count)
		return 0;
	if (EVP_DecryptInit_ex(cipher, c->ticket_cipher, NULL, keys[i].cipher, iv) != 1
	    || !set_mac(mac, &keys[i]))
		return -1;
	/* since 1.3 each ticket is used once (RFC 8446 C.4) */
	return i == 0 && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
}

int tls_tickets_choose_cipher(struct tls_context *c, struct buf *why)
{
	const char *name = c->conf.ticket_cipher;
	const EVP_CIPHER *cipher = name == NULL ? EVP_aes_256_cbc() : name[0] == 0
				   ? NULL : EVP_get_cipherbyname(name);

	if ((cipher == NULL && name[0] == 0) || (c->conf.options.on & SSL_OP_NO_TICKET))
		return 0;
	if (cipher == NULL || EVP_CIPHER_get_mode(cipher) != EVP_CIPH_CBC_MODE
	    || EVP_CIPHER_get_key_length(cipher) > CIPHER_KEY_SIZE) {
		buf_addf(why, "session ticket cipher \"%s\": it has to be a CBC cipher with keys of at most 256 bits",
			 name);
		return -EINVAL;
	}
	c->ticket_cipher = cipher;
	return 0;
}

void tls_tickets_offer(SSL_CTX *ssl)
{
	SSL_CTX_set_num_tickets(ssl, 1);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, choose_key);
}

void tls_tickets_withhold(SSL *ssl)
{
	SSL_set_options(ssl, SSL_OP_NO_TICKET);
	SSL_set_num_tickets(ssl, 0);
}
