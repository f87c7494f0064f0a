/* SPDX-License-Identifier: ISC */
/* Who is at the other end, and how we talk: trust, names, fingerprints, and the words for them. */
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/tls/private.h"

/* ---- names ---- */

static struct str common_name(X509_NAME *name, struct arena *a)
{
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	AUTO(buf) printable = BUF(1024);
	unsigned char *text = NULL;
	int len;

	if (at < 0)
		return STR_NONE;
	len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (len > 0 && memchr(text, 0, (size_t) len) == NULL)
		buf_add_printable(&printable, str_make((char *) text, (size_t) MIN(len, 256)));
	OPENSSL_free(text);
	for (size_t i = 0; i < printable.len; i++)
		/* it stands quoted in a comment of Received */
		if (strchr("\"\\();", printable.at[i]) != NULL)
			printable.at[i] = '?';
	return arena_copy(a, buf_str(&printable));
}

bool tls_peer_is(const struct tls *t, const char *name, enum tls_names names, struct buf *ret_as)
{
	static const unsigned more[] = { [TLS_ANY_LABELS] = X509_CHECK_FLAG_MULTI_LABEL_WILDCARDS,
					 [TLS_ONLY_DNS_IDS] = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT };
	X509 *x = SSL_get0_peer_certificate(t->ssl);
	const unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | more[names];
	char *as = NULL;
	bool is = x != NULL && name[0] != 0 && X509_check_host(x, name, strlen(name), flags, &as) == 1;

	if (is && as != NULL)
		buf_add_printable(ret_as, str_of(as));
	OPENSSL_free(as);
	return is;
}

/* ---- fingerprints ---- */

static struct str in_hex(const unsigned char *bytes, unsigned len, struct arena *a)
{
	AUTO(buf) b = BUF(EVP_MAX_MD_SIZE * 3 + 1);

	for (unsigned i = 0; i < len; i++)
		buf_addf(&b, "%s%02X", i > 0 ? ":" : "", bytes[i]);
	return arena_copy(a, buf_str(&b));
}

static struct str fingerprint_of(const struct tls *t, X509 *x, bool key, struct arena *a)
{
	unsigned char digest[EVP_MAX_MD_SIZE], *der = NULL;
	unsigned len = 0;
	int size;

	if (t->digest == NULL)
		return STR_NONE;
	if (!key)
		return X509_digest(x, t->digest, digest, &len) == 1 ? in_hex(digest, len, a) : STR_NONE;
	size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	if (size <= 0 || EVP_Digest(der, (size_t) size, digest, &len, t->digest, NULL) != 1)
		len = 0;
	OPENSSL_free(der);
	return in_hex(digest, len, a);
}

bool tls_fingerprint_is(const struct tls_peer *p, struct str fingerprint)
{
	return fingerprint.len > 0 && (str_is_nocase(fingerprint, p->fingerprint)
				       || str_is_nocase(fingerprint, p->key_fingerprint));
}

/* ---- the chain ---- */

static void add_pem(const struct tls *t, X509 *x, size_t n, struct buf *ret)
{
	struct arena *a = arena_new("certificate", NULL, 64 << 10);
	BIO *pem = BIO_new(BIO_s_mem());
	char *text = NULL;
	long len;

	buf_addf(ret, "--- certificate %zu: CN %.*s, ", n, PSTR(common_name(X509_get_subject_name(x), a)));
	buf_addf(ret, "issued by CN %.*s\n", PSTR(common_name(X509_get_issuer_name(x), a)));
	buf_addf(ret, "fingerprint %.*s\n", PSTR(fingerprint_of(t, x, false, a)));
	buf_addf(ret, "key fingerprint %.*s\n", PSTR(fingerprint_of(t, x, true, a)));
	if (pem != NULL && PEM_write_bio_X509(pem, x) == 1) {
		len = BIO_get_mem_data(pem, &text);
		buf_add(ret, str_make(text, (size_t) MAX(len, 0)));
	}
	BIO_free(pem);
	arena_free(a);
}

void tls_chain(const struct tls *t, struct buf *ret)
{
	const STACK_OF(X509) *chain = SSL_get_peer_cert_chain(t->ssl);

	for (int i = 0; i < sk_X509_num(chain); i++)
		add_pem(t, sk_X509_value(chain, i), (size_t) i, ret);
	ERR_clear_error();
}

/* ---- words ---- */

static void add_key(struct buf *b, EVP_PKEY *key)
{
	char curve[64] = "";
	size_t len = 0;
	const char *type = EVP_PKEY_get0_type_name(key);

	if (EVP_PKEY_get_group_name(key, curve, sizeof(curve), &len) == 1 && curve[0] != 0
	    && EVP_PKEY_is_a(key, "EC"))
		buf_addf(b, "ECDHE (%s)", curve);
	else if (EVP_PKEY_is_a(key, "DH"))
		buf_addf(b, "DHE (%d bits)", EVP_PKEY_get_bits(key));
	else
		buf_add_text(b, type == NULL ? "unknown" : type);
}

static const char *signature_name(int nid)
{
	switch (nid) {
	case EVP_PKEY_RSA: return "RSA";
	case EVP_PKEY_RSA_PSS: return "RSA-PSS";
	case EVP_PKEY_EC: return "ECDSA";
	default: return OBJ_nid2sn(nid);
	}
}

static void add_signature(struct buf *b, const char *who, EVP_PKEY *key, int signature, int digest)
{
	char curve[64] = "";
	size_t len = 0;

	if (signature == EVP_PKEY_EC && EVP_PKEY_get_group_name(key, curve, sizeof(curve), &len) == 1
	    && curve[0] != 0)
		buf_addf(b, " %s-signature %s (%s)", who, signature_name(signature), curve);
	else
		buf_addf(b, " %s-signature %s (%d bits)", who, signature_name(signature),
			 EVP_PKEY_get_bits(key));
	if (digest != NID_undef)
		buf_addf(b, " %s-digest %s", who, OBJ_nid2sn(digest));
}

/* Who signed what: known for the present connection only, not for a resumed session. */
static void add_key_exchange(struct buf *b, const struct tls *t)
{
	bool server = SSL_is_server(t->ssl) == 1;
	X509 *mine = SSL_get_certificate(t->ssl), *theirs = SSL_get0_peer_certificate(t->ssl);
	int signature = NID_undef, digest = NID_undef;
	EVP_PKEY *key = NULL;

	if (SSL_get_peer_tmp_key(t->ssl, &key) == 1 && key != NULL) {
		buf_add_text(b, " key-exchange ");
		add_key(b, key);
		EVP_PKEY_free(key);
	}
	if (server && mine != NULL && SSL_get_signature_type_nid(t->ssl, &signature) == 1) {
		SSL_get_signature_nid(t->ssl, &digest);
		add_signature(b, "server", X509_get0_pubkey(mine), signature, digest);
	}
	signature = digest = NID_undef;
	if (theirs != NULL && SSL_get_peer_signature_type_nid(t->ssl, &signature) == 1) {
		SSL_get_peer_signature_nid(t->ssl, &digest);
		add_signature(b, server ? "client" : "server", X509_get0_pubkey(theirs), signature, digest);
	}
}

/* ---- why not? ---- */

/* Of the last certificate that somebody was looked for to have signed. */
static struct str missing_issuer(const struct tls *t, struct arena *a)
{
	const STACK_OF(X509) *chain = SSL_get0_verified_chain(t->ssl);
	X509 *last = sk_X509_num(chain) > 0 ? sk_X509_value(chain, sk_X509_num(chain) - 1)
		     : SSL_get0_peer_certificate(t->ssl);
	AUTO(buf) printable = BUF(1024);
	char name[512] = "";

	X509_NAME_oneline(X509_get_issuer_name(last), name, sizeof(name));
	buf_add_printable(&printable, str_of(name));
	return arena_fmt(a, "untrusted issuer %s", buf_text(&printable));
}

/* As Postfix says it: where the words are the library's they say whose certificate it is. */
static void explain(const struct tls *t, struct arena *a, long result, struct tls_peer *p)
{
	p->whose = "";
	switch (result) {
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		p->why = STR("self-signed certificate");
		return;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT: case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		p->why = missing_issuer(t, a);
		return;
	case X509_V_ERR_INVALID_PURPOSE:
		p->why = arena_fmt(a, "not designated for use as a %s certificate",
				   SSL_is_server(t->ssl) == 1 ? "client" : "server");
		return;
	}
	p->whose = SSL_is_server(t->ssl) == 1 ? "client " : "server ";
	p->has_expired = result == X509_V_ERR_CERT_HAS_EXPIRED;
	if (p->has_expired)
		p->why = STR("certificate has expired");
	else if (result == X509_V_ERR_CERT_NOT_YET_VALID)
		p->why = STR("certificate not yet valid");
	else
		p->why = arena_fmt(a, "num=%ld:%s", result, X509_verify_cert_error_string(result));
}

/* ---- all of it ---- */

/* tls_trust_server_ccerts: the context let any purpose pass. */
static bool is_for_clients_or_servers(X509 *x)
{
	return X509_check_purpose(x, X509_PURPOSE_SSL_CLIENT, 0) == 1
	       || X509_check_purpose(x, X509_PURPOSE_SSL_SERVER, 0) == 1;
}

static void judge_certificate(const struct tls *t, struct arena *a, struct tls_peer *p)
{
	X509 *x = SSL_get0_peer_certificate(t->ssl);
	long result = SSL_get_verify_result(t->ssl);
	bool by_issuer = true;

	if (x == NULL)
		return;
	p->trust = result == X509_V_OK ? TLS_TRUSTED : TLS_UNTRUSTED;
	if (result != X509_V_OK) {
		explain(t, a, result, p);
	} else if (t->has_anchors) {
		p->trust = tls_dane_fits(t->ssl, &by_issuer) ? TLS_TRUSTED : TLS_UNTRUSTED;
		if (p->trust == TLS_UNTRUSTED)
			explain(t, a, X509_V_ERR_DANE_NO_MATCH, p);
		p->needs_no_name = p->trust == TLS_TRUSTED && !by_issuer;
	} else if (t->trusts_server_certs && !is_for_clients_or_servers(x)) {
		p->trust = TLS_UNTRUSTED;
		explain(t, a, X509_V_ERR_INVALID_PURPOSE, p);
	}
	p->subject = common_name(X509_get_subject_name(x), a);
	p->issuer = common_name(X509_get_issuer_name(x), a);
	p->fingerprint = fingerprint_of(t, x, false, a);
	p->key_fingerprint = fingerprint_of(t, x, true, a);
}

static struct str received_words(const struct tls *t, const struct tls_peer *p, struct str exchange,
				 struct arena *a)
{
	AUTO(buf) b = BUF(4096);

	buf_addf(&b, "using %s with cipher %s (%d/%d bits);%.*s;", p->protocol, p->cipher, p->bits,
		 p->algorithm_bits, PSTR(exchange));
	if (p->trust == TLS_ANONYMOUS)
		buf_add_text(&b, SSL_get_verify_mode(t->ssl) == SSL_VERIFY_NONE
			     ? "No client certificate requested" : "Client did not present a certificate");
	else
		buf_addf(&b, "Client CN \"%.*s\", Issuer \"%.*s\" (%s)", PSTR(p->subject), PSTR(p->issuer),
			 p->trust == TLS_TRUSTED ? "verified OK" : "not verified");
	return arena_copy(a, buf_str(&b));
}

void tls_peer(const struct tls *t, struct arena *a, struct tls_peer *ret)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
	AUTO(buf) exchange = BUF(2048);

	*ret = (struct tls_peer){
		.protocol = SSL_get_version(t->ssl), .cipher = SSL_CIPHER_get_name(cipher), .why = STR_NONE,
		.whose = "", .subject = STR_NONE,
		.issuer = STR_NONE, .fingerprint = STR_NONE, .key_fingerprint = STR_NONE,
		.resumed = SSL_session_reused(t->ssl) == 1, .uses_1_3 = SSL_version(t->ssl) >= TLS1_3_VERSION,
	};
	ret->bits = SSL_CIPHER_get_bits(cipher, &ret->algorithm_bits);
	ERR_clear_error();
	judge_certificate(t, a, ret);
	if (ret->uses_1_3)
		add_key_exchange(&exchange, t);
	ERR_clear_error();
	ret->summary = arena_fmt(a, "%s with cipher %s (%d/%d bits)%.*s", ret->protocol, ret->cipher,
				 ret->bits, ret->algorithm_bits, PSTR(buf_str(&exchange)));
	ret->received = received_words(t, ret, str_skip(buf_str(&exchange), 1), a);
}
