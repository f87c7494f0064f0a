/* SPDX-License-Identifier: ISC */
/*
 * smtpd_upstream_proxy_protocol = haproxy: a proxy in front of us says first whose connection it
 * passes on. Who does not say it is no client: a direct connection to such a service could claim to
 * come from anywhere.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/log/log.h"
#include "lib/smtp/haproxy.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

static ssize_t read_header(struct session *s, struct haproxy *ret)
{
	struct str bytes = stream_peek(s->stream);
	ssize_t len = haproxy_parse(bytes, ret);

	while (len == 0 && stream_error(s->stream) == 0 && stream_peek_more(s->stream, &bytes))
		len = haproxy_parse(bytes, ret);
	if (len > 0)
		stream_skip(s->stream, (size_t) len);
	return len > 0 ? len : stream_error(s->stream) != 0 ? stream_error(s->stream) : -EBADMSG;
}

bool read_proxy_header(struct session *s)
{
	char from[64];
	struct haproxy h;
	ssize_t len;

	if (!the_smtpd->behind_proxy)
		return true;
	stream_deadline(s->stream, in(the_smtpd->conf.smtpd_upstream_proxy_timeout));
	len = read_header(s, &h);
	if (len > 0 && h.proxied) {
		s->peer.ip = h.client;
		s->local = h.server;
	}
	if (len <= 0) {
		ip_print(&s->peer.ip, from);
		log_warning("haproxy header from %s: %s", from,
			    len == -EBADMSG ? "not understood" : error_text((int) len));
	}
	return len > 0;
}
