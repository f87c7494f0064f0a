/* SPDX-License-Identifier: ISC */
/*
 * Names of hosts and address literals: what may stand behind the '@' (RFC 5321 4.1.2, 4.1.3; RFC 1123
 * 2.1).
 */
#include "lib/mail/mail_address.h"

#include <arpa/inet.h>

#include "lib/mail/atext.h"

static bool is_label_octet(char c, bool utf8)
{
	return is_alnum(c) || c == '-' || c == '_' || (utf8 && (unsigned char) c > 127);
}

static bool label_is_valid(struct str label, bool utf8)
{
	if (label.len == 0 || label.len > 63 || label.at[0] == '-' || label.at[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++)
		if (!is_label_octet(label.at[i], utf8))
			return false;
	return true;
}

bool hostname_is_valid(struct str name, bool utf8)
{
	bool all_numeric = true, more = true;
	struct str label;

	if (name.len == 0 || name.len > 255 || (utf8 && !str_is_utf8(name)))
		return false;
	for (size_t i = 0; i < name.len; i++)
		all_numeric = all_numeric && (is_digit(name.at[i]) || name.at[i] == '.');
	if (all_numeric)		/* an address without brackets, or nonsense */
		return false;
	while (more) {
		more = str_cut(&name, '.', &label);
		if (!label_is_valid(label, utf8))
			return false;
	}
	return true;
}

static bool is_ip(int family, struct str text)
{
	char copy[INET6_ADDRSTRLEN + 1];
	unsigned char address[16];

	if (text.len >= sizeof(copy) || memchr(text.at, 0, text.len) != NULL)
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = 0;
	return inet_pton(family, copy, address) == 1;
}

bool domain_literal_is_valid(struct str text)
{
	if (text.len < 3 || text.at[0] != '[' || text.at[text.len - 1] != ']')
		return false;
	text = str_make(text.at + 1, text.len - 2);
	if (str_starts_nocase(text, STR("IPv6:")))
		return is_ip(AF_INET6, str_skip(text, 5));
	return is_ip(AF_INET, text);
}
