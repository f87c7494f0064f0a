/* SPDX-License-Identifier: ISC */
#include "lib/table/network.h"

#include <arpa/inet.h>
#include <errno.h>

static int parse_address(struct str text, struct network *n)
{
	char ended[64];

	if (text.len >= 2 && text.at[0] == '[' && text.at[text.len - 1] == ']')
		text = str_make(text.at + 1, text.len - 2);
	if (text.len == 0 || text.len >= sizeof(ended))
		return -EINVAL;
	memcpy(ended, text.at, text.len);
	ended[text.len] = 0;
	n->family = strchr(ended, ':') != NULL ? AF_INET6 : AF_INET;
	return inet_pton(n->family, ended, n->bytes) == 1 ? 0 : -EINVAL;
}

/* Clears the bits behind the length; true when none was set. */
static bool clear_host_bits(struct network *n)
{
	bool clean = true;

	for (unsigned i = 0; i < sizeof(n->bytes); i++) {
		unsigned kept = i * 8 >= n->bits ? 0 : MIN(n->bits - i * 8, 8);
		unsigned char mask = (unsigned char) (0xff00 >> kept);

		clean = clean && (n->bytes[i] & ~mask) == 0;
		n->bytes[i] &= mask;
	}
	return clean;
}

/* ::ffff:a.b.c.d/96+n is an IPv4 block, as addresses are stored that way. */
static void unmap(struct network *n)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (n->family != AF_INET6 || n->bits < 96 || memcmp(n->bytes, mapped, 12) != 0)
		return;
	n->family = AF_INET;
	n->bits -= 96;
	memmove(n->bytes, n->bytes + 12, 4);
	memset(n->bytes + 4, 0, 12);
}

int network_parse(struct str text, struct network *ret_n, struct buf *why)
{
	struct network n = { 0 };
	struct str length = text, address;
	bool has_length;
	int64_t bits;
	char right[INET6_ADDRSTRLEN];

	has_length = str_cut(&length, '/', &address);
	if (parse_address(address, &n) < 0) {
		buf_addf(why, "bad address pattern: \"%.*s\"", PSTR(str_head(text, 60)));
		return -EINVAL;
	}
	n.bits = n.family == AF_INET ? 32 : 128;
	if (has_length) {
		if (str_to_int(length, 0, n.bits, &bits) < 0) {
			buf_addf(why, "bad network length: \"%.*s\"", PSTR(str_head(text, 60)));
			return -EINVAL;
		}
		n.bits = (unsigned) bits;
	}
	if (!clear_host_bits(&n)) {
		buf_addf(why, "non-null host address bits in \"%.*s\", perhaps you should use \"%s/%u\" instead", PSTR(str_head(text, 60)),
			 inet_ntop(n.family, n.bytes, right, sizeof(right)), n.bits);
		return -EINVAL;
	}
	unmap(&n);
	*ret_n = n;
	return 0;
}

bool network_has(const struct network *n, const struct address_ip *ip)
{
	unsigned whole = n->bits / 8, rest = n->bits % 8;

	if (n->family != ip->family || memcmp(n->bytes, ip->bytes, whole) != 0)
		return false;
	return rest == 0 || (ip->bytes[whole] & (0xff00 >> rest) & 0xff) == n->bytes[whole];
}
