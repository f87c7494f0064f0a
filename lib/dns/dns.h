/* SPDX-License-Identifier: ISC */
/*
 * Client of the resolver service: many queries at once over one channel, and a small TTL-bound
 * cache in each process. "Does not exist", "cannot tell" and "bogus" are three different answers
 * everywhere.
 */
#ifndef ROAD_DNS_DNS_H
#define ROAD_DNS_DNS_H

#include "lib/io/net.h"

enum dns_type { DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_SOA = 6, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16,
		DNS_AAAA = 28, DNS_SRV = 33, DNS_TLSA = 52 };
enum dns_status {
	DNS_OK,				/* records follow */
	DNS_NO_DOMAIN,			/* the name does not exist (NXDOMAIN) */
	DNS_NO_DATA,			/* the name exists, without such records */
	DNS_CANNOT_TELL,		/* timeout, SERVFAIL, resolver down: temporary */
	DNS_BOGUS,			/* DNSSEC says that the answer is forged: temporary, and never used */
	DNS_BAD_NAME,			/* not a valid domain name: never asked */
};
enum dns_security { DNS_UNSIGNED, DNS_VALIDATED };

struct dns_mx { uint16_t preference; struct str host; };	/* host "" is the null MX (RFC 7505: ".") */
struct dns_tlsa { uint8_t usage, selector, matching; struct str data; };
struct dns_record {			/* the member that fits the asked type */
	union {
		struct address_ip ip;	/* A, AAAA */
		struct str name;	/* PTR, CNAME, NS; lower case, without the final dot */
		struct str text;	/* TXT: character strings joined */
		struct dns_mx mx;
		struct dns_tlsa tlsa;
		struct { uint16_t priority, weight, port; struct str target; } srv;
	};
};
struct dns_answer {
	enum dns_status status;
	enum dns_security security;
	struct str canonical;		/* the name at the end of the CNAME chain */
	size_t count;
	struct dns_record *records;	/* malformed ones left out (and counted in why) */
	/* words: "Host not found", "Host not found, try again", ... as Postfix logs them */
	struct str why;
};

/*
 * The name may be UTF-8 (SMTPUTF8): its A-labels are asked for. Everything in *ret lives in the
 * arena. Never fails otherwise than by status. Idempotent: asked once more when the resolver's
 * connection broke.
 */
void dns_query(struct arena *a, struct str name, enum dns_type type, struct dns_answer *ret) MAY_YIELD;
/*
 * A and AAAA as inet_protocols says, both at once; also numeric text. Status of the worse one only
 * if neither has records.
 */
void dns_addresses(struct arena *a, struct str host, struct dns_answer *ret) MAY_YIELD;
/* PTR of an address (in-addr.arpa, ip6.arpa). */
void dns_name_of(struct arena *a, const struct address_ip *ip, struct dns_answer *ret) MAY_YIELD;

/* Set once by lib/daemon: socket path, protocols. */
void dns_use(const char *resolver_path, bool ipv4, bool ipv6, int64_t timeout_ms);
const char *dns_status_text(enum dns_status s);

#endif
