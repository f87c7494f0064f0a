/* SPDX-License-Identifier: ISC */
#include "smtpd/client_count.h"

#include "lib/base/die.h"
#include "lib/base/map.h"
#include "smtpd/smtpd.h"

static struct map *counters;		/* client -> int *, only those above 0 */

static size_t length_of(const struct address_ip *ip)
{
	return ip->family == AF_INET ? 4 : 16;
}

/* An IPv6 customer has a whole network. */
struct str client_counted_as(struct arena *a, const struct address_ip *ip)
{
	const int64_t bits = ip->family == AF_INET ? the_smtpd->conf.smtpd_client_ipv4_prefix_length
			     : the_smtpd->conf.smtpd_client_ipv6_prefix_length;
	struct address_ip network = { .family = ip->family };
	char address[64];

	for (size_t i = 0; i < length_of(ip); i++) {
		int64_t left = bits - (int64_t) i * 8;
		unsigned mask = left >= 8 ? 0xff : left <= 0 ? 0 : 0xff00u >> left & 0xff;

		network.bytes[i] = (unsigned char) (ip->bytes[i] & mask);
	}
	ip_print(&network, address);
	return arena_fmt(a, bits == (int64_t) length_of(ip) * 8 ? "%s" : "%s/%d", address, (int) bits);
}

int client_enters(struct str client)
{
	int *count;

	if (counters == NULL)
		counters = map_new();
	count = map_get(counters, client);
	if (count == NULL) {
		count = get_memory(sizeof(*count));
		map_put(counters, client, count);
	}
	return ++*count;
}

int client_leaves(struct str client)
{
	int *count = map_get(counters, client);
	int left;

	BUG_UNLESS(count != NULL);
	left = --*count;
	if (left == 0)
		free(map_remove(counters, client));
	return left;
}
