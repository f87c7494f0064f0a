/* SPDX-License-Identifier: ISC */
#include "smtpd/client_count.h"

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/map.h"
#include "lib/co/co.h"
#include "smtpd/smtpd.h"

static struct map *counters;		/* network -> int *, only those above 0 */

/* The address without the bits that do not count: an IPv6 customer has a whole network. */
static struct str network(const struct address_ip *ip, char key[17])
{
	int64_t bits = ip->family == AF_INET ? the_smtpd->conf.smtpd_client_ipv4_prefix_length
					     : the_smtpd->conf.smtpd_client_ipv6_prefix_length;
	size_t len = ip->family == AF_INET ? 4 : 16;

	key[0] = (char) len;
	for (size_t i = 0; i < len; i++) {
		int64_t left = bits - (int64_t) i * 8;
		unsigned mask = left >= 8 ? 0xff : left <= 0 ? 0 : 0xff00u >> left & 0xff;

		key[1 + i] = (char) (ip->bytes[i] & mask);
	}
	return str_make(key, 1 + len);
}

static int count_up(struct map *m, const struct address_ip *ip)
{
	char bytes[17];
	struct str key = network(ip, bytes);
	int *count = map_get(m, key);

	if (count == NULL) {
		count = get_memory(sizeof(*count));
		map_put(m, key, count);
	}
	return ++*count;
}

int client_enters(const struct address_ip *ip)
{
	if (counters == NULL)
		counters = map_new();
	return count_up(counters, ip);
}

void client_leaves(const struct address_ip *ip)
{
	char bytes[17];
	struct str key = network(ip, bytes);
	int *count = map_get(counters, key);

	BUG_UNLESS(count != NULL);
	if (--*count == 0)
		free(map_remove(counters, key));
}

int client_authenticates(const struct address_ip *ip)
{
	static struct map *lately;		/* network -> int *, since the time unit began */
	static when_t until;

	if (lately == NULL || mono_ms() >= until) {
		map_free(lately, free);
		lately = map_new();
		until = in(the_smtpd->conf.anvil_rate_time_unit);
	}
	return count_up(lately, ip);
}
