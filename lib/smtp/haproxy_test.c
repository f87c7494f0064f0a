/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <errno.h>

#include "lib/smtp/haproxy.h"

static void expect_ip(const struct address_ip *ip, const char *text, int port)
{
	char actual[64];

	ip_print(ip, actual);
	assert_string_equal(actual, text);
	assert_int_equal(ip->port, port);
}

/* Every shorter start of a good header asks for more. */
static ssize_t parse(struct str whole, size_t header, struct haproxy *ret)
{
	for (size_t n = 0; n < header; n++)
		assert_int_equal(haproxy_parse(str_head(whole, n), ret), 0);
	return haproxy_parse(whole, ret);
}

static void a_line_of_version_1_names_both_ends(void **state)
{
	struct haproxy h;

	(void) state;
	assert_int_equal(parse(STR("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\nEHLO"), 43, &h), 43);
	assert_true(h.proxied);
	expect_ip(&h.client, "192.0.2.1", 4711);
	expect_ip(&h.server, "198.51.100.2", 25);
	assert_int_equal(parse(STR("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), 44, &h), 44);
	expect_ip(&h.client, "2001:db8::1", 1);
	expect_ip(&h.server, "2001:db8::2", 65535);
}

static void unknown_and_local_mean_the_connection_itself(void **state)
{
	struct haproxy h;

	(void) state;
	assert_int_equal(parse(STR("PROXY UNKNOWN\r\n"), 15, &h), 15);
	assert_false(h.proxied);
	assert_int_equal(parse(STR("PROXY UNKNOWN a b c d e\r\n"), 25, &h), 25);
	assert_false(h.proxied);
	assert_int_equal(parse(STR("\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"), 16, &h), 16);
	assert_false(h.proxied);
	assert_int_equal(parse(STR("\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x02" "xy"), 18, &h), 18);
	assert_false(h.proxied);
}

static void a_header_of_version_2_names_both_ends_and_extensions_are_skipped(void **state)
{
	struct haproxy h;

	(void) state;
	assert_int_equal(parse(STR("\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" "\xc0\x00\x02\x01"
				   "\xc6\x33\x64\x02" "\x12\x67\x00\x19" "EHLO"), 28, &h), 28);
	assert_true(h.proxied);
	expect_ip(&h.client, "192.0.2.1", 4711);
	expect_ip(&h.server, "198.51.100.2", 25);
	assert_int_equal(parse(STR("\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x28"
				   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
				   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
				   "\0\x01\xff\xff" "\x04\0\x01z"), 56, &h), 56);
	expect_ip(&h.client, "2001:db8::1", 1);
	expect_ip(&h.server, "2001:db8::2", 65535);
}

static void everything_else_is_refused(void **state)
{
	static const struct str bad[] = {
		STR_INIT("EHLO client.example\r\n"), STR_INIT("PROXY\r\n"), STR_INIT("PROXY \r\n"),
		STR_INIT("PROXY TCP4\r\n"),
		STR_INIT("PROXY TCP4 192.0.2.1 198.51.100.2 4711\r\n"),
		STR_INIT("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25 x\r\n"),
		STR_INIT("PROXY TCP4 192.0.2.1 198.51.100.2 65536 25\r\n"),
		STR_INIT("PROXY TCP4 2001:db8::1 198.51.100.2 1 25\r\n"),
		STR_INIT("PROXY TCP6 192.0.2.999 198.51.100.2 1 25\r\n"),
		STR_INIT("PROXY UDP4 192.0.2.1 198.51.100.2 1 25\r\n"),
		STR_INIT("PROXY TCP4 192.0.2.1 198.51.100.2 1 25 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
		STR_INIT("\r\n\r\n\0\r\nQUIT\n\x11\x11\x00\x0c" "192019851004711"),
		STR_INIT("\r\n\r\n\0\r\nQUIT\n\x22\x11\x00\x0c" "192019851004711"),
		STR_INIT("\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0b" "19201985100"),
		STR_INIT("\r\n\r\n\0\r\nQUIT\n\x21\x12\x00\x0c" "192019851004711"),
		STR_INIT("\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"), STR_INIT("\r\n\r\nx"),
	};
	struct haproxy h;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(haproxy_parse(bad[i], &h), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_of_version_1_names_both_ends),
		cmocka_unit_test(unknown_and_local_mean_the_connection_itself),
		cmocka_unit_test(a_header_of_version_2_names_both_ends_and_extensions_are_skipped),
		cmocka_unit_test(everything_else_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
