/* SPDX-License-Identifier: ISC */
#include "lib/smtp/haproxy.h"

#include <errno.h>

static const struct str text_start = STR_INIT("PROXY "), binary_start = STR_INIT("\r\n\r\n\0\r\nQUIT\n");

/* Could it become `start` with more bytes? */
static bool may_begin(struct str bytes, struct str start)
{
	size_t n = MIN(bytes.len, start.len);

	return memcmp(bytes.at, start.at, n) == 0;
}

/* ---- version 1: "PROXY TCP4 192.0.2.1 192.0.2.2 4711 25\r\n" ---- */

enum { LONGEST_LINE = 107 };

static int parse_end(struct str address, struct str port, int family, struct address_ip *ret)
{
	int64_t number;

	if (ip_parse(address, ret) < 0 || str_to_int(port, 0, 65535, &number) < 0)
		return -EBADMSG;
	/* an IPv4 address that is written as IPv6 is stored as IPv4 */
	if (ret->family != family && !(family == AF_INET6 && ret->family == AF_INET))
		return -EBADMSG;
	ret->port = (uint16_t) number;
	return 0;
}

static int parse_line(struct str line, struct haproxy *ret)
{
	struct str word[5];
	int family;

	if (!str_token(&line, " ", &word[0]))
		return -EBADMSG;
	if (str_is(word[0], STR("UNKNOWN")))
		return 0;		/* whatever follows */
	if (!str_is(word[0], STR("TCP4")) && !str_is(word[0], STR("TCP6")))
		return -EBADMSG;
	family = str_is(word[0], STR("TCP4")) ? AF_INET : AF_INET6;
	for (int i = 1; i < 5; i++)
		if (!str_token(&line, " ", &word[i]))
			return -EBADMSG;
	ret->proxied = true;
	if (line.len > 0 || parse_end(word[1], word[3], family, &ret->client) < 0
	    || parse_end(word[2], word[4], family, &ret->server) < 0)
		return -EBADMSG;
	return 0;
}

static ssize_t parse_text(struct str bytes, struct haproxy *ret)
{
	ssize_t end = str_find_str(str_head(bytes, LONGEST_LINE), STR("\r\n"));

	if (end < 0)
		return bytes.len >= LONGEST_LINE ? -EBADMSG : 0;
	if (parse_line(str_skip(str_head(bytes, (size_t) end), text_start.len), ret) < 0)
		return -EBADMSG;
	return end + 2;
}

/* ---- version 2 ---- */

enum { FIXED = 16, LOCAL = 0x20, PROXY = 0x21, TCP4 = 0x11, TCP6 = 0x21 };

static uint16_t get_u16(const char *at)
{
	return (uint16_t) ((unsigned char) at[0] << 8 | (unsigned char) at[1]);
}

static void get_ip(int family, const char *address, const char *port, struct address_ip *ret)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };

	if (family == AF_INET) {
		memcpy(&four.sin_addr, address, 4);
		memcpy(&four.sin_port, port, 2);
		ip_from_sockaddr((const struct sockaddr *) &four, ret);
	} else {
		memcpy(&six.sin6_addr, address, 16);
		memcpy(&six.sin6_port, port, 2);
		ip_from_sockaddr((const struct sockaddr *) &six, ret);
	}
}

static int parse_addresses(unsigned char kind, struct str body, struct haproxy *ret)
{
	size_t size = kind == TCP4 ? 4 : 16;
	int family = kind == TCP4 ? AF_INET : AF_INET6;

	if ((kind & 0xf0) == 0)
		return 0;		/* AF_UNSPEC */
	if ((kind != TCP4 && kind != TCP6) || body.len < 2 * size + 4)
		return -EBADMSG;
	get_ip(family, body.at, body.at + 2 * size, &ret->client);
	get_ip(family, body.at + size, body.at + 2 * size + 2, &ret->server);
	ret->proxied = true;
	return 0;
}

static ssize_t parse_binary(struct str bytes, struct haproxy *ret)
{
	unsigned char command, kind;
	size_t whole;

	if (bytes.len < FIXED)
		return 0;
	command = (unsigned char) bytes.at[12];
	kind = (unsigned char) bytes.at[13];
	whole = FIXED + (size_t) get_u16(bytes.at + 14);
	if ((command != LOCAL && command != PROXY) || whole > HAPROXY_LONGEST)
		return -EBADMSG;
	if (bytes.len < whole)
		return 0;
	if (command == PROXY && parse_addresses(kind, str_skip(str_head(bytes, whole), FIXED), ret) < 0)
		return -EBADMSG;
	return (ssize_t) whole;
}

ssize_t haproxy_parse(struct str bytes, struct haproxy *ret)
{
	*ret = (struct haproxy){ .proxied = false };
	if (bytes.len == 0)
		return 0;
	if (may_begin(bytes, binary_start))
		return bytes.len < binary_start.len ? 0 : parse_binary(bytes, ret);
	if (may_begin(bytes, text_start))
		return bytes.len < text_start.len ? 0 : parse_text(bytes, ret);
	return -EBADMSG;
}
