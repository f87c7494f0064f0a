/* SPDX-License-Identifier: ISC */
/* IP addresses as text and as the kernel wants them. IPv4-mapped IPv6 becomes IPv4 at the door. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>

#include "lib/io/net.h"

static void unmap(struct address_ip *ip)
{
	static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	if (ip->family != AF_INET6 || memcmp(ip->bytes, mapped, sizeof(mapped)) != 0)
		return;
	ip->family = AF_INET;
	memmove(ip->bytes, ip->bytes + 12, 4);
	memset(ip->bytes + 4, 0, 12);
	ip->scope = 0;
}

int ip_parse(struct str text, struct address_ip *ret_ip)
{
	struct address_ip ip = { .family = AF_UNSPEC };
	struct str address = text, zone;
	char copy[INET6_ADDRSTRLEN], interface[IF_NAMESIZE];
	bool has_zone = str_find(text, '%') >= 0;

	if (has_zone) {
		zone = text;
		str_cut(&zone, '%', &address);
		if (zone.len == 0 || zone.len >= sizeof(interface))
			return -EINVAL;
		memcpy(interface, zone.at, zone.len);
		interface[zone.len] = 0;
	}
	if (address.len == 0 || address.len >= sizeof(copy) || memchr(address.at, 0, address.len) != NULL)
		return -EINVAL;
	memcpy(copy, address.at, address.len);
	copy[address.len] = 0;
	if (!has_zone && inet_pton(AF_INET, copy, ip.bytes) == 1) {
		ip.family = AF_INET;
	} else if (inet_pton(AF_INET6, copy, ip.bytes) == 1) {
		ip.family = AF_INET6;
		if (has_zone && (ip.scope = if_nametoindex(interface)) == 0)
			return -EINVAL;
		unmap(&ip);
	} else {
		return -EINVAL;
	}
	*ret_ip = ip;
	return 0;
}

int ip_parse_literal(struct str text, struct address_ip *ret_ip)
{
	struct address_ip ip;
	bool v6 = str_starts_nocase(text, STR("IPv6:"));
	struct str address = v6 ? str_skip(text, 5) : text;
	int result = ip_parse(address, &ip);

	if (result < 0)
		return result;
	if (v6 != (str_find(address, ':') >= 0))
		return -EINVAL;		/* a bare IPv6 address is no literal */
	*ret_ip = ip;
	return 0;
}

static void print_ipv4(const unsigned char bytes[4], char *to)
{
	for (int i = 0; i < 4; i++) {
		if (bytes[i] >= 100)
			*to++ = (char) ('0' + bytes[i] / 100);
		if (bytes[i] >= 10)
			*to++ = (char) ('0' + bytes[i] / 10 % 10);
		*to++ = (char) ('0' + bytes[i] % 10);
		*to++ = i < 3 ? '.' : 0;
	}
}

void ip_print(const struct address_ip *ip, char text[64])
{
	text[0] = 0;
	if (ip->family == AF_INET)
		print_ipv4(ip->bytes, text);
	else if (ip->family != AF_UNSPEC && inet_ntop(ip->family, ip->bytes, text, 64) == NULL)
		text[0] = 0;
}

struct str ip_text(struct arena *a, const struct address_ip *ip)
{
	char text[64];

	ip_print(ip, text);
	return arena_copy(a, str_of(text));
}

bool ip_is_same(const struct address_ip *a, const struct address_ip *b)
{
	return a->family == b->family && a->scope == b->scope
		&& memcmp(a->bytes, b->bytes, a->family == AF_INET ? 4 : 16) == 0;
}

bool ip_is_loopback(const struct address_ip *ip)
{
	static const unsigned char v6[16] = { [15] = 1 };

	return ip->family == AF_INET ? ip->bytes[0] == 127 : memcmp(ip->bytes, v6, sizeof(v6)) == 0;
}

void ip_from_sockaddr(const struct sockaddr *sa, struct address_ip *ret_ip)
{
	struct address_ip ip = { .family = AF_UNSPEC };

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in4 = (const struct sockaddr_in *) (const void *) sa;

		ip.family = AF_INET;
		memcpy(ip.bytes, &in4->sin_addr, 4);
		ip.port = ntohs(in4->sin_port);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) (const void *) sa;

		ip.family = AF_INET6;
		memcpy(ip.bytes, &in6->sin6_addr, 16);
		ip.port = ntohs(in6->sin6_port);
		ip.scope = in6->sin6_scope_id;
		unmap(&ip);
	}
	*ret_ip = ip;
}

socklen_t ip_to_sockaddr(const struct address_ip *ip, struct sockaddr_storage *ret_sa)
{
	memset(ret_sa, 0, sizeof(*ret_sa));
	if (ip->family == AF_INET) {
		struct sockaddr_in *in4 = (struct sockaddr_in *) (void *) ret_sa;

		in4->sin_family = AF_INET;
		in4->sin_port = htons(ip->port);
		memcpy(&in4->sin_addr, ip->bytes, 4);
		return sizeof(*in4);
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) (void *) ret_sa;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(ip->port);
		in6->sin6_scope_id = ip->scope;
		memcpy(&in6->sin6_addr, ip->bytes, 16);
		return sizeof(*in6);
	}
}

/* ---- host and port ---- */

int host_port_split(struct str spec, struct str *ret_host, struct str *ret_port)
{
	struct str host, port = STR_NONE;
	ssize_t at;

	if (spec.len > 0 && spec.at[0] == '[') {
		at = str_find(spec, ']');
		if (at < 0)
			return -EINVAL;
		host = str_make(spec.at + 1, (size_t) at - 1);
		spec = str_skip(spec, (size_t) at + 1);
		if (spec.len > 0 && spec.at[0] != ':')
			return -EINVAL;
		port = str_skip(spec, 1);
		if (spec.len == 1)
			return -EINVAL;
	} else {
		at = str_find(spec, ':');
		host = at < 0 ? spec : str_head(spec, (size_t) at);
		if (at >= 0) {
			port = str_skip(spec, (size_t) at + 1);
			if (port.len == 0 || str_find(port, ':') >= 0)
				return -EINVAL;		/* an IPv6 address needs brackets */
		}
	}
	if (str_find_any(host, "[] \t") >= 0 || str_find_any(port, "[]: \t") >= 0)
		return -EINVAL;
	*ret_host = host;
	*ret_port = port;
	return 0;
}
