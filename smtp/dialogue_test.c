/* SPDX-License-Identifier: ISC */
/*
 * What the client says at every stage, and which outcome each answer, silence and end of the
 * connection has.
 */
#include "smtp/client_for_test.h"

/* ---- how it should go ---- */

static void test_a_message_is_delivered(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO ENVELOPE DATA_OK "Q" }, .outcomes = "D",
		.text = "250 2.0.0 Ok: queued as 1234", .dsn = "2.0.0",
		.relay = "127.0.0.1[127.0.0.1]:%d",
	};

	(void) unused;
	configure("smtp_connection_cache_on_demand = no");
	run_many(&c, 1);
	assert_str(buf_str(&servers[0].content), "Subject: x\n\nhello\n..dot\n");
	assert_str(last->outcomes[0].diagnostic, "smtp; 250 2.0.0 Ok: queued as 1234");
	end_case();
}

static void test_without_pipelining_each_command_waits(void **unused)
{
	static const struct case_ c = {
		.servers = { PLAIN_HELLO "C MAIL FROM:<a@example.org>\nP 20\nS 250 ok\nC RCPT TO:<b@example.net>\nS 250 ok\n" DATA_OK "E" },
		.outcomes = "D" };

	(void) unused;
	configure("");
	run(&c);
}

static void test_helo_where_ehlo_is_not_known(void **unused)
{
	static const struct case_ c = {
		.servers = { "A\nS 220 old\nC EHLO\nS 502 what?\nC HELO client.example\nS 250 mx\n" ENVELOPE DATA_OK "E" },
		.outcomes = "D" };
	static const struct case_ never = {
		.servers = { "A\nS 220 old\nC HELO client.example\nS 250 mx\n" ENVELOPE DATA_OK "E" },
		.outcomes = "D" };
	static const struct case_ myself = {
		.servers = { "A\nS 220 old\nC EHLO\nS 502 what?\nC HELO\nS 250 client.example\nQ" },
		.nexthop = "[127.0.0.1]", .outcomes = "B", .dsn = "5.4.6" };

	(void) unused;
	configure("");
	run(&c);
	run(&myself);
	configure("smtp_never_send_ehlo = yes");
	run(&never);
	configure("smtp_always_send_ehlo = no");
	run(&never);
}

static void test_size_body_and_null_sender(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO "C MAIL FROM:<> SIZE=23 BODY=8BITMIME\nS 250 ok\nC RCPT TO:<b@example.net>\nS 250 ok\n" DATA_OK "E" },
		.sender = "", .envelope_flags = ENVELOPE_8BITMIME, .outcomes = "D" };

	(void) unused;
	configure("");
	run(&c);
}

static void set_dsn(struct delivery *d)
{
	d->env.envid = STR("id=1 +");
	d->env.ret = RETURN_HEADERS;
	d->env.recipients[0].notify = NOTIFY_SUCCESS | NOTIFY_DELAY;
	d->env.recipients[0].orcpt = STR("rfc822;x+y@example.net");
	d->env.recipients[1].original = STR("old@example.net");
	d->env.recipients[1].notify = NOTIFY_NEVER;
}

static void set_utf8_original(struct delivery *d)
{
	d->env.recipients[0].orcpt = STR("utf-8;gr\303\274n+x@example.net");
	d->env.recipients[1].orcpt = STR("rfc822;gr\303\274n@example.net");
}

static void test_dsn_parameters_go_on(void **unused)
{
	static const struct case_ c = {
		.servers = { "A\nS 220 mx\nC EHLO\nS 250-mx\nS 250-DSN\nS 250 PIPELINING\n"
			     "C MAIL FROM:<a@example.org> ENVID=id+3D1+20+2B RET=HDRS\nS 250 ok\n"
			     "C RCPT TO:<b@x> ORCPT=rfc822;x+2By@example.net NOTIFY=SUCCESS,DELAY\nS 250 ok\n"
			     "C RCPT TO:<c@x> ORCPT=rfc822;old@example.net NOTIFY=NEVER\nS 250 ok\n" DATA_OK "E" },
		.to = "b@x c@x", .with = set_dsn, .outcomes = "HD" };
	static const struct case_ without = {
		.servers = { HELLO "C MAIL FROM:<a@example.org> SIZE=23\nS 250 ok\nC RCPT TO:<b@x>\nS 250 ok\nC RCPT TO:<c@x>\nS 250 ok\n"
			     DATA_OK "E" },
		.to = "b@x c@x", .with = set_dsn, .outcomes = "RD" };
	static const struct case_ utf8 = {
		.servers = { "A\nS 220 mx\nC EHLO\nS 250-mx\nS 250-DSN\nS 250 PIPELINING\nC MAIL\nS 250 ok\n"
			     "C RCPT TO:<b@x> ORCPT=utf-8;gr\\x{FC}n\\x{2B}x@example.net\nS 250 ok\n"
			     "C RCPT TO:<c@x> ORCPT=rfc822;gr+C3+BCn@example.net\nS 250 ok\n" DATA_OK "E" },
		.to = "b@x c@x", .with = set_utf8_original, .outcomes = "DD" };

	(void) unused;
	configure("");
	run(&c);
	run(&without);
	run(&utf8);
}

static void set_odd_addresses(struct delivery *d)
{
	d->env.sender = STR("a\"b@x");
	d->env.recipients[0].address = STR("a b@x");
}

static void test_odd_addresses_are_quoted(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO "C MAIL FROM:<\"a\\\"b\"@x>\nS 250 ok\nC RCPT TO:<\"a b\"@x>\nS 250 ok\n" DATA_OK "E" },
		.with = set_odd_addresses, .outcomes = "D" };

	(void) unused;
	configure("");
	run(&c);
}

/* ---- each stage, each answer ---- */


static void test_every_refusal_has_its_verdict(void **unused)
{
	static const struct case_ cases[] = {
		{ .servers = { "A\nS 421 4.3.2 too busy\nE" }, .outcomes = "d", .dsn = "4.3.2", .site = true,
		  .text = "host 127.0.0.1[127.0.0.1] refused to talk to me: 421 4.3.2 too busy" },
		{ .servers = { "A\nS 554 5.7.1 go away\nQ" }, .outcomes = "d", .dsn = "4.7.1", .site = true,
		  .text = "host 127.0.0.1[127.0.0.1] refused to talk to me: 554 5.7.1 go away" },
		{ .servers = { "A\nS 220 hi\nC EHLO\nS 500 no\nC HELO\nS 550 no\nQ" }, .outcomes = "B",
		  .dsn = "5.0.0",
		  .text = "host 127.0.0.1[127.0.0.1] refused to talk to me: 550 no" },
		{ .servers = { "A\nS 220 hi\nC EHLO\nS 450 later\nC HELO\nS 450 later\nQ" }, .outcomes = "d",
		  .dsn = "4.0.0", .site = true },
		{ .servers = { HELLO "C MAIL\nS 450 4.1.8 who?\nC RCPT\nS 503 5.5.1 MAIL first\nC DATA\nS 503 5.5.1 MAIL first\nE" },
		  .outcomes = "d", .dsn = "4.1.8", .text = SAID("450 4.1.8 who?", "MAIL FROM command") },
		{ .servers = { HELLO "C MAIL\nS 553 5.1.8 who?\nC RCPT\nS 503 5.5.1 MAIL first\nC DATA\nS 503 5.5.1 MAIL first\nE" },
		  .outcomes = "B", .dsn = "5.1.8", .text = SAID("553 5.1.8 who?", "MAIL FROM command") },
		{ .servers = { PLAIN_HELLO "C MAIL\nS 553 5.1.8 who?\nE" }, .outcomes = "B", .dsn = "5.1.8" },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 550 5.1.1 unknown\nC DATA\nS 554 no valid recipients\nE" },
		  .outcomes = "B", .dsn = "5.1.1", .text = SAID("550 5.1.1 unknown", "RCPT TO command") },
		{ .servers = { PLAIN_HELLO "C MAIL\nS 250 ok\nC RCPT\nS 550 unknown\nE" }, .outcomes = "B",
		  .dsn = "5.0.0" },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 450-4.2.0 grey\nS 450 4.2.0 listed\nC DATA\nS 354 hm\nD\nS 554 nobody\nE" },
		  .outcomes = "d", .dsn = "4.2.0", .text = SAID("450-4.2.0 grey 450 4.2.0 listed",
								"RCPT TO command") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 451 4.3.0 not now\nE" },
		  .outcomes = "d", .dsn = "4.3.0", .text = SAID("451 4.3.0 not now", "DATA command") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 554 5.7.1 no\nE" },
		  .outcomes = "B", .dsn = "5.7.1", .text = SAID("554 5.7.1 no", "DATA command") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nS 452 4.3.1 full\nE" },
		  .outcomes = "d", .dsn = "4.3.1", .text = SAID("452 4.3.1 full", "end of DATA command") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nS 550 5.7.0 spam\nE" },
		  .outcomes = "B", .dsn = "5.7.0", .text = SAID("550 5.7.0 spam", "end of DATA command") },
		/* the code's class wins over a contradicting enhanced code */
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 450 5.1.1 odd\nC DATA\nS 554 nobody\nE" },
		  .outcomes = "d", .dsn = "4.1.1" },
	};

	(void) unused;
	configure("");
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run(&cases[i]);
	configure("smtp_skip_5xx_greeting = no");
	{
		static const struct case_ c = { .servers = { "A\nS 554 5.7.1 go away\nQ" }, .outcomes = "B",
						.dsn = "5.7.1" };

		run(&c);
	}
}

static void test_every_recipient_has_a_verdict_of_its_own(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT TO:<a@x>\nS 250 ok\nC RCPT TO:<b@x>\nS 550 5.1.1 no\nC RCPT TO:<c@x>\nS 450 4.2.1 later\n"
			     "C RCPT TO:<d@x>\nS 250 ok\n" DATA_OK "E" },
		.to = "a@x b@x c@x d@x", .outcomes = "DBdD" };
	static const struct case_ refused = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT TO:<a@x>\nS 250 ok\nC RCPT TO:<b@x>\nS 550 5.1.1 no\nC RCPT TO:<c@x>\nS 450 4.2.1 later\n"
			     "C DATA\nS 354 go\nD\nS 554 5.6.0 bad content\nE" },
		.to = "a@x b@x c@x", .outcomes = "BBd", .text = SAID("554 5.6.0 bad content",
								     "end of DATA command") };

	(void) unused;
	configure("");
	run(&c);
	run(&refused);
}


static void test_a_lost_connection_defers_at_every_stage(void **unused)
{
	static const struct case_ cases[] = {
		{ .servers = { "A\nX" }, .text = LOST("receiving the initial server greeting") },
		{ .servers = { "A\nR 220-half\nX" }, .text = LOST("receiving the initial server greeting") },
		{ .servers = { "A\nS 220 hi\nC EHLO\nX" }, .text = LOST("performing the EHLO handshake") },
		{ .servers = { "A\nS 220 hi\nC EHLO\nS 250-mx\nX" },
		  .text = LOST("performing the EHLO handshake") },
		{ .servers = { "A\nS 220 hi\nC EHLO\nS 500 no\nC HELO\nX" },
		  .text = LOST("performing the HELO handshake") },
		{ .servers = { HELLO "C MAIL\nX" }, .text = LOST("sending MAIL FROM") },
		{ .servers = { PLAIN_HELLO "C MAIL\nX" }, .text = LOST("sending MAIL FROM") },
		{ .servers = { PLAIN_HELLO "C MAIL\nS 250 ok\nC RCPT\nX" }, .text = LOST("sending RCPT TO") },
		{ .servers = { PLAIN_HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nX" },
		  .text = LOST("sending DATA command") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nX" },
		  .text = LOST("sending end of data -- message may be sent more than once") },
	};

	(void) unused;
	configure("");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct case_ c = cases[i];

		c.outcomes = "d";
		c.dsn = "4.4.2";
		c.site = true;
		run(&c);
	}
}

static void test_silence_defers_at_every_stage(void **unused)
{
	static const struct case_ cases[] = {
		{ .servers = { "A\nE" }, .text = TIMED_OUT("receiving the initial server greeting") },
		{ .servers = { "A\nS 220 hi\nC EHLO\nE" }, .text = TIMED_OUT("performing the EHLO handshake") },
		{ .servers = { HELLO "C MAIL\nC RCPT\nC DATA\nE" }, .text = TIMED_OUT("sending MAIL FROM") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nC DATA\nE" },
		  .text = TIMED_OUT("sending RCPT TO") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nE" },
		  .text = TIMED_OUT("sending DATA command") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nE" },
		  .text = TIMED_OUT("sending end of data -- message may be sent more than once") },
	};
	struct smtp_conf *conf = &the_client.conf;

	(void) unused;
	configure("");
	conf->smtp_helo_timeout = conf->smtp_mail_timeout = conf->smtp_rcpt_timeout =
		conf->smtp_data_init_timeout = 100;
	conf->smtp_data_done_timeout = 100;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct case_ c = cases[i];

		c.outcomes = "d";
		c.dsn = "4.4.2";
		c.site = true;
		run(&c);
	}
}

/* The recipients that had an answer keep it; the others suffer from the end of the connection. */
static void test_an_end_in_the_middle_spares_those_who_had_an_answer(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 550 5.1.1 no\nC RCPT\nS 250 ok\nX" },
		.to = "a@x b@x c@x", .outcomes = "Bdd",
		.site = true };
	static const struct case_ leaving = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 450 4.2.0 a\nC RCPT\nS 421 4.3.2 bye\nX" },
		.to = "a@x b@x c@x",
		.outcomes = "ddd", .text = SAID("450 4.2.0 a", "RCPT TO command") };

	(void) unused;
	configure("");
	run(&c);
	run(&leaving);
}

/* Rate limits for one recipient are said with 421, too; the others must not wait for it until they are returned. */
static void test_421_to_one_recipient_spares_the_others(void **unused)
{
	static const struct case_ stays = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC RCPT\nS 421 4.7.0 b has enough\nC RCPT\nS 250 ok\n"
			     DATA_OK "E" },
		.to = "a@x b@x c@x", .outcomes = "DdD" };
	static const struct case_ without_pipelining = {
		.servers = { PLAIN_HELLO "C MAIL\nS 250 ok\nC RCPT\nS 421 4.7.0 a has enough\nC RCPT\nS 250 ok\n" DATA_OK "E" },
		.to = "a@x b@x", .outcomes = "dD", .text = SAID("421 4.7.0 a has enough", "RCPT TO command") };
	static const struct case_ leaves = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 421 4.3.2 bye\nX" },
		.outcomes = "d", .dsn = "4.3.2", .text = SAID("421 4.3.2 bye", "RCPT TO command") };

	(void) unused;
	configure("");
	run(&stays);
	run(&without_pipelining);
	run(&leaves);
}

static void test_nonsense_is_a_deferral_and_never_a_bounce(void **unused)
{
	static const struct case_ cases[] = {
		{ .servers = { "A\nS HTTP/1.1 400 Bad Request\nE" }, .dsn = "4.5.0" },
		{ .servers = { "A\nS 220 hi\nC EHLO\nS hello\nE" }, .dsn = "4.5.0" },
		{ .servers = { HELLO "C MAIL\nS 25O ok\nC RCPT\nC DATA\nE" }, .dsn = "4.5.0",
		  .text = "Protocol error: host 127.0.0.1[127.0.0.1] said: 25O ok (while sending MAIL FROM)" },
		{ .servers = { HELLO "C MAIL\nS 354 go?\nC RCPT\nS 250 ok\nC DATA\nS 503 no\nE" },
		  .dsn = "4.5.0",
		  .text = "Protocol error: " SAID("354 go?", "MAIL FROM command") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 250 done?\nE" },
		  .dsn = "4.5.0" },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nS 354 more\nE" },
		  .dsn = "4.5.0" },
	};

	(void) unused;
	configure("");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct case_ c = cases[i];

		c.outcomes = "d";
		run(&c);
	}
}

/* ---- LMTP ---- */

#define LHLO "A\nS 220 lmtp\nC LHLO client.example\nS 250-mx\nS 250 PIPELINING\n"

static void test_lmtp_has_an_answer_for_every_recipient(void **unused)
{
	static const struct case_ c = {
		.servers = { LHLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC RCPT\nS 550 5.1.1 no\nC RCPT\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\n"
			     "S 250 2.0.0 <a> saved\nS 452 4.2.2 <c> full\nS 554 5.2.0 <d> no\nE" },
		.nexthop = "inet:127.0.0.1:%d", .to = "a@x b@x c@x d@x", .outcomes = "DBdB",
		.text = "250 2.0.0 <a> saved" };
	static const struct case_ lost = {
		.servers = { LHLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nS 250 2.0.0 saved\nX" },
		.nexthop = "[127.0.0.1]:%d", .to = "a@x b@x", .outcomes = "Dd", .site = true };
	/* who was told what the sender wants to hear says it */
	static const struct case_ knows_dsn = {
		.servers = { "A\nS 220 lmtp\nC LHLO\nS 250-mx\nS 250-DSN\nS 250 PIPELINING\nC MAIL\nS 250 ok\n"
			     "C RCPT TO:<b@x> ORCPT=rfc822;x+2By@example.net NOTIFY=SUCCESS,DELAY\nS 250 ok\nC RCPT\nS 250 ok\n"
			     "C DATA\nS 354 go\nD\nS 250 2.0.0 saved\nS 250 2.0.0 saved\nE" },
		.to = "b@x c@x", .with = set_dsn, .outcomes = "HD" };
	struct case_ without_dsn = {
		.servers = { LHLO "C MAIL\nS 250 ok\nC RCPT TO:<b@x>\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nS 250 saved\nS 250 saved\nE" },
		.to = "b@x c@x", .with = set_dsn, .outcomes = "RD" };
	static const struct case_ no_lhlo = {
		.servers = { "A\nS 220 lmtp\nC LHLO\nS 500 no\nC QUIT\nS 221 bye\nE" }, .outcomes = "B" };

	(void) unused;
	the_client.lmtp = true;
	configure("");
	run(&c);
	configure("");
	run(&lost);
	run(&no_lhlo);
	run(&knows_dsn);
	run(&without_dsn);
	configure("lmtp_assume_final = yes");
	without_dsn.outcomes = "DD";
	run(&without_dsn);
	the_client.lmtp = false;
}

static void test_lmtp_over_a_unix_socket(void **unused)
{
	char nexthop[200], path[100], relay[200];
	struct case_ c = { .servers = { "" }, .nexthop = nexthop, .outcomes = "D", .relay = relay };
	struct case_ gone = { .nexthop = "unix:/nonexistent/lmtp", .outcomes = "d",
			      .dsn = "4.4.1", .site = true,
			      .text = "connect to client.example[/nonexistent/lmtp]: No such file or directory" };
	int listener;

	(void) unused;
	the_client.lmtp = true;
	configure("lmtp_skip_quit_response = yes");
	run(&gone);
	snprintf(path, sizeof(path), "%s/lmtp", directory);
	snprintf(nexthop, sizeof(nexthop), "unix:%s", path);
	snprintf(relay, sizeof(relay), "client.example[%s]", path);
	listener = listen_unix(path, 0600, 5);
	assert_true(listener >= 0);
	unix_listener = listener;
	c.servers[0] = LHLO ENVELOPE "C DATA\nS 354 go\nD\nS 250 2.0.0 saved\nE";
	run(&c);
	unix_listener = -1;
	unlink(path);
	the_client.lmtp = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_message_is_delivered),
		cmocka_unit_test(test_without_pipelining_each_command_waits),
		cmocka_unit_test(test_helo_where_ehlo_is_not_known),
		cmocka_unit_test(test_size_body_and_null_sender),
		cmocka_unit_test(test_dsn_parameters_go_on),
		cmocka_unit_test(test_odd_addresses_are_quoted),
		cmocka_unit_test(test_every_refusal_has_its_verdict),
		cmocka_unit_test(test_every_recipient_has_a_verdict_of_its_own),
		cmocka_unit_test(test_a_lost_connection_defers_at_every_stage),
		cmocka_unit_test(test_silence_defers_at_every_stage),
		cmocka_unit_test(test_an_end_in_the_middle_spares_those_who_had_an_answer),
		cmocka_unit_test(test_421_to_one_recipient_spares_the_others),
		cmocka_unit_test(test_nonsense_is_a_deferral_and_never_a_bounce),
		cmocka_unit_test(test_lmtp_has_an_answer_for_every_recipient),
		cmocka_unit_test(test_lmtp_over_a_unix_socket),
	};

	return cmocka_run_group_tests(tests, client_set_up, client_tear_down);
}
