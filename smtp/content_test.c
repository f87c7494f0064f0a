/* SPDX-License-Identifier: ISC */
/* Content on its way out: conversion, limits, size; and many recipients. */
#include "smtp/client_for_test.h"

/* ---- what the server cannot take ---- */

static void test_a_message_beyond_the_servers_size_is_not_even_offered(void **unused)
{
	static const struct case_ c = {
		.servers = { "A\nS 220 hi\nC EHLO\nS 250-mx\nS 250 SIZE 10\nE" }, .outcomes = "B",
		.dsn = "5.3.4",
		.text = "message size 23 exceeds size limit 10 of server 127.0.0.1[127.0.0.1]" };

	(void) unused;
	configure("");
	run(&c);
}

static void test_smtputf8_is_asked_for_where_needed(void **unused)
{
	static const struct case_ offered = {
		.servers = { "A\nS 220 hi\nC EHLO\nS 250-mx\nS 250-SMTPUTF8\nS 250 8BITMIME\n"
			     "C MAIL FROM:<a@example.org> BODY=8BITMIME SMTPUTF8\nS 250 ok\nC RCPT TO:<j\xc3\xb6@x>\nS 250 ok\n" DATA_OK "E" },
		.to = "j\xc3\xb6@x", .envelope_flags = ENVELOPE_SMTPUTF8 | ENVELOPE_8BITMIME,
		.outcomes = "D" };
	static const struct case_ missing = {
		.servers = { HELLO "E" }, .to = "j\xc3\xb6@x", .envelope_flags = ENVELOPE_SMTPUTF8,
		.outcomes = "B", .dsn = "5.6.7",
		.text = "SMTPUTF8 is required, but was not offered by host 127.0.0.1[127.0.0.1]" };
	static const struct case_ second = {
		.servers = { HELLO "E", "A\nS 220 hi\nC EHLO\nS 250-mx\nS 250-SMTPUTF8\nS 250 8BITMIME\n"
			     "C MAIL FROM:<a@example.org> SMTPUTF8\nS 250 ok\nC RCPT TO:<j\xc3\xb6@x>\nS 250 ok\n" DATA_OK "E" },
		.nexthop = "[127.0.0.1]:%d, [127.0.0.2]:%d", .to = "j\xc3\xb6@x",
		.envelope_flags = ENVELOPE_SMTPUTF8, .outcomes = "D" };
	static const struct case_ neither = {
		.servers = { HELLO "E", HELLO "E" }, .nexthop = "[127.0.0.1]:%d, [127.0.0.2]:%d", .to = "j\xc3\xb6@x",
		.envelope_flags = ENVELOPE_SMTPUTF8, .outcomes = "B", .dsn = "5.6.7",
		.text = "SMTPUTF8 is required, but was not offered by host 127.0.0.2[127.0.0.2]" };
	static const struct case_ header = {
		.servers = { HELLO "E" }, .content = "Subject: \xc3\xb6\n\nx\n",
		.envelope_flags = ENVELOPE_SMTPUTF8, .outcomes = "B", .dsn = "5.6.7" };
	static const struct case_ unneeded = {
		.servers = { HELLO ENVELOPE DATA_OK "E" }, .envelope_flags = ENVELOPE_SMTPUTF8,
		.outcomes = "D" };

	(void) unused;
	configure("");
	run(&offered);
	run(&missing);
	run(&second);
	run(&neither);
	run(&header);
	run(&unneeded);
}

static void test_8bit_content_is_converted_for_a_server_without_8bitmime(void **unused)
{
	static const struct case_ c = {
		.servers = { PLAIN_HELLO ENVELOPE DATA_OK "E" }, .envelope_flags = ENVELOPE_8BITMIME,
		.content = "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\ngr\xc3\xbc\n.\n",
		.outcomes = "D" };

	(void) unused;
	configure("");
	run_many(&c, 1);
	assert_non_null(strstr(buf_text(&servers[0].content), "quoted-printable"));
	assert_non_null(strstr(buf_text(&servers[0].content), "\ngr=C3=BC\n..\n"));
	end_case();
	configure("disable_mime_output_conversion = yes");
	run_many(&c, 1);
	assert_non_null(strstr(buf_text(&servers[0].content), "\ngr\xc3\xbc\n"));
	end_case();
}

static void test_keywords_can_be_overlooked(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO "C MAIL FROM:<a@example.org>\nP 20\nS 250 ok\nC RCPT\nS 250 ok\n" DATA_OK "E" },
		.outcomes = "D" };

	(void) unused;
	configure("smtp_discard_ehlo_keywords = size, pipelining");
	run(&c);
}

/* ---- other addresses outside ---- */

#define GENERIC \
	"myorigin = inside.example\nmydestination = inside.example\nrecipient_delimiter = +\ninet_interfaces = 127.0.0.1\n" \
	"smtp_generic_maps = inline:{ {me@inside.example = \"me too\"@outside.example} {@lan.example = all@outside.example} {you = you@there.example} }\n"

static void test_generic_maps_change_envelope_and_headers(void **unused)
{
	static const struct case_ c = {
		.servers = { "A\nS 220 hi\nC EHLO\nS 250-mx\nS 250 DSN\nC MAIL FROM:<\"me too\"@outside.example>\nS 250 ok\n"
			     "C RCPT TO:<all@outside.example> ORCPT=rfc822;x+2By@lan.example\nS 250 ok\n"
			     "C RCPT TO:<you@there.example> ORCPT=rfc822;you+2Bext@inside.example\nS 250 ok\nC RCPT TO:<b@else.example>\nS 250 ok\n" DATA_OK "E" },
		.sender = "me@inside.example", .to = "x+y@lan.example you+ext@inside.example b@else.example",
		.outcomes = "DDD",
		.content = "From: Me (it is) <me@inside.example>\nX: me@inside.example\nTo: a@lan.example,\n\tb@else.example (b)\n\nme@inside.example\n.\n" };

	(void) unused;
	configure(GENERIC);
	run_many(&c, 1);
	assert_non_null(strstr(buf_text(&servers[0].content),
			       "From: Me (it is) <\"me too\"@outside.example>\nX: me@inside.example\nTo: all@outside.example,\n\tb@else.example (b)\n\n"
			       "me@inside.example\n..\n"));
	end_case();
}

static void test_headers_without_a_body_stay_so(void **unused)
{
	static const struct case_ c = {
		.servers = { PLAIN_HELLO "C MAIL FROM:<>\nS 250 ok\nC RCPT\nS 250 ok\n" DATA_OK "E" },
		.sender = "", .content = "To: you@inside.example\n\n", .outcomes = "D" };

	(void) unused;
	configure(GENERIC "propagate_unmatched_extensions = generic\n");
	run_many(&c, 1);
	assert_non_null(strstr(buf_text(&servers[0].content), "To: you@there.example\n\n"));
	end_case();
}

static void test_generic_maps_that_fail_defer_before_anybody_is_asked(void **unused)
{
	static const struct case_ c = { .servers = { NULL }, .nexthop = "[127.0.0.1]:1", .outcomes = "d",
					.dsn = "4.3.0", .text = "smtp_generic_maps lookup problem" };

	(void) unused;
	configure("inet_interfaces = 127.0.0.1\nsmtp_generic_maps = fail:nothing\n");
	run(&c);
	configure("");
}

/* ---- much ---- */

static char *big_content(size_t size)
{
	char *text = malloc(size + 1);
	size_t at = (size_t) snprintf(text, size, "Subject: big\n\n");

	for (size_t line = 0; at < size; line++)
		at += (size_t) snprintf(text + at, size + 1 - at,
					"%zu .some text to fill the line with, and then some more of it\n.\n",
					line);
	text[size] = 0;
	return text;
}

static void test_a_big_message_arrives_byte_for_byte(void **unused)
{
	char *content = big_content(5000000), *got, *to;
	struct case_ c = { .servers = { PLAIN_HELLO ENVELOPE DATA_OK "E" }, .outcomes = "D",
			   .content = content };

	(void) unused;
	configure("");
	run_many(&c, 1);
	got = to = servers[0].content.at;
	for (char *from = got; *from != 0; from++) {		/* undo the dots */
		if (*from == '.' && (from == got || from[-1] == '\n'))
			continue;
		*to++ = *from;
	}
	*to = 0;
	if (strlen(got) == strlen(content) + 1)
		got[strlen(content)] = 0;			/* the line end that was missing */
	assert_string_equal(got, content);
	end_case();
	free(content);
}

static void test_a_server_may_refuse_halfway(void **unused)
{
	char *content = big_content(8000000);
	struct case_ refused = {
		.servers = { PLAIN_HELLO ENVELOPE "C DATA\nS 354 go\nS 552 5.3.4 that is too much\nP 50\nX" },
		.content = content,
				 .outcomes = "B", .dsn = "5.3.4", .text = SAID("552 5.3.4 that is too much",
				 "message content") };
	struct case_ gone = { .servers = { PLAIN_HELLO ENVELOPE "C DATA\nS 354 go\nP 50\nX" },
			      .content = content, .outcomes = "d", .site = true,
			      .dsn = "4.4.2", .text = LOST("sending message body") };

	(void) unused;
	configure("");
	run(&refused);
	run(&gone);
	free(content);
}

static void test_long_lines_are_broken_as_configured(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO ENVELOPE DATA_OK "E" },
		.content = "Subject: 123456789 123456789\n\n123456789 123456789 1\n", .outcomes = "D" };

	(void) unused;
	configure("smtp_line_length_limit = 20");
	run_many(&c, 1);
	assert_str(buf_str(&servers[0].content),
		   "Subject: 123456789 1\n 23456789\n\n123456789 123456789 \n 1\n");
	end_case();
	configure("smtp_line_length_limit = 0");
	run_many(&c, 1);
	assert_str(buf_str(&servers[0].content), c.content);
	end_case();
}

static void test_a_thousand_recipients_in_one_transaction(void **unused)
{
	AUTO(buf) to = BUF(100000);
	AUTO(buf) script = BUF(1000000);
	AUTO(buf) outcomes = BUF(2000);
	struct case_ c = { 0 };

	(void) unused;
	configure("");
	buf_add_text(&script, HELLO "C MAIL\nS 250 ok\n");
	for (int i = 0; i < 1000; i++) {
		buf_addf(&to, "user%d@example.net ", i);
		buf_addf(&script, "C RCPT TO:<user%d@example.net>\nS %s\n", i,
			 i % 7 == 3 ? "550 5.1.1 no" : "250 2.1.5 Ok");
		buf_add_byte(&outcomes, i % 7 == 3 ? 'B' : 'D');
	}
	buf_add_text(&script, DATA_OK "E");
	c.servers[0] = buf_text(&script);
	c.to = buf_text(&to);
	c.outcomes = buf_text(&outcomes);
	run(&c);
}

static void test_those_who_were_one_too_many_get_another_transaction(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT TO:<a@x>\nS 250 ok\nC RCPT TO:<b@x>\nS 250 ok\nC RCPT TO:<c@x>\nS 452 4.5.3 too many\n"
			     DATA_OK "C MAIL\nS 250 ok\nC RCPT TO:<c@x>\nS 250 ok\n" DATA_OK "E" },
		.to = "a@x b@x c@x", .outcomes = "DDD" };
	static const struct case_ full = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT TO:<a@x>\nS 250 ok\nC RCPT TO:<b@x>\nS 552 5.2.2 mailbox full\n" DATA_OK "E" },
		.to = "a@x b@x", .outcomes = "DB" };

	/* a server that takes one at a time, and none today: nobody is asked twice */
	static const struct case_ refused = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT TO:<a@x>\nS 250 ok\nC RCPT TO:<b@x>\nS 450 4.2.0 grey\nC RCPT TO:<c@x>\nS 452 4.5.3 too many\n"
			     "C DATA\nS 451 4.3.0 not now\nC RSET\nS 250 ok\nC MAIL\nS 250 ok\nC RCPT TO:<c@x>\nS 250 ok\nC DATA\nS 451 4.3.0 not now\nE" },
		.to = "a@x b@x c@x", .outcomes = "ddd",
		.text = "host 127.0.0.1[127.0.0.1] said: 451 4.3.0 not now (in reply to DATA command)" };

	(void) unused;
	configure("");
	run(&c);
	run(&full);
	run(&refused);
}

static void leave_little_room(struct delivery *d)
{
	enum { ENOUGH = 128 << 20, FOR_SOME_MORE = 40000 };

	arena_get(d->arena, arena_left(d->arena) - ENOUGH - FOR_SOME_MORE);
}

/* A server may refuse all but one each time, at length: what it says must not fill our memory. */
static void test_a_talkative_server_is_heard_until_there_is_no_room_for_more(void **unused)
{
	static char script[40000];
	static const struct case_ c = {
		.servers = { script }, .to = "a@x b@x c@x d@x", .with = leave_little_room,
		.nexthop = "[127.0.0.1]:%d, [127.0.0.2]:%d", .outcomes = "Dddd",
		.relay = "127.0.0.1[127.0.0.1]:%d" };
	size_t len;

	(void) unused;
	configure("");
	len = (size_t) snprintf(script, sizeof(script), "%s", HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\n");
	for (int i = 0; i < 3; i++)
		len += (size_t) snprintf(script + len, sizeof(script) - len, "C RCPT\nS 452 %04000d\n", i);
	snprintf(script + len, sizeof(script) - len, "%s", DATA_OK "E");
	run(&c);
}

static void test_a_probe_stops_after_rcpt(void **unused)
{
	static const struct case_ good = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 2.1.5 yes\nE" },
		.deliver_flags = DELIVER_PROBE, .outcomes = "D", .text = "250 2.1.5 yes" };
	static const struct case_ bad = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 550 5.1.1 no\nE" },
		.deliver_flags = DELIVER_PROBE, .outcomes = "B" };

	static const struct case_ not_now = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 2.1.5 yes\nC DATA\nS 451 4.3.0 not now\nE" },
		.deliver_flags = DELIVER_PROBE, .outcomes = "d",
		.dsn = "4.3.0" };

	(void) unused;
	configure("");
	run(&good);
	run(&bad);
	configure("smtp_address_verify_target = data");
	run(&not_now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_message_beyond_the_servers_size_is_not_even_offered),
		cmocka_unit_test(test_smtputf8_is_asked_for_where_needed),
		cmocka_unit_test(test_8bit_content_is_converted_for_a_server_without_8bitmime),
		cmocka_unit_test(test_keywords_can_be_overlooked),
		cmocka_unit_test(test_generic_maps_change_envelope_and_headers),
		cmocka_unit_test(test_headers_without_a_body_stay_so),
		cmocka_unit_test(test_generic_maps_that_fail_defer_before_anybody_is_asked),
		cmocka_unit_test(test_a_big_message_arrives_byte_for_byte),
		cmocka_unit_test(test_a_server_may_refuse_halfway),
		cmocka_unit_test(test_long_lines_are_broken_as_configured),
		cmocka_unit_test(test_a_thousand_recipients_in_one_transaction),
		cmocka_unit_test(test_those_who_were_one_too_many_get_another_transaction),
		cmocka_unit_test(test_a_talkative_server_is_heard_until_there_is_no_room_for_more),
		cmocka_unit_test(test_a_probe_stops_after_rcpt),
	};

	return cmocka_run_group_tests(tests, client_set_up, client_tear_down);
}
