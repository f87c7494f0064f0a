/* SPDX-License-Identifier: ISC */
/* What dns_use() set, for this room. */
#ifndef ROAD_DNS_SETTINGS_H
#define ROAD_DNS_SETTINGS_H

#include "lib/dns/dns.h"

struct dns_settings {
	char path[256];
	bool ipv4, ipv6;
	int64_t timeout_ms;
};
const struct dns_settings *dns_settings(void);		/* as dns_use() left them */
/* Only from the cache, without waiting; false: not there. */
bool dns_query_kept(struct arena *a, struct str name, enum dns_type type, struct dns_answer *ret);

#endif
