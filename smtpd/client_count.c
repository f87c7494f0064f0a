/* SPDX-License-Identifier: ISC */
#include "smtpd/client_count.h"

#include "lib/base/die.h"
#include "lib/base/map.h"
#include "smtpd/smtpd.h"

static struct map *counters;		/* network -> int *, only those above 0 */

static size_t length_of(const struct address_ip *ip)
{
	return ip->family == AF_INET ? 4 : 16;
}

/* The address without the bits that do not count: an IPv6 customer has a whole network. Returns how many do. */
static int64_t network_of(const struct address_ip *ip, struct address_ip *ret)
{
	int64_t bits = ip->family == AF_INET ? the_smtpd->conf.smtpd_client_ipv4_prefix_length
					     : the_smtpd->conf.smtpd_client_ipv6_prefix_length;

	*ret = (struct address_ip){ .family = ip->family };
	for (size_t i = 0; i < length_of(ip); i++) {
		int64_t left = bits - (int64_t) i * 8;
		unsigned mask = left >= 8 ? 0xff : left <= 0 ? 0 : 0xff00u >> left & 0xff;

		ret->bytes[i] = (unsigned char) (ip->bytes[i] & mask);
	}
	return bits;
}

void client_network_print(const struct address_ip *ip, char text[80])
{
	struct address_ip network;
	int64_t bits = network_of(ip, &network);
	char address[64];

	ip_print(&network, address);
	snprintf(text, 80, bits == (int64_t) length_of(ip) * 8 ? "%s" : "%s/%d", address, (int) bits);
}

/* The key that sessions are counted under. */
static struct str network(const struct address_ip *ip, char key[17])
{
	struct address_ip of;

	network_of(ip, &of);
	key[0] = (char) length_of(ip);
	memcpy(key + 1, of.bytes, length_of(ip));
	return str_make(key, 1 + length_of(ip));
}

int client_enters(const struct address_ip *ip)
{
	char bytes[17];
	struct str key = network(ip, bytes);
	int *count;

	if (counters == NULL)
		counters = map_new();
	count = map_get(counters, key);
	if (count == NULL) {
		count = get_memory(sizeof(*count));
		map_put(counters, key, count);
	}
	return ++*count;
}

int client_leaves(const struct address_ip *ip)
{
	char bytes[17];
	struct str key = network(ip, bytes);
	int *count = map_get(counters, key);
	int left;

	BUG_UNLESS(count != NULL);
	left = --*count;
	if (left == 0)
		free(map_remove(counters, key));
	return left;
}
