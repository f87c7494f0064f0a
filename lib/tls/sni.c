/* SPDX-License-Identifier: ISC */
/*
 * The name that a client asks for (RFC 6066 3), and the certificates for it. The library's callback
 * must not wait, but the table with the certificates may have to: so the callback stops the
 * handshake, the coroutine asks, and the handshake goes on from there.
 */
#include <errno.h>

#include "lib/tls/private.h"

enum { LARGEST_CHAINS = 1 << 20 };

/* The first host name of the extension: list length, kind, length, name. False: there is none. */
static bool take_name(const unsigned char *at, size_t size, struct tls_name *n)
{
	size_t len;

	if (size < 5 || at[2] != TLSEXT_NAMETYPE_host_name)
		return false;
	len = (size_t) at[3] << 8 | at[4];
	if (len == 0 || len > sizeof(n->at) || len > size - 5)
		return false;
	memcpy(n->at, at + 5, len);
	n->len = (unsigned char) len;
	return true;
}

static int look_at_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls *t = SSL_get_app_data(ssl);
	const unsigned char *at;
	size_t size;

	(void) arg;
	if (t->asked.state == NAME_FAILED) {
		*alert = SSL_AD_INTERNAL_ERROR;
		return SSL_CLIENT_HELLO_ERROR;
	}
	/* a second hello, or the first after we were asked to wait */
	if (t->asked.state != NAME_NOT_LOOKED_AT)
		return SSL_CLIENT_HELLO_SUCCESS;
	t->asked.state = NAME_IS_NOT;
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &at, &size) != 1
	    || !take_name(at, size, &t->asked))
		return SSL_CLIENT_HELLO_SUCCESS;
	t->asked.state = NAME_WAITS;
	return SSL_CLIENT_HELLO_RETRY;
}

/* The client is told that its name was used. */
static int acknowledge(SSL *ssl, int *alert, void *arg)
{
	const struct tls *t = SSL_get_app_data(ssl);

	(void) alert;
	(void) arg;
	return t->asked.state == NAME_IS_OURS ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

void tls_names_listen(SSL_CTX *ssl)
{
	SSL_CTX_set_client_hello_cb(ssl, look_at_hello, NULL);
	SSL_CTX_set_tlsext_servername_callback(ssl, acknowledge);
}

int tls_name_answer(struct tls *t, const struct tls_wish *w, struct buf *why)
{
	AUTO(buf) pem = BUF(LARGEST_CHAINS);
	int r = t->context->conf.chains_for(w->chains_arg, str_make(t->asked.at, t->asked.len), &pem, why);

	if (r > 0)
		r = tls_use_text(t->ssl, buf_str(&pem), "the certificates for that name", why);
	if (r < 0)
		buf_add_text(why, "; ");
	OPENSSL_cleanse(pem.at, pem.len);
	t->asked.state = r < 0 ? NAME_FAILED : r > 0 ? NAME_IS_OURS : NAME_IS_NOT;
	ERR_clear_error();
	return r == -ECANCELED ? r : 0;		/* the client is told of a failure */
}
