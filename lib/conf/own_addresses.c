/* SPDX-License-Identifier: ISC */
/* inet_interfaces and inet_protocols; for mynetworks, the listeners and the detection of mail loops. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>

#include "lib/base/die.h"
#include "lib/conf/own_addresses.h"

enum { CONF_MOST_TEXT = 1 << 20 };

int conf_inet_protocols(struct conf *c, bool *ret_ipv4, bool *ret_ipv6, struct buf *why)
{
	struct arena *a = arena_new("inet_protocols", NULL, CONF_MOST_TEXT);
	struct str list = STR_NONE, one;
	int r = 0;

	*ret_ipv4 = *ret_ipv6 = false;
	conf_get(c, a, STR("inet_protocols"), &list);
	while (r == 0 && str_token(&list, ", \t\r\n", &one)) {
		if (str_is(one, STR("all")))
			*ret_ipv4 = *ret_ipv6 = true;
		else if (str_is(one, STR("ipv4")))
			*ret_ipv4 = true;
		else if (str_is(one, STR("ipv6")))
			*ret_ipv6 = true;
		else {
			r = conf_refuse(c, STR("inet_protocols"), why, "all, ipv4 or ipv6 expected");
		}
	}
	arena_free(a);
	return r;
}

static size_t ip_bytes(const struct address_ip *ip)
{
	return ip->family == AF_INET ? 4 : 16;
}

static bool from_sockaddr(const struct sockaddr *sa, struct address_ip *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (sa == NULL)
		return false;
	if (sa->sa_family == AF_INET)
		memcpy(ret->bytes, &((const struct sockaddr_in *) (const void *) sa)->sin_addr, 4);
	else if (sa->sa_family == AF_INET6)
		memcpy(ret->bytes, &((const struct sockaddr_in6 *) (const void *) sa)->sin6_addr, 16);
	else
		return false;
	ret->family = sa->sa_family;
	return true;
}

static int prefix_of_mask(const struct address_ip *mask)
{
	int bits = 0;

	for (size_t i = 0; i < ip_bytes(mask); i++)
		bits += __builtin_popcount(mask->bytes[i]);
	return bits;
}

static bool is_in_network(const struct address_ip *ip, const struct own_address *network)
{
	int full = network->prefix / 8, rest = network->prefix % 8;

	if (ip->family != network->ip.family || memcmp(ip->bytes, network->ip.bytes, (size_t) full) != 0)
		return false;
	return rest == 0 || (ip->bytes[full] ^ network->ip.bytes[full]) >> (8 - rest) == 0;
}

static void add(struct arena *a, struct own_addresses *list, const struct address_ip *ip, int prefix)
{
	for (size_t i = 0; i < list->len; i++)
		if (list->at[i].ip.family == ip->family && memcmp(list->at[i].ip.bytes, ip->bytes,
								  sizeof(ip->bytes)) == 0)
			return;
	*vec_add(a, list) = (struct own_address){ .ip = *ip, .prefix = prefix };
}

/*
 * Every address of every interface, IPv4 first. Without interfaces to be seen (a sandbox): the
 * loopback addresses.
 */
static void list_interfaces(struct arena *a, bool ipv4, bool ipv6, struct own_addresses *list)
{
	struct ifaddrs *all = NULL;
	struct address_ip ip, mask;

	if (getifaddrs(&all) < 0)
		all = NULL;
	for (int round = 0; round < 2; round++)
		for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next)
			if (from_sockaddr(i->ifa_addr, &ip) && ip.family == (round == 0 ? AF_INET : AF_INET6)
			    && (ip.family == AF_INET ? ipv4 : ipv6))
				add(a, list, &ip,
				    from_sockaddr(i->ifa_netmask, &mask) ? prefix_of_mask(&mask)
									 : (int) ip_bytes(&ip) * 8);
	if (all != NULL)
		freeifaddrs(all);
	if (list->len == 0 && ipv4)
		add(a, list, &(struct address_ip){ .family = AF_INET, .bytes = { 127, 0, 0, 1 } }, 8);
	if (list->len == 0 && ipv6)
		add(a, list, &(struct address_ip){ .family = AF_INET6, .bytes = { [15] = 1 } }, 128);
}

static void add_named(struct arena *a, const struct own_addresses *interfaces, const struct address_ip *ip,
		      struct own_addresses *list)
{
	int prefix = (int) ip_bytes(ip) * 8;

	for (size_t i = 0; i < interfaces->len; i++)
		if (is_in_network(ip, &interfaces->at[i]))
			prefix = interfaces->at[i].prefix;
	add(a, list, ip, prefix);
}

/* An address, with or without brackets, or a host name. 0, or one of getaddrinfo(3)'s errors. */
static int add_word(struct arena *a, struct str word, int family, const struct own_addresses *interfaces,
		    struct own_addresses *list)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = family }, *found = NULL;
	struct str host = word;
	struct address_ip ip;
	int r;

	if (host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']')
		host = str_make(host.at + 1, host.len - 2);
	r = getaddrinfo(str_c(a, host), NULL, &hints, &found);
	if (r != 0)
		return r;
	for (struct addrinfo *i = found; i != NULL; i = i->ai_next)
		if (from_sockaddr(i->ai_addr, &ip))
			add_named(a, interfaces, &ip, list);
	freeaddrinfo(found);
	return 0;
}

static void keep_loopback(struct arena *a, const struct own_addresses *all, struct own_addresses *list)
{
	for (size_t i = 0; i < all->len; i++)
		if (ip_is_loopback(&all->at[i].ip))
			add(a, list, &all->at[i].ip, all->at[i].prefix);
}

static void add_all(struct arena *a, const struct own_addresses *all, struct own_addresses *list)
{
	for (size_t i = 0; i < all->len; i++)
		add(a, list, &all->at[i].ip, all->at[i].prefix);
}

/* IPv4 before IPv6, and only the protocols in use. */
static void put_in_order(struct arena *a, const struct own_addresses *list, bool ipv4, bool ipv6,
			 struct own_addresses *ret)
{
	*ret = (struct own_addresses){ 0 };
	for (size_t i = 0; ipv4 && i < list->len; i++)
		if (list->at[i].ip.family == AF_INET)
			*vec_add(a, ret) = list->at[i];
	for (size_t i = 0; ipv6 && i < list->len; i++)
		if (list->at[i].ip.family == AF_INET6)
			*vec_add(a, ret) = list->at[i];
}

static int list_addresses(struct conf *c, struct arena *a, const char *parameter, struct own_addresses *ret,
			  struct buf *why)
{
	struct own_addresses interfaces = { 0 }, list = { 0 };
	struct str words = STR_NONE, word;
	bool ipv4, ipv6;
	int r = conf_inet_protocols(c, &ipv4, &ipv6, why);

	if (r < 0)
		return r;
	list_interfaces(a, ipv4, ipv6, &interfaces);
	conf_get(c, a, str_of(parameter), &words);
	while (str_token(&words, ", \t\r\n", &word)) {
		if (str_is(word, STR("all")))
			add_all(a, &interfaces, &list);
		else if (str_is(word, STR("loopback-only")))
			keep_loopback(a, &interfaces, &list);
		else if ((r = add_word(a, word, !ipv6 ? AF_INET : !ipv4 ? AF_INET6 : AF_UNSPEC,
				       &interfaces, &list)) != 0)
			return conf_refuse(c, str_of(parameter), why, gai_strerror(r));
	}
	put_in_order(a, &list, ipv4, ipv6, ret);
	return 0;
}

int conf_own_addresses(struct conf *c, struct arena *a, struct own_addresses *ret, struct buf *why)
{
	return list_addresses(c, a, "inet_interfaces", ret, why);
}

int conf_proxy_addresses(struct conf *c, struct arena *a, struct own_addresses *ret, struct buf *why)
{
	return list_addresses(c, a, "proxy_interfaces", ret, why);
}
