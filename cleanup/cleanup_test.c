/* SPDX-License-Identifier: ISC */
/* What becomes of a message's headers and content, and of one that is not to be. */
#include "tests/unit.h"

#include <errno.h>
#include <sys/resource.h>

#include "cleanup/scratch_test.h"

/* ---- trace headers ---- */

static void a_remote_message_gets_a_received_header_with_all_clauses(void **state)
{
	struct stored s = pass_text(REMOTE, "Subject: x\n\nbody\n");
	char expected[400];

	(void) state;
	setenv("TZ", "UTC", 1);
	snprintf(expected, sizeof(expected),
		 "Received: from helo.example.com (c.example.com [192.0.2.7])\n"
		 "\tby mail.example.org (Postroad) with ESMTP id %s\n"
		 "\tfor <bob@example.net>; Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\nSubject: x\n", s.id);
	assert_str(s.headers, expected);
	assert_str(s.body, "body\n");
	snprintf(expected, sizeof(expected), "Ok: queued as %s", s.id);
	assert_reply(&s, 250, "2.0.0", expected);
	drop(&s);
}

static void several_recipients_are_not_told_about_each_other(void **state)
{
	struct recipient to[] = { { .address = STR("bob@example.net") },
				  { .address = STR("eve@example.net"), .index = 1 } };
	struct envelope e = from_client(to, 2);
	struct stored s = pass("smtpd", REMOTE, &e, STR("Subject: x\n\n"), 0);

	(void) state;
	assert_has_not(s.headers, "for <");
	assert_int_equal(s.e.recipient_count, 2);
	drop(&s);
}

static void internationalized_mail_and_ipv6_show_in_received(void **state)
{
	struct recipient to = { .address = STR("r\xc3\xa9mi@example.net") };
	struct envelope e = from_client(&to, 1);
	struct stored s;

	(void) state;
	e.flags = ENVELOPE_SMTPUTF8;
	e.client_protocol = STR("ESMTPS");
	e.client_address = STR("2001:db8::1");
	s = pass("smtpd", REMOTE, &e, STR("Subject: x\n\n"), 0);
	assert_has(s.headers, "[IPv6:2001:db8::1])");
	assert_has(s.headers, "with UTF8SMTPS id");
	assert_has(s.headers, "for <r\xc3\xa9mi@example.net>");
	drop(&s);
}

static void a_local_message_gets_what_it_lacks(void **state)
{
	struct recipient to = { .address = STR("bob") };
	struct envelope e = { .sender = STR("root"), .arrival_us = 1700000000000000,
			      .flags = ENVELOPE_LOCAL, .uid = 1000,
			      .full_name = STR("Joe \"X\" User"), .recipient_count = 1, .recipients = &to };
	struct stored s = pass("pickup", CLEANUP_ADD_RECEIVED, &e, STR("To: bob, carol@example.net\n\nhi\n"),
			       0);
	char expected[200];

	(void) state;
	snprintf(expected, sizeof(expected),
		 "Received: by mail.example.org (Postroad, from userid 1000)\n\tid %s; Tue, 14 Nov", s.id);
	assert_has(s.headers, expected);
	assert_has(s.headers, "\nTo: bob@example.org, carol@example.net\n");
	snprintf(expected, sizeof(expected), "\nMessage-Id: <20231114221320.%s@mail.example.org>\n", s.id);
	assert_has(s.headers, expected);
	assert_has(s.headers, "\nDate: Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\n");
	assert_has(s.headers, "\nFrom: \"Joe \\\"X\\\" User\" <root@example.org>\n");
	assert_str(s.e.sender, "root@example.org");
	assert_str(s.e.recipients[0].address, "bob@example.org");
	assert_str(s.e.recipients[0].original, "bob");
	drop(&s);
}

static void a_remote_message_keeps_lacking_it(void **state)
{
	struct stored s = pass_text(REMOTE, "To: bob\n\n");

	(void) state;
	assert_has_not(s.headers, "Date:");
	assert_has_not(s.headers, "Message-Id:");
	assert_has(s.headers, "To: bob\n");
	drop(&s);
}

static void a_header_may_say_that_tls_is_not_required(void **state)
{
	static const struct { const char *text; unsigned flags, expected; } cases[] = {
		{ "TLS-Required: No\n\n", 0, ENVELOPE_TLS_OPTIONAL },
		{ "tls-required:\tNO \n\n", 0, ENVELOPE_TLS_OPTIONAL },
		{ "TLS-Required: Yes\n\n", 0, 0 }, { "TLS-Required:\n\n", 0, 0 },
		{ "X-TLS-Required: No\n\n", 0, 0 }, { "Subject: x\n\nTLS-Required: No\n", 0, 0 },
		{ "TLS-Required: No\n\n", ENVELOPE_REQUIRETLS, ENVELOPE_REQUIRETLS },
	};
	const bool before = common.tls_required_enable;

	(void) state;
	for (int on = 1; on >= 0; on--)
		for (size_t i = 0; i < COUNT_OF(cases); i++) {
			struct recipient to = { .address = STR("bob@example.com") };
			struct envelope e = from_client(&to, 1);
			struct stored s;

			common.tls_required_enable = on;
			e.flags |= cases[i].flags;
			s = pass("smtpd", REMOTE, &e, str_of(cases[i].text), 0);
			assert_int_equal(s.e.flags & (ENVELOPE_REQUIRETLS | ENVELOPE_TLS_OPTIONAL),
					 on ? cases[i].expected : cases[i].flags);
			drop(&s);
		}
	common.tls_required_enable = before;
}

static void requiretls_is_not_forgotten_on_the_way_through_a_filter(void **state)
{
	const struct common_conf before = common;
	struct recipient to = { .address = STR("bob@example.com") };
	struct envelope e = from_client(&to, 1);
	struct stored s;

	(void) state;
	common.requiretls_enable = the_cleanup.conf.requiretls_esmtp_header = true;
	e.flags |= ENVELOPE_REQUIRETLS;
	s = pass("smtpd", REMOTE, &e, STR("Subject: x\nRequire-TLS-ESMTP: yes\n\n"), 0);
	assert_has(s.headers, "\nRequire-TLS-ESMTP: yes\nSubject: x\n");
	assert_has_not(s.headers, "Subject: x\nRequire-TLS-ESMTP");
	drop(&s);
	s = pass_text(REMOTE, "Subject: x\nRequire-TLS-ESMTP: yes\n\n");
	assert_true((s.e.flags & ENVELOPE_REQUIRETLS) != 0);
	assert_has(s.headers, "Subject: x\nRequire-TLS-ESMTP: yes\n");
	drop(&s);
	s = pass_text(REMOTE, "Require-TLS-ESMTP: no\n\nRequire-TLS-ESMTP: yes\n");
	assert_int_equal(s.e.flags & ENVELOPE_REQUIRETLS, 0);
	drop(&s);
	the_cleanup.conf.requiretls_esmtp_header = false;
	s = pass("smtpd", REMOTE, &e, STR("Subject: x\n\n"), 0);
	assert_has_not(s.headers, "Require-TLS-ESMTP");
	drop(&s);
	s = pass_text(REMOTE, "Require-TLS-ESMTP: yes\n\n");
	assert_int_equal(s.e.flags & ENVELOPE_REQUIRETLS, 0);
	drop(&s);
	common = before;
}

static void a_resent_message_gets_resent_headers(void **state)
{
	struct stored s = pass_text(CLEANUP_ADD_RECEIVED,
				    "From: a@b\nDate: x\nMessage-ID: <1@2>\nResent-From: c@d\n\n");

	(void) state;
	assert_has(s.headers, "Resent-Date:");
	assert_has(s.headers, "Resent-Message-Id:");
	assert_has_not(s.headers, "\nDate: Tue");
	drop(&s);
}

static void a_message_without_a_recipient_that_may_be_seen_says_so_if_configured(void **state)
{
	static const struct { const char *headers; bool says_so; } cases[] = {
		{ "Subject: x\n\n", true }, { "Bcc: a@b\n\n", true }, { "Resent-From: c@d\n\n", true },
		{ "Resent-Bcc: c@d\n\n", true },
		{ "To: a@b\n\n", false }, { "Cc: a@b\n\n", false }, { "Resent-To: c@d\n\n", false },
		{ "Resent-From: c@d\nTo : a@b\n\n", false },
	};
	const char *before = the_cleanup.conf.undisclosed_recipients_header;

	(void) state;
	the_cleanup.conf.undisclosed_recipients_header = "To: undisclosed-recipients:;";
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct stored s = pass_text(0, cases[i].headers);

		if (cases[i].says_so)
			assert_has(s.headers, "To: undisclosed-recipients:;\n");
		else
			assert_has_not(s.headers, "undisclosed");
		drop(&s);
	}
	the_cleanup.conf.undisclosed_recipients_header = before;
}

static void what_is_no_header_is_not_added_for_undisclosed_recipients(void **state)
{
	const char *before = the_cleanup.conf.undisclosed_recipients_header;
	struct stored s;

	(void) state;
	the_cleanup.conf.undisclosed_recipients_header = "undisclosed recipients";
	s = pass_text(0, "Subject: x\n\n");
	assert_has(s.headers, "Subject: x\n");
	assert_has_not(s.headers, "undisclosed");
	drop(&s);
	the_cleanup.conf.undisclosed_recipients_header = before;
}

static void bcc_and_return_path_are_removed(void **state)
{
	struct stored s = pass_text(REMOTE,
				    "Return-Path: <x@y>\nTo: a@b\nBCC: secret@example.com,\n other@example.com\nX-Bcc: kept\n\n");

	(void) state;
	assert_has_not(s.headers, "secret");
	assert_has_not(s.headers, "other@");
	assert_has_not(s.headers, "x@y");
	assert_has(s.headers, "X-Bcc: kept\n");
	drop(&s);
}

/* ---- content ---- */

static void a_carriage_return_that_ends_no_line_becomes_a_blank(void **state)
{
	(void) state;
	struct stored s = pass_text(CLEANUP_EXTERNAL, "A: b\rc\n\none\r \n\r.\rx\ntwo\n");

	assert_str(s.headers, "A: b c\n");
	assert_str(s.body, "one  \n . x\ntwo\n");
	drop(&s);
}

/* Some programs end lines with CR CR LF: of their empty lines the first must still end the headers. */
static void one_too_many_at_the_end_of_a_line_goes_away(void **state)
{
	static const char text[] = "A: b\r\nC: d\r\n\r\nHost: e\r\r\n\rf\r\rg\r\n";
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = from_client(&to, 1);

	(void) state;
	for (size_t piece = 0; piece < sizeof(text); piece++) {
		struct stored s = pass("smtpd", CLEANUP_EXTERNAL, &e, str_make(text, sizeof(text) - 1), piece);

		assert_str(s.headers, "A: b\nC: d\n");
		assert_str(s.body, "Host: e\n f  g\n");
		drop(&s);
	}
}

static void content_is_kept_byte_for_byte(void **state)
{
	static const char headers[] = "X-Odd:\ttab\xff\x00nul\rcr \nX-Folded: a\n\tb\n  c\n";
	static char text[200000];
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = from_client(&to, 1);
	size_t n = sizeof(headers) - 1;
	uint32_t seed = 7;

	(void) state;
	memcpy(text, headers, n);
	text[n++] = '\n';
	for (size_t i = n; i < sizeof(text); i++) {
		seed = seed * 1664525 + 1013904223;
		text[i] = (char) (seed >> 24);		/* all 256, lines of 256 bytes or so */
	}
	memset(text + 20000, 'x', 50000);		/* and a long one */
	text[sizeof(text) - 1] = '\n';
	the_cleanup.conf.cleanup_replace_stray_cr_lf = false;
	for (size_t piece = 0; piece < 200000; piece = piece * 3 + 999) {
		struct stored s = pass("smtpd", REMOTE, &e, str_make(text, sizeof(text)), piece);

		assert_int_equal(s.reply.code, 250);
		assert_true(str_ends(s.headers, str_make(headers, sizeof(headers) - 1)));
		assert_true(str_is(s.body, str_make(text + n, sizeof(text) - n)));
		assert_true((s.e.flags & ENVELOPE_8BITMIME) != 0);
		drop(&s);
	}
	the_cleanup.conf.cleanup_replace_stray_cr_lf = true;
}

static void headers_are_found_in_pieces_of_any_size(void **state)
{
	static const char text[] = "Subject: a\n b\nTo: x@y\n\nbody line\n\nmore\n";
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = from_client(&to, 1);

	(void) state;
	for (size_t piece = 0; piece < sizeof(text); piece++) {
		struct stored s = pass("smtpd", CLEANUP_EXTERNAL, &e, str_make(text, sizeof(text) - 1), piece);

		assert_str(s.headers, "Subject: a\n b\nTo: x@y\n");
		assert_str(s.body, "body line\n\nmore\n");
		drop(&s);
	}
}

static void odd_beginnings_are_no_headers(void **state)
{
	static const struct { const char *content, *headers, *body; bool empty_line; } cases[] = {
		{ "", "", "", false },
		{ "\n", "", "", true },
		{ "\n\n", "", "\n", true },
		{ "no header here\nmore\n", "", "no header here\nmore\n", true },
		{ " starts with a blank\n", "", " starts with a blank\n", true },
		{ "A: b\nnot a header\nC: d\n", "A: b\n", "not a header\nC: d\n", true },
		{ "A: b\n", "A: b\n", "", false },
		{ "A: b", "A: b\n", "", false },
		{ "A: b\n\nno newline at the end", "A: b\n", "no newline at the end\n", true },
		{ "From me\n B: folded\nA: b\n\nx\n", "X-Mailbox-Line: From me\n", " B: folded\nA: b\n\nx\n", true },
		{ "From me\n>From me\nA: b\n\nx\n", "X-Mailbox-Line: From me\nX-Mailbox-Line: >From me\nA: b\n", "x\n", true },
		{ "From me\nFrom : me\n\nx\n", "X-Mailbox-Line: From me\nX-Mailbox-Line: From : me\n", "x\n", true },
		{ "A: b\nFrom : me\n and you\nC: d\n\nx\n", "A: b\nFrom: me\n and you\nC: d\n", "x\n", true },
		{ "From me Mon Nov 22\nA: b\n\nx\n", "X-Mailbox-Line: From me Mon Nov 22\nA: b\n",
		  "x\n", true },
		{ "A: b\nFrom me Mon\nx\n", "A: b\n", "From me Mon\nx\n", true },
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct stored s = pass_text(CLEANUP_EXTERNAL, cases[i].content);

		assert_int_equal(s.reply.code, 250);
		assert_str(s.headers, cases[i].headers);
		assert_str(s.body, cases[i].body);
		assert_int_equal(s.size, s.headers.len + cases[i].empty_line + s.body.len);
		drop(&s);
	}
}

static void a_header_beyond_its_limit_is_cut(void **state)
{
	static char text[300000];
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = from_client(&to, 1);
	struct stored s;

	(void) state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "X-Big: ", 7);
	memcpy(text + sizeof(text) - 7, "\nA: b\n\n", 7);
	s = pass("smtpd", CLEANUP_EXTERNAL, &e, str_make(text, sizeof(text)), 5000);
	assert_int_equal(s.reply.code, 250);
	assert_int_equal(s.headers.len, 102400 + 1 + 5);
	assert_true(str_ends(s.headers, STR("x\nA: b\n")));
	drop(&s);
}

static void too_much_of_anything_is_refused_and_leaves_nothing(void **state)
{
	static char text[600000];
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = from_client(&to, 1);
	struct stored s;
	AUTO(buf) hops = BUF(1 << 20);

	(void) state;
	for (int i = 0; i < 49; i++)
		buf_add_text(&hops, "Received: x\n");
	s = pass("smtpd", REMOTE, &e, buf_str(&hops), 0);
	assert_reply(&s, 554, "5.4.0", "Error: too many hops");
	assert_false(s.exists);
	drop(&s);
	s = pass("smtpd", REMOTE, &e, str_skip(buf_str(&hops), 12), 0);
	assert_int_equal(s.reply.code, 250);
	drop(&s);
	memset(text, '\n', sizeof(text));
	s = pass("smtpd", REMOTE, &e, str_make(text, sizeof(text)), 70000);
	assert_reply(&s, 552, "5.3.4", "Error: message file too big");
	assert_false(s.exists);
	drop(&s);
	s = pass("local", CLEANUP_ANY_SIZE, &e, str_make(text, sizeof(text)), 70000);
	assert_int_equal(s.reply.code, 250);
	drop(&s);
}

static void a_full_disk_is_a_temporary_error(void **state)
{
	static char text[400000] = "A: b\n\n";
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = from_client(&to, 1);
	struct rlimit old, small = { 100000, RLIM_INFINITY };
	struct stored s;

	(void) state;
	sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	getrlimit(RLIMIT_FSIZE, &old);
	setrlimit(RLIMIT_FSIZE, &small);
	s = pass("smtpd", REMOTE, &e, str_make(text, sizeof(text)), 70000);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_reply(&s, 452, "4.3.1", "Error: insufficient system storage");
	assert_false(s.exists);
	drop(&s);
}

static void soft_bounce_makes_refusals_temporary(void **state)
{
	struct envelope e = from_client(NULL, 0);
	struct stored s;

	(void) state;
	the_cleanup.soft_bounce = true;
	s = pass("smtpd", REMOTE, &e, STR("A: b\n\n"), 0);
	the_cleanup.soft_bounce = false;
	assert_reply(&s, 450, "4.1.0", "Error: no recipients specified");
	drop(&s);
}

/* ---- giving up ---- */

static void a_message_that_is_not_ended_leaves_nothing(void **state)
{
	static char text[300000] = "A: b\n\n";
	struct arena *a = arena_new("message", NULL, 64 << 20);
	AUTO(queue_file) f = { .fd = -1 };
	struct message *m = message_begin(a, STR("smtpd"), 0, STR_NONE,
					  STR("sender\t\nto\t0\tb@example.net\t\t0\t\n"));

	(void) state;
	message_feed(m, str_make(text, sizeof(text)));
	assert_int_equal(queue_file_open(the_cleanup.queue, QUEUE_INCOMING, str_of(m->id), false, false, &f),
			 -ENODATA);
	message_free(m);
	assert_int_equal(queue_file_open(the_cleanup.queue, QUEUE_INCOMING, str_of(m->id), false, false, &f),
			 -ENOENT);
	arena_free(a);
}

static void a_nonsense_envelope_is_a_protocol_error(void **state)
{
	struct arena *a = arena_new("message", NULL, 64 << 20);
	struct message *m = message_begin(a, STR("smtpd"), 0, STR("../../etc"), STR("nonsense"));
	struct cleanup_reply reply;

	(void) state;
	assert_true(queue_id_is_valid(str_of(m->id)));
	message_feed_all(m, STR("A: b\n\n"));
	message_end(m, &reply);
	assert_int_equal(reply.code, 451);
	message_free(m);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_remote_message_gets_a_received_header_with_all_clauses),
		cmocka_unit_test(several_recipients_are_not_told_about_each_other),
		cmocka_unit_test(internationalized_mail_and_ipv6_show_in_received),
		cmocka_unit_test(a_local_message_gets_what_it_lacks),
		cmocka_unit_test(a_remote_message_keeps_lacking_it),
		cmocka_unit_test(a_header_may_say_that_tls_is_not_required),
		cmocka_unit_test(requiretls_is_not_forgotten_on_the_way_through_a_filter),
		cmocka_unit_test(a_resent_message_gets_resent_headers),
		cmocka_unit_test(a_message_without_a_recipient_that_may_be_seen_says_so_if_configured),
		cmocka_unit_test(what_is_no_header_is_not_added_for_undisclosed_recipients),
		cmocka_unit_test(bcc_and_return_path_are_removed),
		cmocka_unit_test(content_is_kept_byte_for_byte),
		cmocka_unit_test(a_carriage_return_that_ends_no_line_becomes_a_blank),
		cmocka_unit_test(one_too_many_at_the_end_of_a_line_goes_away),
		cmocka_unit_test(headers_are_found_in_pieces_of_any_size),
		cmocka_unit_test(odd_beginnings_are_no_headers),
		cmocka_unit_test(a_header_beyond_its_limit_is_cut),
		cmocka_unit_test(too_much_of_anything_is_refused_and_leaves_nothing),
		cmocka_unit_test(a_full_disk_is_a_temporary_error),
		cmocka_unit_test(soft_bounce_makes_refusals_temporary),
		cmocka_unit_test(a_message_that_is_not_ended_leaves_nothing),
		cmocka_unit_test(a_nonsense_envelope_is_a_protocol_error),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
