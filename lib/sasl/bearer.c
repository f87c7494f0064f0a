/* SPDX-License-Identifier: ISC */
/*
 * Tokens: XOAUTH2 as Google and Microsoft describe it, and what became of it, OAUTHBEARER (RFC
 * 7628). One message says all. A server that does not like the token says why in a challenge, and
 * gives its verdict after an empty answer (OAUTHBEARER: a single octet).
 */
#include "lib/sasl/bearer.h"

int bearer_xoauth2(const struct sasl_credentials *who, struct buf *ret)
{
	return buf_addf(ret, "user=%s\001auth=Bearer %s\001\001", who->user, who->password);
}

/* "=" and "," have a meaning there (RFC 5801 4). */
static int add_saslname(struct buf *to, const char *name)
{
	int r = 0;

	for (; *name != 0 && r == 0; name++)
		r = *name == ',' ? buf_add_text(to, "=2C") : *name == '=' ? buf_add_text(to,
				"=3D") : buf_add_byte(to, *name);
	return r;
}

int bearer_oauthbearer(const struct sasl_credentials *who, struct buf *ret)
{
	int r = buf_add_text(ret, "n,a=");

	if (r == 0)
		r = add_saslname(ret, who->user);
	if (r == 0)
		r = buf_addf(ret, ",\001host=%s\001port=%u\001auth=Bearer %s\001\001", who->host, who->port,
			     who->password);
	return r;
}
