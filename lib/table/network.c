/* SPDX-License-Identifier: ISC */
#include "lib/table/network.h"

#include <errno.h>

bool network_of_address(struct str text, struct network *ret_n)
{
	struct network n = { .family = str_find(text, ':') >= 0 ? AF_INET6 : AF_INET };
	char ended[INET6_ADDRSTRLEN];

	if (text.len >= sizeof(ended) || memchr(text.at, 0, text.len) != NULL)
		return false;
	memcpy(ended, text.at, text.len);
	ended[text.len] = 0;
	n.bits = n.family == AF_INET ? 32 : 128;
	*ret_n = n;
	return inet_pton(n.family, ended, ret_n->bytes) == 1;
}

/* Of "[address]" and "[address/length]" what is between them. */
static struct str without_brackets(struct str text)
{
	return text.len >= 2 && text.at[0] == '[' && text.at[text.len - 1] == ']' ? str_make(text.at + 1,
			text.len - 2) : text;
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

int network_parse(struct str text, struct network *ret_n, struct buf *why)
{
	struct network n;
	struct str length = without_brackets(text), address;
	bool has_length;
	int64_t bits;
	char right[INET6_ADDRSTRLEN];

	has_length = str_cut(&length, '/', &address);
	if (!network_of_address(without_brackets(address), &n)) {
		buf_addf(why, "bad address pattern: \"%.*s\"", PSTR(str_head(text, 60)));
		return -EINVAL;
	}
	if (has_length) {
		if (str_to_int(length, 0, n.bits, &bits) < 0) {
			buf_addf(why, "bad network length: \"%.*s\"", PSTR(str_head(text, 60)));
			return -EINVAL;
		}
		n.bits = (unsigned) bits;
	}
	if (!clear_host_bits(&n)) {
		buf_addf(why, "non-null host address bits in \"%.*s\", perhaps you should use \"%s/%u\" instead",
			 PSTR(str_head(text, 60)),
			 inet_ntop(n.family, n.bytes, right, sizeof(right)), n.bits);
		return -EINVAL;
	}
	*ret_n = n;
	return 0;
}

bool network_has(const struct network *n, int family, const unsigned char *bytes)
{
	unsigned whole = n->bits / 8, rest = n->bits % 8;

	if (n->family != family || memcmp(n->bytes, bytes, whole) != 0)
		return false;
	return rest == 0 || (bytes[whole] & (0xff00 >> rest) & 0xff) == n->bytes[whole];
}
