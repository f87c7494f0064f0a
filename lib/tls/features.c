/* SPDX-License-Identifier: ISC */
/* What the TLS library of this build can do, for postconf -T. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>

#include "lib/tls/tls.h"

const char *tls_version_compiled(void)
{
	return OPENSSL_VERSION_TEXT;
}

const char *tls_version_running(void)
{
	return OpenSSL_version(OPENSSL_VERSION);
}

const char *tls_public_key_algorithm(size_t n)
{
	static const struct { const char *name; int id; } known[] = {
		{ "dsa", EVP_PKEY_DSA }, { "ecdsa", EVP_PKEY_EC }, { "ed25519", EVP_PKEY_ED25519 },
		{ "ed448", EVP_PKEY_ED448 }, { "rsa", EVP_PKEY_RSA },
	};

	for (size_t i = 0; i < COUNT_OF(known); i++) {
		EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_id(known[i].id, NULL);
		const bool there = c != NULL;

		EVP_PKEY_CTX_free(c);
		if (there && n-- == 0)
			return known[i].name;
	}
	return NULL;
}
