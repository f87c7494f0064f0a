/* SPDX-License-Identifier: ISC */
#include "lib/dns/settings.h"

static struct dns_settings settings = { .path = "private/resolver", .ipv4 = true, .ipv6 = true,
					.timeout_ms = 60000 };

void dns_use(const char *resolver_path, bool ipv4, bool ipv6, int64_t timeout_ms)
{
	snprintf(settings.path, sizeof(settings.path), "%s", resolver_path);
	settings.ipv4 = ipv4;
	settings.ipv6 = ipv6;
	settings.timeout_ms = timeout_ms;
}

const struct dns_settings *dns_settings(void)
{
	return &settings;
}

const char *dns_status_text(enum dns_status s)
{
	switch (s) {
	case DNS_OK:
		return "";
	case DNS_NO_DOMAIN:
		return "Host not found";
	case DNS_NO_DATA:
		return "Host found but no data record of requested type";
	case DNS_BAD_NAME:
		return "invalid host or domain name";
	case DNS_BOGUS:
		return "Host not found, try again: DNSSEC validation failure";
	default:
		return "Host not found, try again";
	}
}
