/* SPDX-License-Identifier: ISC */
/*
 * One connection: the handshake, which waits as a coroutine does, and afterwards the stream's
 * transport, which makes single attempts. The library reads and writes the socket through a BIO of
 * our own: MSG_DONTWAIT whatever the socket's mode is, no SIGPIPE, and first what a stream had read
 * ahead.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/base/die.h"
#include "lib/tls/private.h"

enum { RECORD = 16 << 10, MOST_AHEAD = 64 << 10 };

/* ---- the socket ---- */

static int from_ahead(struct tls *t, char *at, size_t n)
{
	n = MIN(n, t->ahead.len);
	memcpy(at, t->ahead.at, n);
	buf_cut_front(&t->ahead, n);
	if (t->ahead.len == 0)
		buf_free(&t->ahead);
	return (int) n;
}

static int socket_read(BIO *b, char *at, int size)
{
	struct tls *t = BIO_get_data(b);
	ssize_t n;

	BIO_clear_retry_flags(b);
	if (t->ahead.len > 0)
		return from_ahead(t, at, (size_t) size);
	do
		n = recv(t->fd, at, (size_t) size, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		BIO_set_retry_read(b);
	else if (n < 0)
		t->error = -errno;
	t->ended = n == 0;
	tls_trace_bytes(t, true, at, (size_t) size, n);
	return (int) n;
}

static int socket_write(BIO *b, const char *at, int size)
{
	struct tls *t = BIO_get_data(b);
	ssize_t n;

	BIO_clear_retry_flags(b);
	do
		n = send(t->fd, at, (size_t) size, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		BIO_set_retry_write(b);
	else if (n < 0)
		t->error = -errno;
	tls_trace_bytes(t, false, at, (size_t) size, n);
	return (int) n;
}

static long socket_control(BIO *b, int what, long number, void *pointer)
{
	const struct tls *t = BIO_get_data(b);

	(void) number;
	(void) pointer;
	if (what == BIO_CTRL_EOF)
		return t->ended;
	return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *socket_method(void)
{
	static BIO_METHOD *method;

	if (method != NULL)
		return method;
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream's socket");
	if (method == NULL)
		die(EX_OSERR, "out of memory");
	BIO_meth_set_read(method, socket_read);
	BIO_meth_set_write(method, socket_write);
	BIO_meth_set_ctrl(method, socket_control);
	return method;
}

/* ---- single attempts ---- */

/*
 * What a call that returned n <= 0 means: 0 at the end, -EAGAIN with the events to wait for,
 * -errno. Words of the library go to why, if any.
 */
static int judge(struct tls *t, int n, short *ret_wait, struct buf *why)
{
	switch (SSL_get_error(t->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		*ret_wait = POLLIN;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		*ret_wait = POLLOUT;
		return -EAGAIN;
	case SSL_ERROR_WANT_CLIENT_HELLO_CB:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SSL:
		if (why != NULL)
			tls_library_words(why);
		break;
	}
	ERR_clear_error();
	t->broken = true;
	return t->error != 0 ? t->error : t->ended ? -EPIPE : -EPROTO;
}

static ssize_t receive(void *arg, void *at, size_t size, short *ret_wait)
{
	struct tls *t = arg;
	int n;

	ERR_clear_error();
	n = SSL_read(t->ssl, at, (int) MIN(size, 1 << 30));
	return n > 0 ? n : judge(t, n, ret_wait, NULL);
}

/*
 * Small pieces share a record. What is offered again after -EAGAIN begins with the same bytes, as
 * the library wants it.
 */
static ssize_t send_pieces(void *arg, const struct iovec *pieces, int count, short *ret_wait)
{
	static char record[RECORD];
	struct tls *t = arg;
	const void *from = record;
	size_t len = 0;
	int n;

	if (pieces[0].iov_len >= RECORD || count == 1) {
		from = pieces[0].iov_base;
		len = pieces[0].iov_len;
	}
	for (int i = 0; from == record && i < count && len < RECORD; i++) {
		size_t part = MIN(pieces[i].iov_len, RECORD - len);

		memcpy(record + len, pieces[i].iov_base, part);
		len += part;
	}
	ERR_clear_error();
	n = SSL_write(t->ssl, from, (int) MIN(len, 1 << 30));
	if (n > 0)
		return n;
	n = judge(t, n, ret_wait, NULL);
	return n == 0 ? -EPIPE : n;
}

static void tls_free(struct tls *t)
{
	SSL_free(t->ssl);
	buf_free(&t->ahead);
	free(t->resume_as);
	free(t);
}

/* One attempt at goodbye; nobody waits for the peer's. */
static void end(void *arg)
{
	struct tls *t = arg;

	ERR_clear_error();
	if (!t->broken && t->error == 0)
		SSL_shutdown(t->ssl);
	ERR_clear_error();
	tls_free(t);
}

static const struct stream_transport transport = { .receive = receive, .send = send_pieces, .end = end };

/* ---- the handshake ---- */

static int set_name(struct tls *t, const char *name)
{
	return name == NULL || name[0] == 0 || SSL_set_tlsext_host_name(t->ssl, name) == 1 ? 0 : -EINVAL;
}

static int apply(struct tls *t, const struct tls_wish *w)
{
	SSL_SESSION *session;
	int r = 0;

	tls_trace_begin(t, w);
	if (w->lenient)
		SSL_set_security_level(t->ssl, 0);
	if (w->protocols != NULL)
		r = tls_protocols_apply(w->protocols, t->ssl, NULL);
	if (r >= 0 && w->ciphers != NULL && SSL_set_cipher_list(t->ssl, w->ciphers) != 1)
		r = -EINVAL;
	if (r >= 0)
		r = set_name(t, w->sni);
	if (r >= 0 && w->anchor_count > 0) {
		t->has_anchors = true;
		return tls_dane_demand(t->ssl, w->anchors, w->anchor_count);
	}
	if (r < 0 || w->resume_as.len == 0 || t->session_s <= 0)
		return r;
	t->resume_as = get_memory(w->resume_as.len + 1);
	memcpy(t->resume_as, w->resume_as.at, w->resume_as.len);
	session = tls_session_take(w->resume_as);
	if (session != NULL)
		SSL_set_session(t->ssl, session);
	SSL_SESSION_free(session);
	return r;
}

static struct tls *tls_new(struct tls_context *c, int fd)
{
	struct tls *t = get_memory(sizeof(*t));
	BIO *socket = BIO_new(socket_method());

	t->ssl = SSL_new(c->ssl);
	if (t->ssl == NULL || socket == NULL)
		die(EX_OSERR, "out of memory");
	t->fd = fd;
	t->context = c;
	t->ahead = BUF(MOST_AHEAD);
	t->session_s = c->conf.session_s;
	t->trusts_server_certs = c->conf.server && c->conf.trust_server_certs;
	t->digest = EVP_get_digestbyname(c->conf.digest);
	BIO_set_data(socket, t);
	BIO_set_init(socket, 1);
	SSL_set_bio(t->ssl, socket, socket);
	SSL_set_app_data(t->ssl, t);
	if (c->conf.server && c->ticket_key_count == 0)
		tls_tickets_withhold(t->ssl);
	if (c->conf.server)
		SSL_set_accept_state(t->ssl);
	else
		SSL_set_connect_state(t->ssl);
	return t;
}

static int shake_hands(struct tls *t, const struct tls_wish *w, when_t until, struct buf *why)
{
	for (;;) {
		short events = 0;
		int n, r;

		ERR_clear_error();
		n = SSL_do_handshake(t->ssl);
		if (n == 1)
			return 0;
		r = judge(t, n, &events, why);
		if (r != -EAGAIN)
			return r == 0 ? -EPIPE : r;
		r = t->asked.state == NAME_WAITS ? tls_name_answer(t, w, why) : co_wait_fd(t->fd,
				events, until);
		if (r < 0)
			return r;
	}
}

static void take_ahead(struct tls *t, struct stream *s)
{
	while (stream_more(s)) {
		struct str bytes = stream_peek(s);

		if (bytes.len == 0 || buf_add(&t->ahead, bytes) < 0)
			return;
		stream_skip(s, bytes.len);
	}
}

int tls_begin(struct tls_context *c, struct stream *s, const struct tls_wish *w, bool keep, when_t until,
	      struct tls **ret, struct buf *why)
{
	struct tls *t = tls_new(c, stream_fd(s));
	int r;

	if (keep)
		take_ahead(t, s);
	stream_drop_input(s);
	ERR_clear_error();
	r = apply(t, w);
	if (r < 0)
		tls_library_words(why);
	else
		r = shake_hands(t, w, until, why);
	if (r < 0) {
		stream_fail(s, r);
		tls_forget(t);			/* it may be what the server stumbles over */
		tls_free(t);
		return r;
	}
	tls_trace_handshake_done(t);
	co_pass();				/* that was a millisecond of work: now the others */
	stream_set_transport(s, &transport, t);
	*ret = t;
	return 0;
}
