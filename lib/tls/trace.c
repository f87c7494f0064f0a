/* SPDX-License-Identifier: ISC */
/*
 * What a handshake goes through, line by line, for whoever asked for it in tls_wish: the library's
 * states and each certificate that it looks at; the bytes on the wire, of the handshake or of all,
 * as far as tls_trace_limits let them be shown. The words are those of Postfix.
 */
#include "lib/base/clock.h"
#include "lib/tls/private.h"

enum { PER_LINE = 16 };

static void say(const struct tls *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(const struct tls *t, const char *format, ...)
{
	AUTO(buf) line = BUF(2048);
	va_list ap;

	va_start(ap, format);
	buf_addv(&line, format, ap);
	va_end(ap);
	t->trace(t->trace_arg, buf_text(&line));
}

/* ---- states ---- */

static void state_changed(const SSL *ssl, int where, int ret)
{
	const struct tls *t = SSL_get_app_data(ssl);
	const char *side = SSL_is_server(ssl) == 1 ? "SSL_accept" : "SSL_connect";

	if (where & SSL_CB_LOOP)
		say(t, "%s:%s", side, SSL_state_string_long(ssl));
	else if (where & SSL_CB_ALERT)
		say(t, "SSL3 alert %s:%s:%s", where & SSL_CB_READ ? "read" : "write",
		    SSL_alert_type_string_long(ret), SSL_alert_desc_string_long(ret));
	else if ((where & SSL_CB_EXIT) && ret == 0)
		say(t, "%s:failed in %s", side, SSL_state_string_long(ssl));
}

/* Whole seconds, counted from the first session of each. */
static bool may_begin(int64_t rate)
{
	static when_t until;
	static int64_t begun;

	if (mono_ms() >= until) {
		until = in(1000);
		begun = 0;
	}
	return rate == 0 || begun++ < rate;
}

void tls_trace_begin(struct tls *t, const struct tls_wish *w)
{
	if (w->trace == NULL || w->loglevel < 2)
		return;
	t->trace = w->trace;
	t->trace_arg = w->trace_arg;
	t->traced = w->loglevel == 2 ? TRACE_STATES : w->loglevel == 3 ? TRACE_HANDSHAKE_BYTES : TRACE_BYTES;
	t->trace_left = w->trace_limits.size == 0 ? INT64_MAX : w->trace_limits.size;
	SSL_set_info_callback(t->ssl, state_changed);
	if (t->traced >= TRACE_HANDSHAKE_BYTES && !may_begin(w->trace_limits.rate)) {
		say(t, "bytes are not shown: this is one of more than %lld sessions in a second",
		    (long long) w->trace_limits.rate);
		t->traced = TRACE_STATES;
	}
}

void tls_trace_handshake_done(struct tls *t)
{
	if (t->traced < TRACE_BYTES)
		t->traced = TRACE_NOTHING;
	SSL_set_info_callback(t->ssl, NULL);
}

void tls_trace_certificate(X509_STORE_CTX *x, int ok)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
	const struct tls *t = ssl == NULL ? NULL : SSL_get_app_data(ssl);
	X509 *at = X509_STORE_CTX_get_current_cert(x);
	AUTO(buf) printable = BUF(2048);
	char name[512] = "";

	if (t == NULL || t->traced < TRACE_STATES)
		return;
	if (at != NULL)
		X509_NAME_oneline(X509_get_subject_name(at), name, sizeof(name));
	buf_add_printable(&printable, str_of(name));
	say(t, "depth=%d verify=%d subject=%s", X509_STORE_CTX_get_error_depth(x), ok, buf_text(&printable));
}

/* ---- bytes ---- */

static void dump_line(const struct tls *t, size_t offset, const unsigned char *at, size_t n)
{
	AUTO(buf) line = BUF(256);

	buf_addf(&line, "%04zx ", offset);
	for (size_t i = 0; i < PER_LINE; i++)
		if (i < n)
			buf_addf(&line, "%02x%c", at[i], i == PER_LINE / 2 - 1 ? '|' : ' ');
		else
			buf_add_text(&line, i == PER_LINE / 2 - 1 ? "  |" : "   ");
	buf_add_byte(&line, ' ');
	for (size_t i = 0; i < n; i++)
		buf_addf(&line, "%s%c", i == PER_LINE / 2 ? " " : "", is_print((char) at[i]) ? at[i] : '.');
	t->trace(t->trace_arg, buf_text(&line));
}

void tls_trace_bytes(struct tls *t, bool received, const void *bytes, size_t asked, ssize_t n)
{
	const unsigned char *at = bytes;
	size_t shown;

	if (t->traced < TRACE_HANDSHAKE_BYTES)
		return;
	if (n <= 0) {
		say(t, "%s (%zu bytes => %zd)", received ? "read" : "write", asked, n);
		return;
	}
	say(t, "%s (%zu bytes => %zd (0x%zX))", received ? "read" : "write", asked, n, (size_t) n);
	shown = (size_t) MIN((int64_t) n, t->trace_left);
	for (size_t i = 0; i < shown; i += PER_LINE)
		dump_line(t, i, at + i, MIN(shown - i, PER_LINE));
	t->trace_left -= (int64_t) shown;
	if (t->trace_left > 0)
		return;
	say(t, "the rest is not shown");
	t->traced = TRACE_STATES;
}
