/* SPDX-License-Identifier: ISC */
/* Addresses from the outside, all parsers of them; what was accepted must print and parse to the same. */
#include "lib/base/die.h"
#include "lib/mail/mail_address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(struct arena *a, struct str address)
{
	AUTO(buf) b = BUF(1 << 20);
	struct str rest, again = STR_NONE;

	BUG_UNLESS(!str_has_control(address));
	if (address.len == 0)
		return;
	BUG_UNLESS(address_quote_822(&b, address) == 0);
	rest = buf_str(&b);
	BUG_UNLESS(header_address_next(&rest, a, &again) == 1 && rest.len == 0 && str_is(address, again));
	BUG_UNLESS(address_unquote(buf_str(&b), a, &again) == 0 && str_is(address, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new("fuzz", NULL, 64 << 20);
	struct str in = str_make((const char *) data, MIN(size, 100000)), rest, address, user, extension;
	int r;

	for (int mode = 0; mode < 4; mode++) {
		rest = in;
		if (path_parse(&rest, a, mode & 1, mode & 2, &address) < 0)
			continue;
		check_round_trip(a, address);
		BUG_UNLESS((mode & 2) || str_is_ascii(address));
		local_part_split(address, STR("+-"), &user, &extension);
	}
	rest = in;
	while ((r = header_address_next(&rest, a, &address)) != 0)
		if (r > 0)
			check_round_trip(a, address);
	for (int mode = 0; mode < 2; mode++) {
		struct address_list list = { .rest = in, .is_lenient = mode };

		while ((r = address_list_next(&list, a, &address)) != 0)
			if (r > 0)
				check_round_trip(a, address);
	}
	address_unquote(in, a, &address);
	hostname_is_valid(in, true);
	hostname_is_valid(in, false);
	domain_literal_is_valid(in);
	arena_free(a);
	return 0;
}
