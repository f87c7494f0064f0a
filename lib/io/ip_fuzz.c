/* SPDX-License-Identifier: ISC */
/*
 * Addresses as text, with port or in brackets: what is accepted prints and parses to the same;
 * views lie within the text.
 */
#include "lib/base/die.h"
#include "lib/io/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct address_ip *ip)
{
	struct address_ip again;
	struct sockaddr_storage sa;
	char text[64];

	BUG_UNLESS(ip->family == AF_INET || ip->family == AF_INET6);
	ip_print(ip, text);
	if (ip->scope == 0) {
		BUG_UNLESS(ip_parse(str_of(text), &again) == 0 && ip_is_same(ip, &again));
		ip_to_sockaddr(ip, &sa);
		ip_from_sockaddr((const struct sockaddr *) (const void *) &sa, &again);
		BUG_UNLESS(ip_is_same(ip, &again));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_make((const char *) data, size), host, port;
	struct address_ip ip;

	if (ip_parse(text, &ip) == 0)
		check(&ip);
	if (ip_parse_literal(text, &ip) == 0)
		check(&ip);
	if (host_port_split(text, &host, &port) == 0) {
		BUG_UNLESS(host.len + port.len <= text.len);
		BUG_UNLESS(str_find_any(host, "[] \t") < 0 && str_find_any(port, "[]: \t") < 0);
	}
	return 0;
}
