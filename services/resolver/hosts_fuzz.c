/* SPDX-License-Identifier: ISC */
/*
 * A hosts file of any bytes: every name in it that is a name has records of the right size, and no
 * question is answered wrongly.
 */
#include "lib/base/die.h"
#include "lib/dns/rdata.h"
#include "services/resolver/hosts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct hosts *h, struct str name, enum dns_type type)
{
	AUTO(buf) records = BUF(1 << 16);
	struct arena *a = arena_new("fuzz", NULL, 16 << 20);
	struct dns_record *parsed;
	size_t count, malformed = 0;

	if (hosts_find(h, name, type, &records)) {
		BUG_UNLESS(dns_parse_records(a, type, buf_str(&records), &count, &parsed, &malformed) == 0);
		BUG_UNLESS(malformed == 0);
	} else {
		BUG_UNLESS(records.len == 0);
	}
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_make((const char *) data, MIN(size, 20000)), rest = text, word, name;
	struct hosts *h = hosts_parse(text);
	char room[256];

	ask(h, STR("localhost"), DNS_A);
	ask(h, STR("1.0.0.127.in-addr.arpa"), DNS_PTR);
	for (int i = 0; i < 200 && str_token(&rest, " \t\r\n#", &word); i++)
		if (dns_name_is_valid(word, room, &name)) {
			ask(h, name, DNS_A);
			ask(h, name, DNS_AAAA);
			ask(h, name, DNS_PTR);
		}
	hosts_free(h);
	return 0;
}
