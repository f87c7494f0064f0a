/* SPDX-License-Identifier: ISC */
/*
 * tls_server_sni_maps: certificates by the name that a client asks for in the TLS handshake. Keys
 * are the name, then its parents with a dot before them.
 */
#include <errno.h>

#include "lib/log/log.h"
#include "lib/mail/mail_address.h"
#include "lib/table/files_value.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

static int look_up(struct session *s, struct arena *a, struct str name, struct buf *ret_pem, struct buf *why)
{
	struct str key, value;
	int r = tables_get_domain(the_smtpd->sni_maps, a, name, &key, &value);

	if (r < 0)
		buf_addf(why, "tls_server_sni_maps: %s", tables_why(the_smtpd->sni_maps));
	else if (r == 0)
		log_info("TLS SNI %.*s from %s not matched, using default chain", PSTR(name),
			 buf_text(&s->peer.shown));
	else
		r = decode_files_value(value, ret_pem, why) < 0 ? -EINVAL : 1;
	if (r > 0)
		s->sni = arena_copy(s->arena, name);
	return r;
}

int chains_for_name(void *session, struct str name, struct buf *ret_pem, struct buf *why)
{
	struct session *s = session;
	struct arena *a;
	int r;

	if (!hostname_is_valid(name, false)) {
		AUTO(buf) shown = BUF(1024);

		buf_add_printable(&shown, name);
		log_warning("TLS SNI %s from %s is invalid", buf_text(&shown), buf_text(&s->peer.shown));
		return 0;
	}
	a = arena_new("sni", NULL, 4 << 20);
	r = look_up(s, a, name, ret_pem, why);
	arena_wipe(a);			/* keys were in it */
	return r;
}
