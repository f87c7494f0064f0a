/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/dns/cache.h"
#include "lib/dns/idn.h"
#include "lib/dns/rdata.h"
#include "lib/ipc/channel.h"

static struct arena *arena;

/* ---- record data ---- */

#define BYTES(literal) STR(literal)

static bool parses(enum dns_type type, struct str rdata, struct dns_record *ret)
{
	/* exactly as long as it says, so that a sanitizer sees a read beyond the end */
	char *exact = malloc(rdata.len + (rdata.len == 0));
	bool good;

	memcpy(exact, rdata.at, rdata.len);
	good = dns_parse_rdata(arena, type, str_make(exact, rdata.len), ret);
	free(exact);
	return good;
}

static void test_every_type_is_read_as_it_is_defined(void **state)
{
	struct dns_record r;
	char text[64];

	(void) state;
	assert_true(parses(DNS_A, BYTES("\x7f\0\0\x01"), &r));
	ip_print(&r.ip, text);
	assert_string_equal(text, "127.0.0.1");
	assert_true(parses(DNS_AAAA, BYTES("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"), &r));
	ip_print(&r.ip, text);
	assert_string_equal(text, "2001:db8::1");
	assert_true(parses(DNS_MX, BYTES("\0\x0a\2MX\7Example\3org\0"), &r));
	assert_int_equal(r.mx.preference, 10);
	assert_str(r.mx.host, "mx.example.org");
	assert_true(parses(DNS_MX, BYTES("\0\0\0"), &r));
	assert_str(r.mx.host, "");
	assert_true(parses(DNS_PTR, BYTES("\4host\2_x\0"), &r));
	assert_str(r.name, "host._x");
	assert_true(parses(DNS_CNAME, BYTES("\4""0/25\1x\0"), &r));
	assert_str(r.name, "0/25.x");
	assert_true(parses(DNS_TXT, BYTES("\2ab\0\3cde"), &r));
	assert_str(r.text, "abcde");
	assert_true(parses(DNS_SRV, BYTES("\0\1\0\2\0\x19\1h\0"), &r));
	assert_int_equal(r.srv.port, 25);
	assert_str(r.srv.target, "h");
	assert_true(parses(DNS_TLSA, BYTES("\3\1\1" "01234567890123456789012345678901"), &r));
	assert_int_equal(r.tlsa.usage, 3);
	assert_int_equal(r.tlsa.data.len, 32);
	assert_true(parses(DNS_TLSA, BYTES("\3\1\0x"), &r));
}

static void test_malformed_data_is_refused(void **state)
{
	static const struct { enum dns_type type; struct str data; } bad[] = {
		{ DNS_A, STR_INIT("") }, { DNS_A, STR_INIT("\1\2\3") }, { DNS_A, STR_INIT("\1\2\3\4\5") },
		{ DNS_AAAA, STR_INIT("\1\2\3\4") },
		{ DNS_MX, STR_INIT("") }, { DNS_MX, STR_INIT("\0") }, { DNS_MX, STR_INIT("\0\1") },
		{ DNS_MX, STR_INIT("\0\1\3ab") },
		{ DNS_MX, STR_INIT("\0\1\2ab") }, { DNS_MX, STR_INIT("\0\1\2ab\0x") },
		{ DNS_MX, STR_INIT("\0\1\xc0\x0c") },
		{ DNS_MX, STR_INIT("\0\1\4a\nb \0") }, { DNS_MX, STR_INIT("\0\1\3a.b\0") },
		{ DNS_MX, STR_INIT("\0\1\3a\0b\0") },
		{ DNS_MX, STR_INIT("\0\1\2\xc3\xbc\0") },
		{ DNS_PTR, STR_INIT("\0") }, { DNS_PTR, STR_INIT("\3a/b\0") }, { DNS_CNAME, STR_INIT("\0") },
		{ DNS_TXT, STR_INIT("") }, { DNS_TXT, STR_INIT("\3ab") },
		{ DNS_SRV, STR_INIT("\0\1\0\2\0") }, { DNS_SRV, STR_INIT("\0\1\0\2\0\3") },
		{ DNS_TLSA, STR_INIT("") }, { DNS_TLSA, STR_INIT("\3") }, { DNS_TLSA, STR_INIT("\3\1") },
		{ DNS_TLSA, STR_INIT("\3\1\1") },
		{ (enum dns_type) 99, STR_INIT("x") },
	};
	struct dns_record r;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (parses(bad[i].type, bad[i].data, &r))
			fail_msg("case %zu was taken for good", i);
}

static void test_a_name_of_more_than_255_bytes_is_refused(void **state)
{
	char name[300];
	struct dns_record r;

	(void) state;
	for (size_t i = 0; i < 4 * 64; i++)
		name[i] = i % 64 == 0 ? 63 : 'a';
	name[4 * 64] = 0;
	assert_false(parses(DNS_PTR, str_make(name, 4 * 64 + 1), &r));	/* 257 on the wire */
	name[3 * 64] = 61;
	memset(name + 3 * 64 + 1, 'a', 61);
	name[3 * 64 + 62] = 0;
	assert_true(parses(DNS_PTR, str_make(name, 3 * 64 + 63), &r));	/* 255 */
	assert_int_equal(r.name.len, 253);
}

static void test_malformed_records_are_counted_and_the_others_kept(void **state)
{
	struct dns_record *records;
	size_t count, malformed;

	(void) state;
	assert_int_equal(dns_parse_records(arena, DNS_A, BYTES("\0\4\1\2\3\4\0\3\1\2\3\0\4\5\6\7\x08"),
					   &count, &records, &malformed), 0);
	assert_int_equal(count, 2);
	assert_int_equal(malformed, 1);
	assert_int_equal(records[1].ip.bytes[0], 5);
	assert_int_equal(dns_parse_records(arena, DNS_A, BYTES("\0\4\1\2\3"), &count, &records, &malformed),
			 -EBADMSG);
	assert_int_equal(dns_parse_records(arena, DNS_A, BYTES("\0"), &count, &records, &malformed), -EBADMSG);
}

static void test_names_are_checked_before_they_are_asked_for(void **state)
{
	char room[256];
	struct str name;

	(void) state;
	assert_true(dns_name_is_valid(STR("_25._TCP.Mail.Example.org."), room, &name));
	assert_str(name, "_25._tcp.mail.example.org");
	assert_true(dns_name_is_valid(STR("localhost"), room, &name));
	assert_false(dns_name_is_valid(STR(""), room, &name));
	assert_false(dns_name_is_valid(STR("."), room, &name));
	assert_false(dns_name_is_valid(STR(".a"), room, &name));
	assert_false(dns_name_is_valid(STR("a..b"), room, &name));
	assert_false(dns_name_is_valid(STR("a b"), room, &name));
	assert_false(dns_name_is_valid(STR("[192.0.2.1]"), room, &name));
	assert_false(dns_name_is_valid(STR("a\\b"), room, &name));
	assert_false(dns_name_is_valid(STR("0123456789012345678901234567890123456789012345678901234567891234.x"),
				       room, &name));
}

static void test_international_names_become_ascii(void **state)
{
	static const struct { const char *name, *ascii; } cases[] = {
		{ "b\xc3\xbc" "cher.example", "xn--bcher-kva.example" },
		{ "M\xc3\x9cNCHEN.example.", "xn--mnchen-3ya.example" },
		{ "fa\xc3\x9f.de", "xn--fa-hia.de" },
		{ "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xbc\xd0\xb5\xd1\x80", "xn--e1afmkfd" },
		{ "\xd0\x9f\xd0\xa0\xd0\x98\xd0\x9c\xd0\x95\xd0\xa0", "xn--e1afmkfd" },
		{ "\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88", "xn--r8jz45g.xn--zckzah" },
		{ "\xcf\x80\xce\xb1\xcf\x81\xce\xac\xce\xb4\xce\xb5\xce\xb9\xce\xb3\xce\xbc\xce\xb1",
		  "xn--hxajbheg2az3al" },
		{ "\xf0\x90\x8c\xb0.x", "xn--ec8c.x" },
		/* u and a diaeresis */
		{ "bu\xcc\x88" "cher.example", "xn--bcher-kva.example" },
		{ "\xef\xbc\xa2\xc3\x9c" "CHER.example", "xn--bcher-kva.example" },	/* a wide B */
		/* an ideographic full stop */
		{ "b\xc3\xbc" "cher\xe3\x80\x82" "example", "xn--bcher-kva.example" },
		{ "_dmarc.b\xc3\xbc" "cher.example", "_dmarc.xn--bcher-kva.example" },
	};
	static const char *const bad[] = { "b\xc3", "\xc3\xbc..x", "", "a\xc2\xa0" "b", "a\xe2\x80\x8d" "b",
					   "\xc3\xbc x", "\xc3\xbc@x", "\xee\x80\x80.x" };
	char room[256], much[600] = "";
	struct str name;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_true(idn_to_ascii(str_of(cases[i].name), room, &name));
		assert_str(name, cases[i].ascii);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (idn_to_ascii(str_of(bad[i]), room, &name))
			fail_msg("bad name %zu became %.*s", i, PSTR(name));
	for (size_t i = 0; i < 62; i++)
		memcpy(much + 2 * i, "\xc3\xbc", 3);
	assert_true(idn_to_ascii(str_of("\xc3\xbc"), room, &name));
	assert_false(idn_to_ascii(str_of(much), room, &name) && name.len > 63);
	for (size_t i = 0; i < 100; i++)
		memcpy(much + 5 * i, "\xc3\xbc" "aa.", 6);
	assert_false(idn_to_ascii(str_of(much), room, &name));
}

static void test_ascii_forms_become_international_again(void **state)
{
	char room[IDN_ROOM];
	struct str name;

	(void) state;
	assert_true(idn_to_unicode(STR("XN--BCHER-KVA.Example"), room, &name));
	assert_str(name, "b\xc3\xbc" "cher.example");
	assert_true(idn_to_unicode(STR("B\xc3\x9c" "CHER.example"), room, &name));
	assert_str(name, "b\xc3\xbc" "cher.example");
	assert_false(idn_to_unicode(STR("xn--\x80.example"), room, &name));
}

static void test_a_name_has_its_other_forms_besides(void **state)
{
	struct arena *a = arena_new("forms", NULL, 1 << 16);
	struct str forms[IDN_FORMS];

	(void) state;
	assert_int_equal(idn_forms(a, STR("a.Xn--bcher-kva.example"), forms), 3);
	assert_str(forms[0], "a.Xn--bcher-kva.example");
	assert_str(forms[1], "a.xn--bcher-kva.example");
	assert_str(forms[2], "a.b\xc3\xbc" "cher.example");
	assert_int_equal(idn_forms(a, STR("b\xc3\xbc" "cher.example"), forms), 2);
	assert_str(forms[1], "xn--bcher-kva.example");
	assert_int_equal(idn_forms(a, STR("a.axn--b.example"), forms), 1);
	assert_int_equal(idn_forms(a, STR_NONE, forms), 1);
	arena_free(a);
}

/* ---- questions to a resolver that the test plays ---- */

static char directory[64], path[80];	/* of all tests: a process has one client of the resolver */
static struct fake {
	int listener;
	int asked;			/* requests so far */
	int break_next;			/* so many requests end the connection instead of being answered */
	int last_fd;
	int64_t pause_ms;
	struct dns_reply reply;
	struct scope *connections;
} fake;

static void serve_request(struct server_call *call)
{
	struct dns_request request;
	struct dns_reply reply = fake.reply;

	assert_int_equal(get_dns_request(call->frame, &request, NULL), 0);
	fake.asked++;
	if (fake.break_next > 0) {
		fake.break_next--;
		shutdown(fake.last_fd, SHUT_RDWR);
		return;
	}
	if (fake.pause_ms > 0 && co_sleep(in(fake.pause_ms)) < 0)
		return;
	if (str_starts(request.name, STR("none")))
		reply = (struct dns_reply){ .status = DNS_NO_DOMAIN, .ttl = 60 };
	else if (request.type == DNS_AAAA)
		reply = (struct dns_reply){ .status = DNS_NO_DATA, .ttl = 0 };
	REPLY(call, dns_reply, &reply);
}

static const struct server_row rows[] = { { "dns_request", true, serve_request }, { NULL, false, NULL } };

static void serve_one(void *arg)
{
	struct channel *ch = channel_new((int) (intptr_t) arg);

	serve_channel(ch, rows, NULL, 100);
	channel_free(ch);
}

static void accept_all(void *arg)
{
	int fd;

	(void) arg;
	while ((fd = accept_one(fake.listener, NEVER, NULL)) >= 0) {
		fake.last_fd = fd;
		scope_start(fake.connections, "connection", serve_one, (void *) (intptr_t) fd);
	}
}

static void with_resolver(void (*test)(void))
{
	fake = (struct fake){ 0 };
	fake.reply = (struct dns_reply){ .status = DNS_OK, .security = DNS_VALIDATED, .ttl = 60,
					 .canonical = STR("Real.example."),
					 .records = BYTES("\0\4\1\2\3\4") };
	fake.listener = listen_unix(path, 0600, 10);
	assert_true(fake.listener >= 0);
	dns_use(path, true, true, 2000);
	kept_forget_all();
	fake.connections = scope_open("connections");
	scope_start(fake.connections, "accept", accept_all, NULL);
	test();
	scope_close(fake.connections);
	co_forget_fd(fake.listener);
	close(fake.listener);
	unlink(path);
}

static struct dns_answer ask(const char *name, enum dns_type type)
{
	struct dns_answer d;

	dns_query(arena, str_of(name), type, &d);
	return d;
}

static void check_cache(void)
{
	struct dns_answer d = ask("Host.Example", DNS_A);
	int64_t wall = wall_us(), mono = mono_us();

	assert_int_equal(d.status, DNS_OK);
	assert_int_equal(d.security, DNS_VALIDATED);
	assert_int_equal(d.count, 1);
	assert_int_equal(d.records[0].ip.bytes[3], 4);
	assert_str(d.canonical, "real.example");
	assert_int_equal(fake.asked, 1);
	ask("host.example.", DNS_A);
	assert_int_equal(fake.asked, 1);
	ask("host.example", DNS_MX);
	assert_int_equal(fake.asked, 2);
	d = ask("none.example", DNS_A);
	assert_int_equal(d.status, DNS_NO_DOMAIN);
	assert_str(d.why, "Host not found");
	ask("none.example", DNS_A);
	assert_int_equal(fake.asked, 3);
	clock_set_for_test(wall + 61000000, mono + 61000000);
	ask("host.example", DNS_A);
	assert_int_equal(fake.asked, 4);
	clock_set_for_test(-1, -1);
	fake.reply.ttl = 0;
	kept_forget_all();
	ask("host.example", DNS_A);
	ask("host.example", DNS_A);
	assert_int_equal(fake.asked, 6);
}

static void test_answers_are_kept_as_long_as_they_may(void **state)
{
	(void) state;
	with_resolver(check_cache);
}

static int answered;

static void ask_one(void *arg)
{
	struct dns_answer d = ask(arg, DNS_A);

	assert_str(d.why, "");
	assert_int_equal(d.status, DNS_OK);
	answered++;
}

static void check_merging(void)
{
	struct scope *s = scope_open("askers");

	answered = 0;
	fake.pause_ms = 30;
	fake.reply.ttl = 0;
	for (int i = 0; i < 20; i++)
		assert_int_equal(scope_start(s, "asker", ask_one,
					     (void *) (i % 2 == 0 ? "even.example" : "odd.example")), 0);
	assert_int_equal(scope_wait(s, in(5000)), 0);
	scope_close(s);
	assert_int_equal(answered, 20);
	assert_int_equal(fake.asked, 2);
}

static void test_the_same_question_at_once_is_asked_once(void **state)
{
	(void) state;
	with_resolver(check_merging);
}


static void ask_any(void *arg)
{
	ask(arg, DNS_A);
}

static void check_cancelled(void)
{
	struct scope *first = scope_open("first"), *second = scope_open("second");

	answered = 0;
	fake.pause_ms = 60000;		/* the first question is never answered */
	scope_start(first, "asker", ask_any, (void *) "x.example");
	while (fake.asked == 0)
		assert_int_equal(co_sleep(in(1)), 0);
	scope_start(second, "asker", ask_one, (void *) "x.example");
	co_sleep(in(5));
	fake.pause_ms = 0;
	scope_close(first);
	assert_int_equal(scope_wait(second, in(5000)), 0);
	scope_close(second);
	assert_int_equal(answered, 1);
	assert_int_equal(fake.asked, 2);
}

static void test_who_waits_for_a_cancelled_question_asks_it_himself(void **state)
{
	(void) state;
	with_resolver(check_cancelled);
}

static void check_broken_connection(void)
{
	fake.reply.ttl = 0;
	assert_int_equal(ask("a.example", DNS_A).status, DNS_OK);
	fake.asked = 0;
	fake.break_next = 1;
	assert_int_equal(ask("a.example", DNS_A).status, DNS_OK);
	assert_int_equal(fake.asked, 2);
	fake.break_next = 2;
	assert_int_equal(ask("a.example", DNS_A).status, DNS_CANNOT_TELL);
	assert_int_equal(fake.asked, 4);
}

static void test_a_broken_connection_is_tried_once_more(void **state)
{
	(void) state;
	with_resolver(check_broken_connection);
}

static void check_stall(void)
{
	struct dns_answer d;
	int64_t start = mono_ms();

	dns_use(path, true, true, 50);
	fake.pause_ms = 10000;
	d = ask("a.example", DNS_A);
	assert_int_equal(d.status, DNS_CANNOT_TELL);
	assert_str(d.why, "Host not found, try again (resolver service: Connection timed out)");
	assert_true(mono_ms() - start < fake.pause_ms);
}

static void test_a_resolver_that_stalls_cannot_tell(void **state)
{
	(void) state;
	with_resolver(check_stall);
}

static void check_lies(void)
{
	struct dns_answer d;

	fake.reply.ttl = 0;
	fake.reply.records = BYTES("\0\4\1\2\3");
	d = ask("a.example", DNS_A);
	assert_int_equal(d.status, DNS_CANNOT_TELL);
	assert_str(d.why, "Malformed or unexpected name server reply");
	fake.reply.records = BYTES("\0\3\1\2\3");
	assert_int_equal(ask("a.example", DNS_A).status, DNS_CANNOT_TELL);
	fake.reply.records = BYTES("\0\3\1\2\3\0\4\1\2\3\4");
	d = ask("a.example", DNS_A);
	assert_int_equal(d.status, DNS_OK);
	assert_int_equal(d.count, 1);
	assert_str(d.why, "1 malformed records left out");
	fake.reply.canonical = STR("evil\nname");
	d = ask("a.example", DNS_A);
	assert_str(d.canonical, "a.example");
	fake.reply.status = 77;
	assert_int_equal(ask("a.example", DNS_A).status, DNS_CANNOT_TELL);
	fake.reply.status = DNS_BOGUS;
	fake.reply.why = STR("signature\nexpired");
	d = ask("a.example", DNS_A);
	assert_int_equal(d.status, DNS_BOGUS);
	assert_str(d.why, "Host not found, try again: DNSSEC validation failure (signature?expired)");
	assert_int_equal(ask("a b", DNS_A).status, DNS_BAD_NAME);
}

static void test_what_the_resolver_says_is_checked(void **state)
{
	(void) state;
	with_resolver(check_lies);
}

static void check_addresses(void)
{
	struct dns_answer d;
	struct address_ip ip;

	dns_addresses(arena, STR("two.example"), &d);
	assert_int_equal(d.status, DNS_OK);
	assert_int_equal(d.count, 1);
	assert_int_equal(fake.asked, 2);
	dns_addresses(arena, STR("none.example"), &d);
	assert_int_equal(d.status, DNS_NO_DOMAIN);
	dns_addresses(arena, STR("2001:db8::1"), &d);
	assert_int_equal(d.status, DNS_OK);
	assert_int_equal(d.records[0].ip.family, AF_INET6);
	assert_int_equal(fake.asked, 4);
	dns_use(path, true, false, 2000);
	dns_addresses(arena, STR("four.example"), &d);
	assert_int_equal(fake.asked, 5);
	ip_parse(STR("192.0.2.1"), &ip);
	fake.reply.records = BYTES("\0\6\4name\0");
	dns_name_of(arena, &ip, &d);
	assert_int_equal(d.status, DNS_OK);
	assert_str(d.records[0].name, "name");
}

static void test_addresses_of_both_kinds_are_asked_for_at_once(void **state)
{
	(void) state;
	with_resolver(check_addresses);
}

static int set_up(void **state)
{
	(void) state;
	arena = arena_new("test", NULL, 8 << 20);
	snprintf(directory, sizeof(directory), "/tmp/dns_test.XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/resolver", directory);
	return 0;
}

static int tear_down(void **state)
{
	(void) state;
	arena_free(arena);
	return rmdir(directory);
}

/* All tests in one loop: a process has one, and one client of the resolver in it. */
static void run_all(void *arg)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_type_is_read_as_it_is_defined),
		cmocka_unit_test(test_malformed_data_is_refused),
		cmocka_unit_test(test_a_name_of_more_than_255_bytes_is_refused),
		cmocka_unit_test(test_malformed_records_are_counted_and_the_others_kept),
		cmocka_unit_test(test_names_are_checked_before_they_are_asked_for),
		cmocka_unit_test(test_international_names_become_ascii),
		cmocka_unit_test(test_ascii_forms_become_international_again),
		cmocka_unit_test(test_a_name_has_its_other_forms_besides),
		cmocka_unit_test(test_answers_are_kept_as_long_as_they_may),
		cmocka_unit_test(test_the_same_question_at_once_is_asked_once),
		cmocka_unit_test(test_who_waits_for_a_cancelled_question_asks_it_himself),
		cmocka_unit_test(test_a_broken_connection_is_tried_once_more),
		cmocka_unit_test(test_a_resolver_that_stalls_cannot_tell),
		cmocka_unit_test(test_what_the_resolver_says_is_checked),
		cmocka_unit_test(test_addresses_of_both_kinds_are_asked_for_at_once),
	};

	*(int *) arg = cmocka_run_group_tests(tests, set_up, tear_down);
	loop_stop();
}

int main(void)
{
	int failed = 1;

	loop_run(run_all, &failed);
	return failed;
}
