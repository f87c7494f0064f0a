/* SPDX-License-Identifier: ISC */
#include "smtpd/mail_host.h"

static enum mail_host by_address(struct arena *a, struct str domain)
{
	struct dns_answer answer;

	dns_addresses(a, domain, &answer);
	switch (answer.status) {
	case DNS_OK:
		return answer.count > 0 ? MAIL_HOST_YES : MAIL_HOST_NO;
	case DNS_CANNOT_TELL:
	case DNS_BOGUS:
		return MAIL_HOST_CANNOT_TELL;
	default:
		return MAIL_HOST_NO;
	}
}

enum mail_host find_mail_host(struct arena *a, struct str domain)
{
	struct dns_answer answer;
	enum mail_host found;

	dns_query(a, domain, DNS_MX, &answer);
	switch (answer.status) {
	case DNS_OK:
		return answer.count == 1 && answer.records[0].mx.host.len == 0
		       ? MAIL_HOST_NULL_MX : MAIL_HOST_YES;
	case DNS_NO_DOMAIN:
	case DNS_BAD_NAME:
		return MAIL_HOST_NO;
	case DNS_NO_DATA:
		return by_address(a, domain);
	default:			/* an address would be proof enough, its absence is none */
		found = by_address(a, domain);
		return found == MAIL_HOST_YES ? found : MAIL_HOST_CANNOT_TELL;
	}
}
