/* SPDX-License-Identifier: ISC */
/*
 * How much is logged about whom: the level of all sessions (smtpd_tls_loglevel and its kin), and
 * tables that know better about some peers. How much of a session that is traced byte by byte is
 * shown, and how many of them, is in trace.c.
 */
#include <errno.h>

#include "lib/io/net.h"
#include "lib/table/table.h"
#include "lib/tls/tls.h"

int tls_loglevel_parse(struct str text, int *ret, struct buf *why)
{
	static const struct { struct str name; int level; } names[] = {
		{ STR_INIT("none"), 0 }, { STR_INIT("routine"), 1 }, { STR_INIT("summary"), 1 },
		{ STR_INIT("debug"), 2 }, { STR_INIT("verbose"), 2 },
		{ STR_INIT("untrusted"), 2 }, { STR_INIT("peercert"), 2 }, { STR_INIT("certmatch"), 2 },
		{ STR_INIT("cache"), 2 }, { STR_INIT("ssl-debug"), 2 },
		{ STR_INIT("ssl-expert"), 3 }, { STR_INIT("ssl-handshake-packet-dump"), 3 },
		{ STR_INIT("ssl-developer"), 4 },
		{ STR_INIT("ssl-session-packet-dump"), 4 },
	};
	struct str word;

	*ret = 0;
	while (str_token(&text, ", \t\r\n", &word)) {
		int64_t level = -1;

		str_to_int(word, 0, 4, &level);
		for (size_t i = 0; i < COUNT_OF(names); i++)
			if (str_is_nocase(word, names[i].name))
				level = names[i].level;
		if (level < 0) {
			buf_addf(why, "\"%.*s\" is no log level: a number from 0 to 4, or one of Postfix's names for these",
				 PSTR(word));
			return -EINVAL;
		}
		*ret = MAX(*ret, (int) level);
	}
	return 0;
}

int tls_logging_open(const char *name, const char *level, const char *maps, struct tls_logging *ret,
		     struct buf *why)
{
	AUTO(buf) words = BUF_WORDS;
	int r = tls_loglevel_parse(str_of(level), &ret->level, &words);

	if (r < 0)
		buf_addf(why, "%s: %s", name, buf_text(&words));
	else if ((r = tables_open(str_of(maps), TABLE_FOLD_KEY, &ret->maps, &words)) < 0)
		buf_addf(why, "%s_maps: %s", name, buf_text(&words));
	return r;
}

/* 192.0.2.1, then 192.0.2, 192.0, 192; of IPv6 likewise at colons. */
static int find_address(struct tables *maps, struct arena *a, struct str address, struct str *ret_value)
{
	const char separator = str_find(address, ':') >= 0 ? ':' : '.';
	int r = tables_get(maps, a, address, ret_value);
	ssize_t at;

	while (r == 0 && (at = str_find_last(address, separator)) > 0) {
		address = str_head(address, (size_t) at);
		while (str_ends(address, STR(":")))
			address.len--;
		r = tables_get_part(maps, a, address, ret_value);
	}
	return r;
}

int tls_loglevel_of(const struct tls_logging *l, struct arena *a, const struct str *peer, size_t n,
		    struct buf *why)
{
	struct str value, key;
	int level, r = 0;

	if (tables_are_empty(l->maps))
		return l->level;
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct address_ip ip;

		if (peer[i].len > 0)
			r = ip_parse(peer[i], &ip) >= 0 ? find_address(l->maps, a, peer[i], &value)
			    : tables_get_domain(l->maps, a, peer[i], &key, &value);
	}
	if (r < 0)
		buf_addf(why, "%s", tables_why(l->maps));
	return r > 0 && tls_loglevel_parse(value, &level, why) == 0 ? level : l->level;
}
