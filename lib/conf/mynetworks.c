/* SPDX-License-Identifier: ISC */
/* The default of mynetworks: this machine, its networks, or its address classes, as mynetworks_style says. */
#include <arpa/inet.h>

#include "lib/conf/computed.h"
#include "lib/conf/own_addresses.h"

static int style_prefix(struct str style, const struct own_address *o)
{
	bool v4 = o->ip.family == AF_INET;
	unsigned char first = o->ip.bytes[0];

	if (str_is(style, STR("subnet")) || (str_is(style, STR("class")) && !v4))
		return o->prefix;
	if (str_is(style, STR("class")))
		return first < 128 ? 8 : first < 192 ? 16 : first < 224 ? 24 : 32;
	return v4 ? 32 : 128;
}

static void add_network(struct buf *b, const struct own_address *o, int prefix)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char bytes[16];
	AUTO(buf) one = BUF_WORDS;

	for (int i = 0; i < 16; i++) {
		int keep = prefix - 8 * i;

		bytes[i] = keep >= 8 ? o->ip.bytes[i] : keep <= 0
			   ? 0 : (unsigned char) (o->ip.bytes[i] & 0xff00 >> keep);
	}
	inet_ntop(o->ip.family, bytes, text, sizeof(text));
	buf_addf(&one, o->ip.family == AF_INET ? " %s/%d " : " [%s]/%d ", text, prefix);
	if (str_find_str(buf_str(b), buf_str(&one)) < 0)
		buf_add(b, str_skip(buf_str(&one), 1));
}

struct str compute_mynetworks(struct conf *c, struct arena *a)
{
	AUTO(buf) list = BUF(1 << 20);
	AUTO(buf) ignored = BUF_WORDS;
	struct own_addresses own = { 0 };
	struct str style = STR_NONE;

	conf_get(c, a, STR("mynetworks_style"), &style);
	if (conf_own_addresses(c, a, &own, &ignored) < 0)
		return STR("127.0.0.1/32");	/* whoever opens the listeners refuses to start with words */
	buf_add_byte(&list, ' ');
	for (size_t i = 0; i < own.len; i++)
		add_network(&list, &own.at[i], style_prefix(style, &own.at[i]));
	return arena_copy(a, str_trim(buf_str(&list)));
}
