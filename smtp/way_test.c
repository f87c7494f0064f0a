/* SPDX-License-Identifier: ISC */
/*
 * Which servers a message is offered to: MX and addresses, next ones, fallback, loops; and sessions
 * that are kept.
 */
#include "smtp/client_for_test.h"

#include <time.h>

/* ---- finding the way ---- */

static const struct zone_row ZONE[] = {
	{ "two.example", DNS_MX, DNS_OK, "20 mx2.example, 10 mx1.example" },
	{ "same.example", DNS_MX, DNS_OK, "10 mx1.example, 10 mx2.example" },
	{ "three.example", DNS_MX, DNS_OK, "10 mx1.example, 20 mx2.example, 30 mx3.example" },
	{ "mx1.example", DNS_A, DNS_OK, "127.0.0.1" },
	{ "mx2.example", DNS_A, DNS_OK, "127.0.0.2" },
	{ "mx3.example", DNS_A, DNS_OK, "127.0.0.3" },
	{ "nomx.example", DNS_A, DNS_OK, "127.0.0.1" },
	{ "null.example", DNS_MX, DNS_OK, "0 ." },
	{ "null.example", DNS_A, DNS_OK, "127.0.0.1" },
	{ "broken.example", DNS_MX, DNS_CANNOT_TELL, "" },
	{ "bogus.example", DNS_MX, DNS_BOGUS, "" },
	{ "dangling.example", DNS_MX, DNS_OK, "10 nowhere.example" },
	{ "maybe.example", DNS_MX, DNS_OK, "10 nowhere.example, 20 brokenhost.example" },
	{ "backup.example", DNS_MX, DNS_OK, "10 brokenhost.example, 20 mx1.example, 30 mx2.example" },
	{ "half.example", DNS_MX, DNS_OK, "10 nowhere.example, 20 brokenhost.example, 30 mx1.example" },
	{ "brokenhost.example", DNS_A, DNS_CANNOT_TELL, "" },
	{ "ours.example", DNS_MX, DNS_OK, "10 mx1.example, 20 client.example, 30 mx2.example" },
	{ "client.example", DNS_A, DNS_OK, "127.0.1.1" },
	{ "hostsfile.example", DNS_MX, DNS_NO_DOMAIN, "" },
	{ "hostsfile.example", DNS_A, DNS_OK, "127.0.0.1" },
	{ "127.0.0.1", DNS_MX, DNS_CANNOT_TELL, "" },		/* nobody asks for that */
	{ "empty.example", DNS_TXT, DNS_OK, "" },
	{ NULL, 0, 0, NULL },
};


/* Certificates, TLSA records and MTA-STS know the ASCII form of a name only. */
static void test_a_next_hop_has_its_name_as_certificates_have_it(void **unused)
{
	struct arena *a = arena_new("t", NULL, 1 << 20);
	struct destinations to = { 0 };

	(void) unused;
	configure("");
	assert_int_equal(destinations_parse(STR("B\xc3\x9c" "cher.example:26 [mx.b\xc3\xbc"
						"cher.example] \xff.example PLAIN.example"), a, &to), 0);
	assert_str(to.at[0].host, "xn--bcher-kva.example");
	assert_str(to.at[0].text, "B\xc3\x9c" "cher.example:26");
	assert_str(to.at[1].host, "mx.xn--bcher-kva.example");
	assert_str(to.at[2].host, "\xff.example");
	assert_str(to.at[3].host, "plain.example");
	arena_free(a);
}

static void test_mail_may_go_round_only_by_a_port_of_its_own(void **unused)
{
	static const struct { const char *next_hop; bool is_watched; } cases[] = {
		{ "mx.example", true }, { "[mx.example]:25", true }, { "mx.example:smtp", true },
		{ "[mx.example]:10026", false },
	};

	(void) unused;
	configure("");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct arena *a = arena_new("t", NULL, 1 << 20);
		struct destinations to = { 0 };

		assert_int_equal(destinations_parse(str_of(cases[i].next_hop), a, &to), 0);
		assert_int_equal(to.at[0].detect_loops, cases[i].is_watched);
		arena_free(a);
	}
}

static void test_exchangers_are_tried_in_order(void **unused)
{
	static const struct case_ first = { .servers = { TAKES, "" }, .nexthop = "two.example:%d",
					    .outcomes = "D", .relay = "mx1.example[127.0.0.1]:%d" };
	static const struct case_ second = { .servers = { REFUSING, TAKES }, .nexthop = "two.example:%d",
					     .outcomes = "D",
					     .relay = "mx2.example[127.0.0.2]:%d" };
	static const struct case_ no_mx = { .servers = { TAKES }, .nexthop = "nomx.example:%d",
					    .outcomes = "D" };
	static const struct case_ host = { .servers = { TAKES }, .nexthop = "[mx1.example]:%d",
					   .outcomes = "D" };
	/* dnsmasq, and the hosts file: an address, but the name does not exist for other types */
	static const struct case_ hosts_file = { .servers = { TAKES }, .nexthop = "hostsfile.example:%d",
						 .outcomes = "D" };
	static const struct case_ address = { .servers = { TAKES }, .nexthop = "127.0.0.1:%d",
					      .outcomes = "D", .relay = "127.0.0.1[127.0.0.1]:%d" };
	static const struct case_ no_port = { .servers = { TAKES }, .nexthop = "[mx1.example]:",
					      .outcomes = "D", .relay = "mx1.example[127.0.0.1]:%d" };
	static const struct case_ half = { .servers = { TAKES }, .nexthop = "half.example:%d",
					   .outcomes = "D" };
	static const struct case_ several = { .servers = { REFUSING, TAKES },
					      .nexthop = "[mx1.example]:%d, [127.0.0.2]:%d",
					      .outcomes = "D" };
	static const struct case_ soft = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC RCPT\nS 450 4.2.0 grey\nC RCPT\nS 550 5.1.1 no\n" DATA_OK "E",
			     HELLO "C MAIL\nS 250 ok\nC RCPT TO:<c@x>\nS 250 ok\n" DATA_OK "E" },
		.nexthop = "two.example:%d", .to = "b@x c@x d@x", .outcomes = "DDB" };
	static const struct case_ hard = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 550 5.1.1 no\nC DATA\nS 554 no\nE", "" },
					   .nexthop = "two.example:%d", .outcomes = "B" };

	(void) unused;
	configure("");
	zone = ZONE;
	run(&first);
	run(&second);
	run(&no_mx);
	run(&host);
	run(&hosts_file);
	run(&address);
	run(&no_port);
	run(&half);
	run(&several);
	run(&soft);
	run(&hard);
}

static void test_no_more_sessions_and_addresses_than_allowed(void **unused)
{
#define NOT_NOW "" HELLO "C MAIL\nS 451 4.3.0 not now\nC RCPT\nS 503 no\nC DATA\nS 503 no\nE"
	static const struct case_ sessions = { .servers = { NOT_NOW, NOT_NOW, "" },
					       .nexthop = "three.example:%d", .outcomes = "d",
					       .relay = "mx2.example[127.0.0.2]:%d" };
	static const struct case_ not_ready = {
		.servers = { REFUSING, "A\nS 220 mx\nC EHLO\nS 421 busy\nE", TAKES },
		.nexthop = "three.example:%d", .outcomes = "D" };
	static const struct case_ addresses = { .servers = { REFUSING, "", "" },
						.nexthop = "three.example:%d", .outcomes = "d", .site = true,
						.relay = "mx1.example[127.0.0.1]:%d" };

	(void) unused;
	configure("");
	zone = ZONE;
	run(&sessions);
	run(&not_ready);
	configure("smtp_mx_address_limit = 1");
	zone = ZONE;
	run(&addresses);
}

static void test_with_soft_bounce_the_next_one_gets_what_one_refuses_for_good(void **unused)
{
#define NO_MAIL "" HELLO "C MAIL\nS 550 5.7.1 no\nC RCPT\nS 503 no\nC DATA\nS 503 no\nE"
	static const struct case_ one = { .servers = { NO_MAIL, TAKES }, .nexthop = "two.example:%d",
					  .outcomes = "D" };
	static const struct case_ both = { .servers = { NO_MAIL, NO_MAIL }, .nexthop = "two.example:%d",
					   .outcomes = "d", .dsn = "4.7.1",
					   .relay = "mx2.example[127.0.0.2]:%d" };

	(void) unused;
	configure("soft_bounce = yes");
	zone = ZONE;
	run(&one);
	run(&both);
}

static void test_what_dns_says_decides(void **unused)
{
	static const struct case_ cases[] = {
		{ .nexthop = "gone.example", .outcomes = "B", .dsn = "5.4.4", .relay = "none",
		  .text = "Host or domain name not found. Name service error for name=gone.example type=A: Host not found" },
		{ .nexthop = "[gone.example]", .outcomes = "B", .dsn = "5.4.4",
		  .text = "Host or domain name not found. Name service error for name=gone.example type=A: Host not found" },
		{ .nexthop = "empty.example", .outcomes = "B", .dsn = "5.4.4" },
		{ .nexthop = "null.example", .outcomes = "B", .dsn = "5.1.0",
		  .text = "Domain null.example does not accept mail (nullMX)" },
		{ .nexthop = "broken.example", .outcomes = "d", .dsn = "4.4.3", .site = true,
		  .text = "Host or domain name not found. Name service error for name=broken.example type=MX: Host not found, try again" },
		{ .nexthop = "bogus.example", .outcomes = "d", .dsn = "4.4.3", .site = true },
		{ .nexthop = "dangling.example", .outcomes = "B", .dsn = "5.4.4" },
		{ .nexthop = "maybe.example", .outcomes = "d", .dsn = "4.4.3", .site = true },
		{ .nexthop = "a:b:c", .outcomes = "d", .dsn = "4.3.5", .site = true },
		{ .nexthop = "", .outcomes = "d", .dsn = "4.3.5", .site = true },
		{ .nexthop = "[127.0.0.1]:1", .outcomes = "d", .dsn = "4.4.1", .site = true, .relay = "none",
		  .text = "connect to 127.0.0.1[127.0.0.1]:1: Connection refused" },
		{ .nexthop = "[IPv6:::1]:1", .outcomes = "d", .dsn = "4.4.1", .site = true },
	};

	(void) unused;
	configure("");
	zone = ZONE;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run(&cases[i]);
	configure("smtp_defer_if_no_mx_address_found = yes");
	zone = ZONE;
	{
		static const struct case_ c = { .nexthop = "dangling.example", .outcomes = "d",
						.dsn = "4.4.4", .site = true };

		run(&c);
	}
}

static void test_a_fallback_relay_takes_what_cannot_be_reached(void **unused)
{
	static const struct case_ gone = { .servers = { "", TAKES }, .nexthop = "gone.example",
					   .outcomes = "D", .relay = "127.0.0.2[127.0.0.2]:%d" };
	static const struct case_ busy = { .servers = { REFUSING, TAKES }, .nexthop = "[127.0.0.1]:%d",
					   .outcomes = "D" };
	static const struct case_ refused = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 550 5.1.1 no\nC DATA\nS 554 no\nE", "" },
					      .nexthop = "[127.0.0.1]:%d", .outcomes = "B" };
	static const struct case_ all_down = { .servers = { REFUSING, REFUSING },
					       .nexthop = "[127.0.0.1]:%d", .outcomes = "d", .site = true,
					       .relay = "127.0.0.2[127.0.0.2]:%d" };
	static const struct case_ *const cases[] = { &gone, &busy, &refused, &all_down };

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		configure("smtp_fallback_relay = [127.0.0.2]");		/* the default port is the servers' */
		zone = ZONE;
		run(cases[i]);
	}
}

/*
 * A slip in main.cf, or a name server of our own that has lost a zone, must not send back all mail.
 */
static void test_mail_waits_for_a_relay_host_that_is_not_there(void **unused)
{
	static const struct own_address at = { .prefix = 32, .ip = { .family = AF_INET, .bytes = { 127, 0, 0, 1 } } };
	static const struct own_addresses own = { .at = (struct own_address *) (uintptr_t) &at, .len = 1 };
	static const struct case_ relayhosts[] = {
		{ .nexthop = "gone.example", .outcomes = "d", .dsn = "4.3.5", .site = true },
		{ .nexthop = "[gone.example]", .outcomes = "d", .dsn = "4.3.5", .site = true },
		{ .nexthop = "null.example", .outcomes = "d", .dsn = "4.3.5", .site = true },
		{ .servers = { "" }, .nexthop = "[mx1.example]", .outcomes = "d", .dsn = "4.3.5", .site = true,
		  .text = "mail for mx1.example loops back to myself" },
	};
	static const struct case_ other = { .nexthop = "gone.example", .outcomes = "B", .dsn = "5.4.4" };
	static const struct case_ down = { .nexthop = "[127.0.0.1]:1", .outcomes = "d", .dsn = "4.3.5",
					   .site = true };

	(void) unused;
	configure("");
	zone = ZONE;
	the_client.own = &own;
	for (size_t i = 0; i < COUNT_OF(relayhosts); i++) {
		the_client.relayhost = str_of(relayhosts[i].nexthop);
		run(&relayhosts[i]);
	}
	run(&other);
	the_client.relayhost = STR_NONE;
	configure("smtp_fallback_relay = [gone.example]");
	zone = ZONE;
	run(&down);
}

/* What is only down for the moment decides, not what is written behind it. */
static void test_a_next_hop_that_is_down_is_waited_for_whatever_the_next_one_is(void **unused)
{
	static const struct case_ c = { .nexthop = "[127.0.0.1]:1, [gone.example]", .outcomes = "d",
					.dsn = "4.4.1", .site = true };

	(void) unused;
	configure("");
	zone = ZONE;
	run(&c);
}

static void test_mail_does_not_loop_back_to_us(void **unused)
{
	static struct own_address at = { .prefix = 32 };
	static const struct own_addresses own = { .at = &at, .len = 1 };
	static const struct case_ best = { .servers = { "" }, .nexthop = "two.example", .outcomes = "B",
					   .dsn = "5.4.6",
					   .text = "mail for two.example loops back to myself" };
	static const struct case_ equal = { .servers = { "", "" }, .nexthop = "same.example",
					    .outcomes = "B", .dsn = "5.4.6" };
	static const struct case_ better = { .servers = { REFUSING, "", "" }, .nexthop = "three.example",
					     .outcomes = "d", .site = true,
					     .relay = "mx1.example[127.0.0.1]:%d" };
	/* we are its backup, and the better one cannot be looked up for the moment */
	static const struct case_ backup = { .servers = { "", "" }, .nexthop = "backup.example",
					     .outcomes = "d", .dsn = "4.4.4", .site = true,
					     .text = "unable to find primary relay for backup.example" };
	static const struct case_ other_port = { .servers = { TAKES }, .nexthop = "[127.0.0.1]:%d",
						 .outcomes = "D" };
	static const struct case_ greeted = { .servers = { "A\nS 220 hi\nC EHLO\nS 250 client.example\nQ" },
					      .nexthop = "[mx1.example]", .outcomes = "B",
					      .dsn = "5.4.6" };

	/* behind an address that is not known as ours */
	static const struct case_ backup_greeted = {
		.servers = { REFUSING, "A\nS 220 hi\nC EHLO\nS 250 client.example\nQ" }, .nexthop = "two.example",
		.outcomes = "d", .dsn = "4.4.6", .site = true,
		.text = "mail for two.example loops back to myself" };

	/* the best one cannot be looked up now: it may be there, and not be us */
	static const struct case_ backup_of_unknown = {
		.servers = { "A\nS 220 hi\nC EHLO\nS 250 client.example\nQ", REFUSING }, .nexthop = "backup.example",
		.outcomes = "d", .site = true };

	/* the hosts file knows us at 127.0.1.1; behind us nobody is asked, who would ask us */
	static const struct case_ by_name = { .servers = { REFUSING }, .nexthop = "ours.example",
					      .outcomes = "d", .site = true, .relay = "mx1.example[127.0.0.1]:%d" };
	static const struct case_ alone = { .servers = { "" }, .nexthop = "[client.example]", .outcomes = "B",
					    .dsn = "5.4.6" };

	(void) unused;
	configure("");
	zone = ZONE;
	run(&backup_greeted);
	run(&backup_of_unknown);
	run(&by_name);
	run(&alone);
	the_client.own = &own;
	ip_parse(STR("127.0.0.1"), &at.ip);
	run(&best);
	run(&equal);
	run(&backup);
	run(&other_port);
	ip_parse(STR("127.0.0.2"), &at.ip);
	run(&better);
	run(&greeted);
}

/* It would have nobody else to give it to than us. */
static void test_mail_that_we_are_an_exchanger_for_does_not_go_to_a_fallback_relay(void **unused)
{
	static struct own_address at = { .prefix = 32 };
	static const struct own_addresses own = { .at = &at, .len = 1 };
	static const struct case_ down = { .servers = { REFUSING }, .nexthop = "two.example",
					   .outcomes = "d", .site = true, .relay = "mx1.example[127.0.0.1]:%d" };
	static const struct case_ best = { .servers = { "" }, .nexthop = "two.example", .outcomes = "B",
					   .dsn = "5.4.6" };
	static const struct case_ insecure = { .servers = { "", "", "" }, .nexthop = "two.example",
					       .outcomes = "d", .dsn = "4.7.5", .site = true };

	(void) unused;
	configure("smtp_fallback_relay = [127.0.0.3]");
	zone = ZONE;
	the_client.own = &own;
	ip_parse(STR("127.0.0.2"), &at.ip);
	run(&down);
	ip_parse(STR("127.0.0.1"), &at.ip);
	run(&best);
	configure("smtp_fallback_relay = [127.0.0.3]\nsmtp_helo_timeout = 1s\n"
		  "smtp_tls_policy_maps = inline:{ { two.example = nonsense } }");
	policy_open();
	zone = ZONE;
	the_client.own = &own;
	run(&insecure);
	configure("");
	policy_open();
}

static void test_families_are_preferred_and_balanced(void **unused)
{
	static const struct zone_row mixed[] = {
		{ "mixed.example", DNS_A, DNS_OK, "127.0.0.1, 127.0.0.2, 127.0.0.3, ::1" },
		{ NULL, 0, 0, NULL },
	};
	static const struct { const char *conf; bool v4, v6; const char *order; } cases[] = {
		{ "smtp_mx_address_limit = 5", true, false, "4446" },
		{ "smtp_mx_address_limit = 5", false, true, "6444" },
		{ "smtp_mx_address_limit = 2", true, false, "46" },
		{ "smtp_mx_address_limit = 2\nsmtp_balance_inet_protocols = no", true, false, "44" },
		{ "smtp_mx_address_limit = 1", true, false, "4" },
		{ "smtp_mx_address_limit = 0", true, false, "4446" },
	};
	static const struct destination to = { .host = STR_INIT("mixed.example"), .port = 25 };

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct delivery d = { .arena = arena_new("t", NULL, 1 << 20) };
		struct job job = { .d = &d, .arena = d.arena };
		struct candidates list = { 0 };
		struct trouble why;
		char order[10] = "";

		configure(cases[i].conf);
		zone = mixed;
		the_client.ipv4_first = cases[i].v4;
		the_client.ipv6_first = cases[i].v6;
		assert_true(candidates_find(&job, &to, &list, &why));
		for (size_t k = 0; k < list.len; k++)
			order[k] = list.at[k].ip.family == AF_INET ? '4' : '6';
		assert_string_equal(order, cases[i].order);
		arena_free(d.arena);
	}
	the_client.ipv4_first = the_client.ipv6_first = false;
}

/*
 * A hundred exchangers with a thousand addresses each: what one domain may say must not keep all
 * others waiting.
 */
static void find_crowd(void *unused)
{
	AUTO(buf) exchangers = BUF(1 << 20), addresses = BUF(1 << 20);
	static const struct destination to = { .host = STR_INIT("crowd.example"), .port = 25, .use_mx = true };
	struct delivery d = { .arena = arena_new("t", NULL, 256 << 20) };
	struct job job = { .d = &d, .arena = d.arena };
	struct zone_row rows[] = { { "crowd.example", DNS_MX, DNS_OK, NULL },
				   { "mx.example", DNS_A, DNS_OK, NULL }, { NULL, 0, 0, NULL } };
	struct candidates list = { 0 };
	struct trouble why;
	clock_t before;

	(void) unused;
	for (int i = 0; i < 100; i++)
		buf_addf(&exchangers, "%s%d mx.example", i > 0 ? ", " : "", 1000 - i);
	for (int i = 0; i < 1000; i++)
		buf_addf(&addresses, "%s10.0.%d.%d", i > 0 ? ", " : "", i / 250, i % 250);
	rows[0].data = buf_text(&exchangers);
	rows[1].data = buf_text(&addresses);
	zone = rows;
	before = clock();
	assert_true(candidates_find(&job, &to, &list, &why));
	assert_true((clock() - before) / CLOCKS_PER_SEC < 1);
	assert_int_equal(list.len, 5);
	for (size_t i = 0; i < list.len; i++)
		assert_int_equal(list.at[i].preference, 901);
	arena_free(d.arena);
	loop_stop();
}

static void test_a_domain_with_very_many_addresses_is_sorted_in_no_time(void **unused)
{
	(void) unused;
	configure("");
	alarm(60);
	assert_int_equal(loop_run(find_crowd, NULL), 0);
	alarm(0);
}

/* The best one comes last in the answer. */
static void find_best_of_many(void *unused)
{
	AUTO(buf) exchangers = BUF(1 << 20);
	static const struct destination to = { .host = STR_INIT("crowd.example"), .port = 25, .use_mx = true };
	struct delivery d = { .arena = arena_new("t", NULL, 256 << 20) };
	struct job job = { .d = &d, .arena = d.arena };
	struct zone_row rows[] = { { "crowd.example", DNS_MX, DNS_OK, NULL },
				   { "mx.example", DNS_A, DNS_OK, "10.0.0.1" }, { NULL, 0, 0, NULL } };
	struct candidates list = { 0 };
	struct trouble why;

	(void) unused;
	for (int i = 0; i < 150; i++)
		buf_addf(&exchangers, "%s%d mx.example", i > 0 ? ", " : "", 1000 - i);
	rows[0].data = buf_text(&exchangers);
	zone = rows;
	assert_true(candidates_find(&job, &to, &list, &why));
	assert_int_equal(list.at[0].preference, 851);
	arena_free(d.arena);
	loop_stop();
}

static void test_of_very_many_exchangers_the_best_are_tried(void **unused)
{
	(void) unused;
	configure("");
	alarm(60);
	assert_int_equal(loop_run(find_best_of_many, NULL), 0);
	alarm(0);
}

/* ---- kept sessions ---- */

static void test_a_session_is_used_again(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO ENVELOPE DATA_OK ENVELOPE DATA_OK ENVELOPE DATA_OK "Q" },
		.outcomes = "D" };

	(void) unused;
	configure("");
	run_many(&c, 3);
	assert_int_equal(last->conn_use, 3);
	assert_null(last->tls);
	end_case();
}

static void test_a_session_is_reset_after_a_transaction_that_came_to_nothing(void **unused)
{
	static const struct case_ c = {
		.servers = { PLAIN_HELLO "C MAIL\nS 250 ok\nC RCPT\nS 450 4.2.0 grey\nC RSET\nS 250 ok\nC MAIL\nS 250 ok\nC RCPT\nS 450 4.2.0 grey\nE" },
		.outcomes = "d" };

	(void) unused;
	configure("");
	run_many(&c, 2);
	cache_end_all();
	end_case();
}

/* The next message would be taken for the content of the one before, or get the answers to it. */
static void test_a_session_that_is_out_of_step_is_not_used_again(void **unused)
{
	static const struct case_ content_of_nothing = {
		.servers = { HELLO "C MAIL\nS 450 4.1.8 who?\nC RCPT\nS 503 no\nC DATA\nS 354 hm\nE\n" HELLO ENVELOPE DATA_OK "Q" },
							 .outcomes = "D" };
	static const struct case_ odd = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 250 ok\nE\n" HELLO ENVELOPE DATA_OK "Q" },
		.outcomes = "D" };

	(void) unused;
	configure("");
	run_many(&content_of_nothing, 2);
	cache_end_all();
	end_case();
	run_many(&odd, 2);
	cache_end_all();
	end_case();
}

static void test_a_kept_session_that_died_costs_nothing(void **unused)
{
	static const struct case_ closed = {
		.servers = { HELLO ENVELOPE DATA_OK "X\n" HELLO ENVELOPE DATA_OK "Q" }, .outcomes = "D" };
	static const struct case_ said_421 = {
		.servers = { HELLO ENVELOPE DATA_OK "S 421 4.4.2 idle too long\nX\n" HELLO ENVELOPE DATA_OK "Q" },
					       .outcomes = "D" };
	static const struct case_ slow_421 = {
		.servers = { HELLO ENVELOPE DATA_OK "C MAIL\nS 421 4.4.2 idle too long\nX\n" HELLO ENVELOPE DATA_OK "Q" },
					       .outcomes = "D" };

	(void) unused;
	configure("");
	run_many(&closed, 2);
	end_case();
	run_many(&said_421, 2);
	end_case();
	run_many(&slow_421, 2);
	end_case();
}

/* Alone, each of the messages would have gone through. */
static void test_what_a_kept_session_does_not_begin_with_a_new_one_may(void **unused)
{
#define NO_OTHER "C MAIL\nS 503 5.5.1 there is a sender already\nC RCPT\nC DATA\nE\n"
	static const struct case_ one_each = { .servers = { HELLO ENVELOPE DATA_OK NO_OTHER HELLO ENVELOPE DATA_OK "Q" },
					       .outcomes = "D" };
	static const struct case_ refused = {
		.servers = { HELLO ENVELOPE DATA_OK NO_OTHER HELLO "C MAIL\nS 550 5.7.1 no\nC RCPT\nS 503 no\nC DATA\nS 503 no\nE" },
		.outcomes = "B", .dsn = "5.7.1" };

	(void) unused;
	configure("");
	run_many(&one_each, 2);
	cache_end_all();
	end_case();
	run_many(&refused, 2);
	end_case();
}

static void test_a_session_is_not_used_more_often_than_allowed(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO ENVELOPE DATA_OK ENVELOPE DATA_OK "Q\n" HELLO ENVELOPE DATA_OK "Q" },
		.outcomes = "D" };

	(void) unused;
	configure("smtp_connection_reuse_count_limit = 2\n");
	run_many(&c, 3);
	end_case();
	configure("smtp_connection_cache_on_demand = no\n");
	{
		static const struct case_ off = {
			.servers = { HELLO ENVELOPE DATA_OK "Q\n" HELLO ENVELOPE DATA_OK "Q" },
			.outcomes = "D" };

		run_many(&off, 2);
		end_case();
	}
	configure("smtp_connection_cache_on_demand = no\nsmtp_connection_cache_destinations = 127.0.0.1\n");
	{
		static const struct case_ listed = {
			.servers = { HELLO ENVELOPE DATA_OK ENVELOPE DATA_OK "Q" }, .outcomes = "D" };

		run_many(&listed, 2);
		end_case();
	}
}

/* ---- being cancelled, and not getting through ---- */

static void deliver_last(void *unused)
{
	(void) unused;
	smtp_deliver(last);
}

static void cancel_in_the_middle(void *unused)
{
	static const struct case_ c = { .nexthop = "[127.0.0.1]:%d" };
	struct scope *serving = scope_open("server"), *delivering = scope_open("delivery");

	(void) unused;
	assert_true(fake_listen(&servers[0], "127.0.0.1", 0,
				HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nE"));
	port = servers[0].at.port;
	last = make_delivery(&c);
	scope_start(serving, "server", fake_run, &servers[0]);
	scope_start(delivering, "delivery", deliver_last, NULL);
	for (int i = 0; i < 1000 && servers[0].content.len == 0; i++)
		co_sleep(in(5));
	scope_close(delivering);
	/* nobody is there to hear of it, so nothing is logged */
	assert_int_equal(last->outcomes[0].status, OUTCOME_PENDING);
	assert_int_equal(scope_wait(serving, in(5000)), 0);
	assert_string_equal(servers[0].complaint, "");
	scope_close(serving);
	free_delivery(last);
	fake_end(&servers[0]);
	loop_stop();
}

static void test_a_cancelled_delivery_hangs_up_and_reports_nothing(void **unused)
{
	(void) unused;
	configure("");
	alarm(30);
	assert_int_equal(loop_run(cancel_in_the_middle, NULL), 0);
	alarm(0);
}

static void test_a_host_that_does_not_answer_is_given_up(void **unused)
{
	struct case_ c = { .outcomes = "d", .dsn = "4.4.1", .relay = "none", .site = true };
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct address_ip at;
	int listener, fillers[8];
	char nexthop[50], text[100];

	(void) unused;
	configure("");
	the_client.conf.smtp_connect_timeout = 200;
	ip_parse(STR("127.0.0.1"), &at);
	/* its backlog is full at once, and then it drops what comes */
	listener = listen_tcp(&at, 0);
	getsockname(listener, (struct sockaddr *) &sa, &len);
	ip_from_sockaddr((struct sockaddr *) &sa, &at);
	for (size_t i = 0; i < COUNT_OF(fillers); i++)
		fillers[i] = connect_tcp(&at, NULL, in(50));
	snprintf(nexthop, sizeof(nexthop), "[127.0.0.1]:%u", at.port);
	snprintf(text, sizeof(text), "connect to 127.0.0.1[127.0.0.1]:%u: Connection timed out", at.port);
	c.nexthop = nexthop;
	c.text = text;
	run(&c);
	for (size_t i = 0; i < COUNT_OF(fillers); i++)
		if (fillers[i] >= 0)
			close(fillers[i]);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_next_hop_has_its_name_as_certificates_have_it),
		cmocka_unit_test(test_mail_may_go_round_only_by_a_port_of_its_own),
		cmocka_unit_test(test_exchangers_are_tried_in_order),
		cmocka_unit_test(test_no_more_sessions_and_addresses_than_allowed),
		cmocka_unit_test(test_with_soft_bounce_the_next_one_gets_what_one_refuses_for_good),
		cmocka_unit_test(test_what_dns_says_decides),
		cmocka_unit_test(test_a_fallback_relay_takes_what_cannot_be_reached),
		cmocka_unit_test(test_mail_waits_for_a_relay_host_that_is_not_there),
		cmocka_unit_test(test_a_next_hop_that_is_down_is_waited_for_whatever_the_next_one_is),
		cmocka_unit_test(test_mail_does_not_loop_back_to_us),
		cmocka_unit_test(test_mail_that_we_are_an_exchanger_for_does_not_go_to_a_fallback_relay),
		cmocka_unit_test(test_a_domain_with_very_many_addresses_is_sorted_in_no_time),
		cmocka_unit_test(test_of_very_many_exchangers_the_best_are_tried),
		cmocka_unit_test(test_families_are_preferred_and_balanced),
		cmocka_unit_test(test_a_session_is_used_again),
		cmocka_unit_test(test_a_session_is_reset_after_a_transaction_that_came_to_nothing),
		cmocka_unit_test(test_a_session_that_is_out_of_step_is_not_used_again),
		cmocka_unit_test(test_a_kept_session_that_died_costs_nothing),
		cmocka_unit_test(test_what_a_kept_session_does_not_begin_with_a_new_one_may),
		cmocka_unit_test(test_a_session_is_not_used_more_often_than_allowed),
		cmocka_unit_test(test_a_cancelled_delivery_hangs_up_and_reports_nothing),
		cmocka_unit_test(test_a_host_that_does_not_answer_is_given_up),
	};

	return cmocka_run_group_tests(tests, client_set_up, client_tear_down);
}
