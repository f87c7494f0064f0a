/* SPDX-License-Identifier: ISC */
/*
 * Keys and certificates out of PEM files. Files are read whole and parsed from memory, so that a
 * key that is looked at while it is being written is a parse error at worst. Nothing asks for a
 * passphrase: an encrypted key is refused with words.
 */
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/table/watch.h"
#include "lib/tls/private.h"

enum { LARGEST_FILE = 1 << 20 };

void tls_library_words(struct buf *why)
{
	/* what comes behind them is how the library looked for another way */
	enum { MOST = 3 };
	unsigned long code, last = 0;
	char text[256];
	int count = 0;

	if (ERR_peek_error() == 0)
		buf_add_text(why, "no reason was given");
	while ((code = ERR_get_error()) != 0) {
		if (code == last || count == MOST)
			continue;
		ERR_error_string_n(code, text, sizeof(text));
		buf_addf(why, "%s%s", count++ == 0 ? "" : "; ", text);
		last = code;
	}
}

/* ---- files ---- */

static int read_whole(int fd, const struct stat *st, const struct watch *w, struct str *ret, struct buf *why)
{
	size_t size = (size_t) st->st_size, got = 0;
	char *text;

	if (st->st_size > LARGEST_FILE) {
		buf_addf(why, "%s: too large for keys and certificates", w->path);
		return -EFBIG;
	}
	text = get_memory(size + 1);
	while (got < size) {
		ssize_t n = read(fd, text + got, size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (size_t) n;
	}
	*ret = str_make(text, got);
	return 0;
}

int tls_file_read(struct tls_file *f, struct buf *why)
{
	struct stat st;
	AUTO_FD fd = watch_open(f->watch, &st, why);
	int r = fd;

	if (fd >= 0) {
		watch_saw(f->watch, &st);
		r = read_whole(fd, &st, f->watch, &f->text, why);
	}
	f->error = MIN(r, 0);
	return f->error;
}

void tls_file_forget(struct tls_file *f)
{
	if (f->text.len > 0)
		OPENSSL_cleanse((char *) (uintptr_t) f->text.at, f->text.len);
	free((char *) (uintptr_t) f->text.at);
	f->text = (struct str){ NULL, 0 };
}

/* ---- one key with its certificates ---- */

struct chain {
	EVP_PKEY *key;
	X509 *leaf;
	STACK_OF(X509) *issuers;
};

static void chain_clear(struct chain *c)
{
	EVP_PKEY_free(c->key);
	X509_free(c->leaf);
	sk_X509_pop_free(c->issuers, X509_free);
	*c = (struct chain){ 0 };
}

/* For all connections, or for one. */
struct user { SSL_CTX *all; SSL *one; };

static int chain_use(struct chain *c, struct user u, const char *path, struct buf *why)
{
	int ok;

	if (c->key == NULL || c->leaf == NULL) {
		buf_addf(why, "%s: a private key and its certificate are needed, and there is no %s", path,
			 c->key == NULL ? "key" : "certificate");
		return -EINVAL;
	}
	ERR_clear_error();
	ok = u.all != NULL ? SSL_CTX_use_cert_and_key(u.all, c->leaf, c->key, c->issuers, 1)
	     : SSL_use_cert_and_key(u.one, c->leaf, c->key, c->issuers, 1);
	if (ok == 1)
		return 1;
	buf_addf(why, "%s: the private key and the certificate cannot be used: ", path);
	tls_library_words(why);
	return -EINVAL;
}

static int add_key(struct chain *c, const char *label, const char *header,
		   const unsigned char *data, long len)
{
	if (strstr(label, "ENCRYPTED") != NULL || strstr(header, "ENCRYPTED") != NULL || c->key != NULL)
		return -EINVAL;
	c->key = d2i_AutoPrivateKey(NULL, &data, len);
	return c->key == NULL ? -EINVAL : 0;
}

static int add_certificate(struct chain *c, const unsigned char *data, long len)
{
	X509 *x = d2i_X509(NULL, &data, len);

	if (x == NULL)
		return -EINVAL;
	if (c->leaf == NULL) {
		c->leaf = x;
		return 0;
	}
	if (c->issuers == NULL)
		c->issuers = sk_X509_new_null();
	if (c->issuers == NULL || sk_X509_push(c->issuers, x) <= 0)
		die(EX_OSERR, "out of memory");
	return 0;
}

/*
 * Adds the next thing of the text. 1: something; 0: the end; -errno. next_key: a key that begins
 * the next chain is left for the caller in *next.
 */
struct object { char *label, *header; unsigned char *data; long len; };

static void object_free(struct object *o)
{
	OPENSSL_free(o->label);
	OPENSSL_free(o->header);
	OPENSSL_clear_free(o->data, o->len > 0 ? (size_t) o->len : 0);
}

static int object_next(BIO *from, struct object *o)
{
	*o = (struct object){ 0 };
	ERR_clear_error();
	if (PEM_read_bio(from, &o->label, &o->header, &o->data, &o->len) == 1)
		return 1;
	return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE ? 0 : -EINVAL;
}

static bool is_key(const struct object *o)
{
	return str_ends(str_of(o->label), STR("PRIVATE KEY"));
}

static bool is_certificate(const struct object *o)
{
	return strcmp(o->label, "CERTIFICATE") == 0 || strcmp(o->label, "X509 CERTIFICATE") == 0;
}

static int bad_object(const char *path, const char *what, struct buf *why)
{
	buf_addf(why, "%s: %s cannot be read (encrypted keys cannot be used): ", path, what);
	tls_library_words(why);
	return -EINVAL;
}

static int use_chains(struct user u, struct str text, const char *path, struct buf *why)
{
	BIO *from = BIO_new_mem_buf(text.at, (int) text.len);
	struct chain c = { 0 };
	struct object o;
	int r, used = 0, count = 0;

	while ((r = object_next(from, &o)) > 0 && used >= 0) {
		if (is_key(&o) && c.key != NULL) {
			used = chain_use(&c, u, path, why);
			chain_clear(&c);
			count++;
		}
		if (used >= 0 && is_key(&o) && add_key(&c, o.label, o.header, o.data, o.len) < 0)
			used = bad_object(path, "a private key", why);
		else if (used >= 0 && is_certificate(&o) && add_certificate(&c, o.data, o.len) < 0)
			used = bad_object(path, "a certificate", why);
		object_free(&o);
	}
	if (r < 0 && used >= 0)
		used = bad_object(path, "it", why);
	object_free(&o);
	if (used >= 0) {
		used = chain_use(&c, u, path, why);
		count++;
	}
	chain_clear(&c);
	BIO_free(from);
	return used < 0 ? used : count;
}

int tls_use_chains(SSL_CTX *ssl, const struct tls_file *f, struct buf *why)
{
	return use_chains((struct user){ .all = ssl }, f->text, f->watch->path, why);
}

int tls_use_text(SSL *ssl, struct str text, const char *what, struct buf *why)
{
	SSL_certs_clear(ssl);
	return use_chains((struct user){ .one = ssl }, text, what, why);
}

/* Of one file what is wanted: certificates, or the first key. */
static int gather(struct chain *c, const struct tls_file *f, bool keys, struct buf *why)
{
	BIO *from = BIO_new_mem_buf(f->text.at, (int) f->text.len);
	struct object o;
	int r, result = 0;

	while ((r = object_next(from, &o)) > 0 && result == 0) {
		if (keys && is_key(&o) && c->key == NULL && add_key(c, o.label, o.header, o.data, o.len) < 0)
			result = bad_object(f->watch->path, "the private key", why);
		else if (!keys && is_certificate(&o) && add_certificate(c, o.data, o.len) < 0)
			result = bad_object(f->watch->path, "a certificate", why);
		object_free(&o);
	}
	if (r < 0 && result == 0)
		result = bad_object(f->watch->path, "it", why);
	object_free(&o);
	BIO_free(from);
	return result;
}

int tls_use_pair(SSL_CTX *ssl, const struct tls_file *cert, const struct tls_file *key, struct buf *why)
{
	struct chain c = { 0 };
	int r = gather(&c, cert, false, why);

	if (r >= 0)
		r = gather(&c, key, true, why);
	if (r >= 0)
		r = chain_use(&c, (struct user){ .all = ssl }, cert->watch->path, why);
	chain_clear(&c);
	return r;
}
