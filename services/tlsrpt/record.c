/* SPDX-License-Identifier: ISC */
#include "services/tlsrpt/record.h"

#include <errno.h>

#include "lib/dns/rdata.h"
#include "lib/io/net.h"
#include "lib/mail/mail_address.h"

static struct str trim_blanks(struct str s)
{
	while (s.len > 0 && is_blank(s.at[0]))
		s = str_skip(s, 1);
	while (s.len > 0 && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

/* %2C and the like (RFC 3986 2.1). What it stands for must be printable ASCII. */
static bool decode(struct str s, struct arena *a, struct str *ret)
{
	char *at = arena_get(a, s.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		int c = (unsigned char) s.at[i];

		if (c == '%') {
			if (i + 2 >= s.len || hex_value(s.at[i + 1]) < 0 || hex_value(s.at[i + 2]) < 0)
				return false;
			c = hex_value(s.at[i + 1]) << 4 | hex_value(s.at[i + 2]);
			i += 2;
		}
		if (!is_print((char) c) || c > 126)
			return false;
		at[n++] = (char) c;
	}
	*ret = str_make(at, n);
	return true;
}

/* Headers behind "?" would be the domain's words in our mail: they are left out. */
static bool parse_mailto(struct str rest, struct arena *a, struct place *ret)
{
	struct str address, local, domain, valid;
	char room[256];

	str_cut(&rest, '?', &address);
	if (!decode(address, a, &address) || !address_split(address, &local, &domain) || local.len == 0
	    || str_find_any(address, " ,;<>()[]\"\\") >= 0 || !dns_name_is_valid(domain, room, &valid))
		return false;
	*ret = (struct place){ .is_mail = true, .address = address };
	return true;
}

static bool parse_https(struct str rest, struct arena *a, struct place *ret)
{
	ssize_t slash = str_find(rest, '/');
	struct str authority = slash < 0 ? rest : str_head(rest, (size_t) slash), host, port, valid;
	int64_t number = 443;
	char room[256];

	for (size_t i = 0; i < rest.len; i++)
		if (rest.at[i] <= ' ' || rest.at[i] > '~' || rest.at[i] == '"' || rest.at[i] == '#')
			return false;
	if (host_port_split(authority, &host, &port) < 0 || !dns_name_is_valid(host, room, &valid)
	    || (port.len > 0 && str_to_int(port, 1, 65535, &number) < 0))
		return false;
	*ret = (struct place){ .host = arena_copy(a, valid), .port = (uint16_t) number,
			       .path = slash < 0 ? STR("/") : arena_copy(a, str_skip(rest, (size_t) slash)) };
	return true;
}

static void add_places(struct str value, struct arena *a, struct places *ret)
{
	struct str one;
	struct place p;

	while (str_token(&value, ",", &one)) {
		one = trim_blanks(one);
		if (ret->len == MOST_PLACES)
			return;
		if (str_starts_nocase(one, STR("mailto:")) ? parse_mailto(str_skip(one, 7), a, &p)
		    : str_starts_nocase(one, STR("https://")) && parse_https(str_skip(one, 8), a, &p))
			ret->at[ret->len++] = p;
	}
}

int record_parse(struct str text, struct arena *a, struct places *ret)
{
	struct places p = { .len = 0 };
	struct str field, key;
	bool has_rua = false;

	if (!str_cut(&text, ';', &field) || !str_is(trim_blanks(field), STR("v=TLSRPTv1"))
	    || field.at[0] != 'v')
		return 0;
	while (text.len > 0) {
		struct str value;

		str_cut(&text, ';', &field);
		value = trim_blanks(field);
		if (value.len == 0 && text.len == 0)
			break;
		if (!str_cut(&value, '=', &key) || key.len == 0 || value.len == 0)
			return -EINVAL;
		if (!str_is(key, STR("rua")) || has_rua)
			continue;
		has_rua = true;
		add_places(value, a, &p);
	}
	if (p.len == 0)
		return -EINVAL;
	*ret = p;
	return 1;
}
