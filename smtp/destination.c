/* SPDX-License-Identifier: ISC */
/*
 * The next hop's syntax: "domain", "[host]", "domain:port", "[host]:port", address literals in
 * brackets; for LMTP also "unix:path" and "inet:host:port". Several, separated by commas or blanks,
 * are tried in order.
 */
#include <errno.h>

#include "lib/dns/idn.h"
#include "smtp/smtp.h"

enum { SMTP_PORT = 25 };

/* As DNS, certificates and MTA-STS have it. What is no name stays as it is, and will not be found. */
static struct str name_of_host(struct str host, struct arena *a)
{
	char room[256];
	struct str ascii;

	return !str_is_ascii(host) && idn_to_ascii(host, room, &ascii) ? arena_copy(a,
			ascii) : arena_lower(a, host);
}

static int parse_unix(struct str path, struct arena *a, struct destination *ret)
{
	if (path.len == 0 || str_has_control(path))
		return -EINVAL;
	ret->path = arena_copy(a, path);
	ret->host = the_client.hostname;
	ret->key = arena_fmt(a, "unix:%.*s", PSTR(path));
	return 0;
}

static int parse_inet(struct str text, struct arena *a, struct destination *ret)
{
	bool brackets = text.len > 0 && text.at[0] == '[';
	struct str host, port;
	struct address_ip ip;

	if (str_ends(text, STR(":")))		/* no port, as if there were no colon */
		text = str_head(text, text.len - 1);
	if (host_port_split(text, &host, &port) < 0 || host.len == 0)
		return -EINVAL;
	ret->host = name_of_host(host, a);
	ret->use_mx = !brackets && !the_client.lmtp && ip_parse(host, &ip) < 0;
	ret->port = the_client.default_port;
	if (port.len > 0 && port_parse(port, &ret->port) < 0)
		return -EINVAL;
	ret->detect_loops = (port.len == 0 || ret->port == SMTP_PORT) && !the_client.lmtp;
	ret->key = arena_fmt(a, "%s:%.*s:%u", ret->use_mx ? "mx" : "host", PSTR(ret->host), ret->port);
	return 0;
}

int destinations_parse(struct str text, struct arena *a, struct destinations *ret)
{
	const bool is_relayhost = !the_client.lmtp && str_is_nocase(str_trim(text), the_client.relayhost);
	struct str one;

	while (str_token(&text, ", \t\r\n", &one)) {
		struct destination d = { .named_by = is_relayhost ? "relayhost" : NULL };
		int result;

		if (str_starts(one, STR("inet:")))
			one = str_skip(one, 5);
		d.text = arena_copy(a, one);
		if (the_client.lmtp && str_starts(one, STR("unix:")))
			result = parse_unix(str_skip(one, 5), a, &d);
		else
			result = parse_inet(one, a, &d);
		if (result < 0)
			return result;
		*vec_add(a, ret) = d;
	}
	return ret->len > 0 ? 0 : -EINVAL;
}
