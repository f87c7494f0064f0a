/* SPDX-License-Identifier: ISC */
/*
 * Certificates that DNS vouches for (RFC 6698, RFC 7671), as far as mail uses them (RFC 7672 3.1):
 * usage 2, an issuer, and usage 3, the certificate or key itself. Trust anchors out of files are
 * records of usage 2 as well. Which record fits, and which digests count where there are several,
 * the library decides; names are looked at by who asked for the proof.
 */
#include <errno.h>
#include <openssl/pem.h>

#include "lib/tls/private.h"

enum { BY_ISSUER = 2, BY_CERTIFICATE = 3, MOST_DIGESTS = 10 };

/* ---- digests ---- */

/* "sha512", or "sha3-256=3" for a type that the library has no number for. */
static int digest_parse(struct str word, const EVP_MD **ret_md, uint8_t *ret_type)
{
	char text[64];
	struct str name = word;
	int64_t type;

	if (str_cut(&word, '=', &name)) {
		if (str_to_int(word, 1, 255, &type) < 0)
			return -EINVAL;
	} else {
		type = str_is_nocase(name, STR("sha256")) ? 1 : str_is_nocase(name, STR("sha512")) ? 2 : 0;
	}
	if (type == 0 || name.len >= sizeof(text))
		return -EINVAL;
	memcpy(text, name.at, name.len);
	text[name.len] = 0;
	*ret_md = EVP_get_digestbyname(text);
	*ret_type = (uint8_t) type;
	return *ret_md == NULL ? -EINVAL : 0;
}

/* The first is the strongest. Those that are not named do not count. */
int tls_dane_enable(SSL_CTX *ssl, const char *digests, struct buf *why)
{
	struct str rest = str_of(digests), word;
	uint8_t strength = MOST_DIGESTS;

	if (SSL_CTX_dane_enable(ssl) != 1 || SSL_CTX_dane_mtype_set(ssl, NULL, 1, 0) != 1
	    || SSL_CTX_dane_mtype_set(ssl, NULL, 2, 0) != 1)
		return -EINVAL;
	while (str_token(&rest, ", \t\r\n", &word)) {
		const EVP_MD *md = NULL;
		uint8_t type = 0;

		if (digest_parse(word, &md, &type) < 0 || strength == 0
		    || SSL_CTX_dane_mtype_set(ssl, md, type, strength) != 1) {
			buf_addf(why, "\"%.*s\" is no digest for TLSA records", PSTR(word));
			return -EINVAL;
		}
		strength--;
	}
	return 0;
}

/* ---- records ---- */

static bool add_record(SSL *ssl, const struct tls_tlsa *r)
{
	return (r->usage == BY_ISSUER || r->usage == BY_CERTIFICATE)
	       && SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching,
				    (const unsigned char *) r->data.at, r->data.len) == 1;
}

size_t tls_tlsa_usable(struct tls_context *c, struct tls_tlsa *records, size_t n)
{
	SSL *ssl = c == NULL || c->ssl == NULL ? NULL : SSL_new(c->ssl);
	size_t usable = 0;

	if (ssl != NULL && SSL_dane_enable(ssl, NULL) > 0)
		for (size_t i = 0; i < n; i++)
			if (add_record(ssl, &records[i]))
				records[usable++] = records[i];
	SSL_free(ssl);
	ERR_clear_error();
	return usable;
}

int tls_dane_demand(SSL *ssl, const struct tls_tlsa *records, size_t n)
{
	size_t added = 0;

	if (SSL_dane_enable(ssl, NULL) <= 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		added += add_record(ssl, &records[i]);
	return added > 0 ? 0 : -EINVAL;
}

bool tls_dane_fits(SSL *ssl, bool *ret_by_issuer)
{
	uint8_t usage = BY_ISSUER;

	if (SSL_get0_dane_authority(ssl, NULL, NULL) < 0)
		return false;
	SSL_get0_dane_tlsa(ssl, &usage, NULL, NULL, NULL, NULL);
	*ret_by_issuer = usage != BY_CERTIFICATE;
	return true;
}

/* ---- trust anchors out of files ---- */

static void add_anchor(struct arena *a, uint8_t selector, const unsigned char *der, long len,
		       struct tls_anchors *ret)
{
	*vec_add(a, ret) = (struct tls_tlsa){ .usage = BY_ISSUER, .selector = selector, .data = arena_copy(a,
			str_make((const char *) der, (size_t) len)) };
}

static int take_block(struct arena *a, const char *kind, const unsigned char *der, long len,
		      struct tls_anchors *ret)
{
	const unsigned char *at = der;
	bool key = strcmp(kind, PEM_STRING_PUBLIC) == 0,
	     certificate = strcmp(kind, PEM_STRING_X509) == 0 || strcmp(kind, PEM_STRING_X509_OLD) == 0;
	X509 *x = certificate ? d2i_X509(NULL, &at, len) : NULL;
	EVP_PKEY *k = key ? d2i_PUBKEY(NULL, &at, len) : NULL;
	bool fine = x != NULL || k != NULL;

	X509_free(x);
	EVP_PKEY_free(k);
	if (!fine || arena_left(a) < (size_t) len + 4096)
		return -EINVAL;
	add_anchor(a, key, der, len, ret);
	return 0;
}

int tls_anchors_parse(struct arena *a, struct str pem, struct tls_anchors *ret, struct buf *why)
{
	BIO *bio = BIO_new_mem_buf(pem.at, (int) MIN(pem.len, 1 << 30));
	char *kind, *header;
	unsigned char *der;
	long len;
	int r = 0;

	while (r == 0 && bio != NULL && PEM_read_bio(bio, &kind, &header, &der, &len) == 1) {
		r = take_block(a, kind, der, len, ret);
		if (r < 0)
			buf_addf(why, "a block of kind \"%s\" is no certificate and no public key, or there are too many",
				 kind);
		OPENSSL_free(kind);
		OPENSSL_free(header);
		OPENSSL_free(der);
	}
	BIO_free(bio);
	ERR_clear_error();
	if (r == 0 && ret->len == 0) {
		buf_add_text(why, "there is no certificate and no public key in it");
		r = -EINVAL;
	}
	return r;
}
