/* SPDX-License-Identifier: ISC */
/* The first byte chooses a type; the rest are the records of a reply, and a name. */
#include "lib/dns/idn.h"
#include "lib/dns/rdata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = { DNS_A, DNS_NS, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA,
					       DNS_SRV, DNS_TLSA };
	struct arena *a;
	struct dns_record *records;
	struct str rest, name;
	size_t count, malformed;
	char room[256];

	if (size == 0)
		return 0;
	a = arena_new("fuzz", NULL, 64 << 20);
	rest = str_make((const char *) data + 1, size - 1);
	if (dns_parse_records(a, types[data[0] % COUNT_OF(types)], rest, &count, &records, &malformed) == 0
	    && count > 0 && types[data[0] % COUNT_OF(types)] == DNS_MX && records[0].mx.host.len > 253)
		abort();
	if (dns_name_is_valid(rest, room, &name) && (name.len > 253 || str_has_control(name)))
		abort();
	if (idn_to_ascii(rest, room, &name) && (name.len > 253 || !str_is_ascii(name)
						|| str_has_control(name)))
		abort();
	arena_free(a);
	return 0;
}
