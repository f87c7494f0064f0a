/* SPDX-License-Identifier: ISC */
/*
 * Whom a message goes to, which addresses its headers then have, and what header and body checks do
 * with it.
 */
#include "tests/unit.h"

#include <errno.h>

#include "cleanup/scratch_test.h"

/* ---- recipients ---- */

static void recipients_are_taken_from_headers(void **state)
{
	struct envelope e = { .sender = STR("me"), .arrival_us = 1, .flags = ENVELOPE_LOCAL };
	struct stored s = pass("pickup", CLEANUP_EXTRACT | CLEANUP_ADD_RECEIVED, &e,
			       STR("To: One <one@example.net>,\n \"two, too\"@example.net\nCc: three (comment)\nBcc: four@example.net\n\nx\n"), 0);

	(void) state;
	assert_int_equal(s.reply.code, 250);
	assert_int_equal(s.e.recipient_count, 4);
	assert_str(s.e.recipients[0].address, "one@example.net");
	assert_str(s.e.recipients[1].address, "two, too@example.net");
	assert_str(s.e.recipients[2].address, "three@example.org");
	assert_str(s.e.recipients[3].address, "four@example.net");
	assert_has_not(s.headers, "four");
	drop(&s);
}

static void utf8_from_local_programs_needs_smtputf8(void **state)
{
	struct recipient to = { .address = STR("r\xc3\xa9mi@example.net") },
		plain = { .address = STR("bob@example.net") };
	struct envelope e = { .sender = STR("me"), .arrival_us = 1, .flags = ENVELOPE_LOCAL,
			      .recipient_count = 1, .recipients = &plain };
	static const struct {
		const char *origin, *content;
		bool utf8_address;
		unsigned expected;
	} cases[] = {
		{ "pickup", "Subject: Gr\xc3\xbc\xc3\x9f" "e\n\n", false,
		  ENVELOPE_SMTPUTF8 | ENVELOPE_8BITMIME },
		{ "pickup", "Subject: latin \xfc\n\n", false, ENVELOPE_8BITMIME },
		{ "pickup", "Subject: x\n\nGr\xc3\xbc\xc3\x9f" "e\n", false, ENVELOPE_8BITMIME },
		{ "pickup", "Subject: x\n\n", true, ENVELOPE_SMTPUTF8 },
		{ "smtpd", "Subject: Gr\xc3\xbc\xc3\x9f" "e\n\n", false, ENVELOPE_8BITMIME },
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct stored s;

		e.recipients = cases[i].utf8_address ? &to : &plain;
		s = pass(cases[i].origin, CLEANUP_EXTERNAL, &e, str_of(cases[i].content), 0);
		assert_int_equal(s.e.flags & (ENVELOPE_SMTPUTF8 | ENVELOPE_8BITMIME), cases[i].expected);
		drop(&s);
	}
}

static void a_resent_message_goes_to_its_resent_recipients(void **state)
{
	struct envelope e = { .sender = STR("me"), .arrival_us = 1, .flags = ENVELOPE_LOCAL };
	struct stored s = pass("pickup", CLEANUP_EXTRACT, &e,
			       STR("To: old@example.net\nResent-To: new@example.net\nResent-From: x@y\n\n"),
			       0);

	(void) state;
	assert_int_equal(s.e.recipient_count, 1);
	assert_str(s.e.recipients[0].address, "new@example.net");
	drop(&s);
}

static void nobody_to_send_to_is_refused(void **state)
{
	struct envelope e = { .sender = STR("me"), .arrival_us = 1, .flags = ENVELOPE_LOCAL };
	struct stored s = pass("pickup", CLEANUP_EXTRACT, &e, STR("Subject: x\n\n"), 0);

	(void) state;
	assert_reply(&s, 550, "5.1.0", "Error: no recipients specified");
	assert_false(s.exists);
	drop(&s);
}

/* Of an earlier journey, which had its own recipients and no headers about them. */
static void headers_of_a_journey_without_recipients_do_not_hide_those_there_are(void **state)
{
	struct envelope e = { .sender = STR("me"), .arrival_us = 1, .flags = ENVELOPE_LOCAL };
	struct stored s = pass("pickup", CLEANUP_EXTRACT, &e, STR("Resent-From: x@y\nResent-Date: today\nTo: one@example.net\n\n"), 0);

	(void) state;
	assert_int_equal(s.reply.code, 250);
	assert_int_equal(s.e.recipient_count, 1);
	assert_str(s.e.recipients[0].address, "one@example.net");
	drop(&s);
}

/* As on the command line, and as Postfix has it: a forgotten comma is no reason to leave people out. */
static void recipients_in_headers_may_stand_apart_without_commas(void **state)
{
	struct envelope e = { .sender = STR("me"), .arrival_us = 1, .flags = ENVELOPE_LOCAL };
	struct stored s = pass("pickup", CLEANUP_EXTRACT, &e, STR("To: one@example.net two@example.net, <three@example.net> <four@example.net>, <>\n\n"), 0);

	(void) state;
	assert_int_equal(s.e.recipient_count, 4);
	assert_str(s.e.recipients[0].address, "one@example.net");
	assert_str(s.e.recipients[1].address, "two@example.net");
	assert_str(s.e.recipients[2].address, "three@example.net");
	assert_str(s.e.recipients[3].address, "four@example.net");
	drop(&s);
}

/* header_checks(5) is about what is delivered: whom it is for the sender has said. */
static void recipients_are_taken_from_headers_that_checks_leave_out_or_replace(void **state)
{
	struct envelope e = { .sender = STR("me"), .arrival_us = 1, .flags = ENVELOPE_LOCAL };
	struct stored s;

	(void) state;
	the_cleanup.header_checks = open_checks("header_checks", "/^(Resent-)?Bcc:/ IGNORE\n/^Resent-From:/ IGNORE\n/^To:/ REPLACE To: all@example.net\n");
	s = pass("pickup", CLEANUP_EXTRACT, &e, STR("To: one@example.net\nBcc: two@example.net\n\nx\n"), 0);
	assert_has(s.headers, "To: all@example.net\n");
	assert_int_equal(s.e.recipient_count, 2);
	assert_str(s.e.recipients[0].address, "one@example.net");
	assert_str(s.e.recipients[1].address, "two@example.net");
	drop(&s);
	s = pass("pickup", CLEANUP_EXTRACT, &e, STR("To: one@example.net\nResent-From: x@y\nResent-Bcc: two@example.net\n\nx\n"), 0);
	assert_int_equal(s.e.recipient_count, 1);
	assert_str(s.e.recipients[0].address, "two@example.net");
	drop(&s);
	tables_free(the_cleanup.header_checks);
	the_cleanup.header_checks = NULL;
}

/* What is behind the limit is cut off: the message would go to some, and one address would be another one. */
static void a_list_of_recipients_that_does_not_fit_is_refused_and_not_cut(void **state)
{
	struct envelope e = { .sender = STR("me"), .arrival_us = 1, .flags = ENVELOPE_LOCAL };
	static const char content[] = "X-Long: 890123456789012345678901234567890\nTo: one@example.net,\n two@example.network\n\nx\n";
	const int64_t limit = the_cleanup.conf.header_size_limit;
	struct stored s;

	(void) state;
	the_cleanup.conf.header_size_limit = 36;
	s = pass("pickup", CLEANUP_EXTRACT, &e, str_of(content), 0);
	assert_reply(&s, 552, "5.3.4", "Error: a header with recipients is too long");
	assert_false(s.exists);
	drop(&s);
	the_cleanup.conf.header_size_limit = 41;
	s = pass("pickup", CLEANUP_EXTRACT, &e, str_of(content), 0);
	assert_int_equal(s.reply.code, 250);
	assert_int_equal(s.e.recipient_count, 2);
	drop(&s);
	the_cleanup.conf.header_size_limit = limit;
}

static void aliases_are_expanded_and_remember_where_they_came_from(void **state)
{
	struct recipient to[] = { { .address = STR("list@example.org"),
				    .notify = NOTIFY_SUCCESS | NOTIFY_FAILURE,
				    .orcpt = STR("rfc822;list@example.org") },
				  { .address = STR("al+ext@example.org"), .index = 1,
				    .notify = NOTIFY_SUCCESS } };
	struct envelope e = from_client(to, 2);
	struct stored s = pass("smtpd", REMOTE, &e, STR("A: b\n\n"), 0);

	(void) state;
	assert_int_equal(s.e.recipient_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(s.e.recipients[i].index, i);
	assert_str(s.e.recipients[0].address, "one@example.net");
	assert_str(s.e.recipients[1].address, "two@example.net");
	assert_str(s.e.recipients[1].original, "list@example.org");
	assert_str(s.e.recipients[1].orcpt, "rfc822;list@example.org");
	assert_int_equal(s.e.recipients[1].notify, NOTIFY_FAILURE);
	assert_str(s.e.recipients[2].address, "bob+ext@example.net");
	assert_str(s.e.recipients[2].original, "al+ext@example.org");
	assert_int_equal(s.e.recipients[2].notify, NOTIFY_SUCCESS);
	drop(&s);
}

/* Each wish by itself: two that share a bit would come as a pair. */
static void who_shows_the_login_has_aliases_and_who_has_none_does_not_show_it(void **state)
{
	struct recipient to = { .address = STR("al@example.org") };
	struct envelope e = from_client(&to, 1);
	struct stored shown, unmapped;

	(void) state;
	e.sasl_username = STR("ali)ce");
	shown = pass("smtpd", REMOTE | CLEANUP_SHOW_LOGIN, &e, STR("A: b\n\n"), 0);
	assert_str(shown.e.recipients[0].address, "bob@example.net");
	assert_has(shown.headers, "(Authenticated sender: ali?ce)");
	unmapped = pass("smtpd", REMOTE | CLEANUP_NO_MAPPINGS, &e, STR("A: b\n\n"), 0);
	assert_str(unmapped.e.recipients[0].address, "al@example.org");
	assert_has_not(unmapped.headers, "Authenticated");
	drop(&shown);
	drop(&unmapped);
}

static void duplicates_are_left_out(void **state)
{
	struct recipient to[] = { { .address = STR("bob@example.net") },
				  { .address = STR("BOB@example.net"), .index = 1 },
				  { .address = STR("al@example.org"), .index = 2 } };
	struct envelope e = from_client(to, 3);
	struct stored s = pass("smtpd", REMOTE, &e, STR("A: b\n\n"), 0);

	(void) state;
	assert_int_equal(s.e.recipient_count, 2);	/* the alias has another original recipient */
	drop(&s);
	the_cleanup.enable_original_recipient = false;
	s = pass("smtpd", REMOTE, &e, STR("A: b\n\n"), 0);
	assert_int_equal(s.e.recipient_count, 1);
	drop(&s);
	e = from_client(&to[2], 1);
	s = pass("smtpd", REMOTE, &e, STR("A: b\n\n"), 0);
	the_cleanup.enable_original_recipient = true;
	assert_int_equal(s.e.recipient_count, 1);
	assert_str(s.e.recipients[0].original, "al@example.org");	/* for the log */
	drop(&s);
}

static void copies_go_to_always_bcc_except_of_notices(void **state)
{
	struct stored s;

	(void) state;
	the_cleanup.conf.always_bcc = "archive";
	s = pass_text(REMOTE, "A: b\n\n");
	assert_int_equal(s.e.recipient_count, 2);
	assert_str(s.e.recipients[1].address, "archive@example.org");
	assert_int_equal(s.e.recipients[1].notify, NOTIFY_NEVER);
	drop(&s);
	s = pass_text(REMOTE | CLEANUP_NO_BCC, "A: b\n\n");
	assert_int_equal(s.e.recipient_count, 1);
	drop(&s);
	the_cleanup.conf.always_bcc = "";
}

static void a_loop_of_aliases_is_temporary(void **state)
{
	struct recipient to = { .address = STR("loop@example.org") };
	struct envelope e = from_client(&to, 1);
	struct stored s = pass("smtpd", REMOTE, &e, STR("A: b\n\n"), 0);

	(void) state;
	assert_int_equal(s.reply.code / 100, 4);
	assert_false(s.exists);
	drop(&s);
}

/* They all come to the same two, and each wants its own report: only the reports grow. */
static void no_number_of_aliases_to_report_on_takes_more_memory_than_there_is(void **state)
{
	enum { MANY = 70000 };
	struct recipient *to = calloc(MANY, sizeof(*to));
	struct envelope e = from_client(to, MANY);
	AUTO(buf) packed = BUF(8 << 20);

	(void) state;
	for (uint32_t i = 0; i < MANY; i++)
		to[i] = (struct recipient){ .index = i, .address = STR("list@example.org"), .notify = NOTIFY_SUCCESS };
	assert_int_equal(envelope_pack(&e, &packed), 0);
	free(to);
	for (size_t mib = 36; mib < 57; mib += 3) {
		struct arena *a = arena_new("message", NULL, mib << 20);
		struct message *m = message_begin(a, STR("pickup"), 0, STR_NONE, buf_str(&packed));
		struct cleanup_reply reply;

		message_feed_all(m, STR("A: b\n\n"));
		message_end(m, &reply);
		assert_int_equal(reply.code, mib == 36 ? 552 : mib == 54 ? 250 : reply.code);
		message_free(m);
		arena_free(a);
	}
}

/* ---- header addresses ---- */

static void local_headers_are_completed_and_nothing_else_is_touched(void **state)
{
	static const struct { const char *before, *after; } cases[] = {
		{ "To: bob", "To: bob@example.org" },
		{ "To: bob, <carol>,\n dave@x.y", "To: bob@example.org, <carol@example.org>,\n dave@x.y" },
		{ "Cc: Bob Smith <bob>", "Cc: Bob Smith <bob@example.org>" },
		{ "From: bob (Bob Smith)", "From: bob@example.org (Bob Smith)" },
		{ "From: \"bob\" <carol>", "From: \"bob\" <carol@example.org>" },
		{ "To: \"quoted local\"", "To: \"quoted local\"@example.org" },
		{ "To: undisclosed-recipients:;", "To: undisclosed-recipients:;" },
		{ "To: friends: bob, carol@x.y;", "To: friends: bob@example.org, carol@x.y;" },
		{ "To: a b c", "To: a b c" },
		{ "To: <>", "To: <>" },
		{ "To: (unclosed", "To: (unclosed" },
		{ "To: \"unclosed", "To: \"unclosed" },
		{ "To: <unclosed", "To: <unclosed" },
		{ "To: ) > bob, carol", "To: ) > bob, carol@example.org" },
		{ "To: <@relay.example:bob>, a!b, a%b", "To: <bob@example.org>, b@a, a@b" },
		{ "To: bob (one)\n (two), < carol > (three)",
		  "To: bob@example.org (one)\n (two), < carol@example.org > (three)" },
		{ "To: x (one) @ (two)\n y.example. (three)", "To: x@y.example (one) (two) (three)" },
		{ "Disposition-Notification-To: bob", "Disposition-Notification-To: bob@example.org" },
		{ "Return-Receipt-To: bob", "Return-Receipt-To: bob@example.org" },
		{ "To: (a)) \\", "To: (a)) \\" },
		{ "To:", "To:" },
		{ "Subject: bob", "Subject: bob" },
	};
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = { .sender = STR("me@x.y"), .arrival_us = 1, .flags = ENVELOPE_LOCAL,
			      .recipient_count = 1, .recipients = &to };

	(void) state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct arena *a = arena_new("t", NULL, 1 << 16);
		struct stored s = pass("local", CLEANUP_EXTERNAL, &e,
				       arena_fmt(a, "%s\n\n", cases[i].before), 0);

		assert_str(s.headers, str_c(a, arena_fmt(a, "%s\n", cases[i].after)));
		drop(&s);
		arena_free(a);
	}
}

/* ---- checks ---- */

static void header_checks_act(void **state)
{
	struct stored s;

	(void) state;
	the_cleanup.header_checks = open_checks("header_checks",
		"/^X-Reject:/ REJECT 5.7.9 not wanted\n/^X-Later:/ REJECT 4.7.9 not now\n/^X-Plain:/ REJECT\n/^X-Hold:/ HOLD\n/^X-Discard:/ DISCARD\n/^X-Ignore:/ IGNORE\n"
		"/^X-Replace: (.*)/ REPLACE X-New: $1\n/^X-Prepend:/ PREPEND X-Added: yes\n/^X-Redirect:/ REDIRECT r@example.net\n"
		"/^X-Bcc:/ BCC copy@example.net\n/^X-Filter:/ FILTER smtp:[127.0.0.1]:1\n/^X-Warn:/ WARN look\n/^X-Bad:/ NONSENSE\n");
	s = pass_text(CLEANUP_EXTERNAL, "X-Reject: 1\n\n");
	assert_reply(&s, 550, "5.7.9", "not wanted");
	assert_false(s.exists);
	drop(&s);
	s = pass_text(CLEANUP_EXTERNAL, "X-Later: 1\n\n");
	assert_reply(&s, 451, "4.7.9", "not now");
	drop(&s);
	s = pass_text(CLEANUP_EXTERNAL, "X-Plain: 1\n\n");
	assert_reply(&s, 550, "5.7.1", "message content rejected");
	drop(&s);
	s = pass_text(CLEANUP_EXTERNAL, "X-Hold: 1\n\n");
	assert_int_equal(s.where, QUEUE_HOLD);
	drop(&s);
	s = pass_text(CLEANUP_EXTERNAL, "X-Discard: 1\n\n");
	assert_int_equal(s.reply.code, 250);
	assert_false(s.exists);
	drop(&s);
	s = pass_text(CLEANUP_EXTERNAL,
		      "A: b\nX-Ignore: 1\n more\nX-Replace: 7\nX-Prepend: 2\nX-Warn: 3\nX-Bad: 4\n\n");
	assert_str(s.headers, "A: b\nX-New: 7\nX-Added: yes\nX-Prepend: 2\nX-Warn: 3\nX-Bad: 4\n");
	drop(&s);
	s = pass_text(CLEANUP_EXTERNAL, "X-Bcc: 1\nX-Filter: 1\n\n");
	assert_str(s.e.recipients[1].address, "copy@example.net");
	assert_str(s.e.filter_transport, "smtp:[127.0.0.1]:1");
	drop(&s);
	s = pass_text(CLEANUP_EXTERNAL, "X-Redirect: 1\n\n");
	assert_int_equal(s.e.recipient_count, 1);
	assert_str(s.e.recipients[0].address, "r@example.net");
	drop(&s);
	tables_free(the_cleanup.header_checks);
	the_cleanup.header_checks = NULL;
}

/* What the checks leave of it, whatever the pieces are in which it comes. */
static void assert_checked(const char *text, const char *headers, const char *body)
{
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = from_client(&to, 1);

	for (size_t piece = 0; piece < strlen(text); piece = piece * 2 + 1) {
		struct stored s = pass("smtpd", CLEANUP_EXTERNAL, &e, str_of(text), piece);

		assert_str(s.headers, headers);
		assert_str(s.body, body);
		drop(&s);
	}
}

/* header_checks(5): neither is looked at any further. */
static void nothing_is_asked_about_the_rest_of_what_is_thrown_away_or_let_pass(void **state)
{
	static const char *const rests[] = {
		"X-Reject: 1\n\n", "\nX-Reject: 1\n", "Content-Type: multipart/mixed; boundary=b\n\n--b\nX-Reject: 1\n\n",
	};
	static char text[3000], deep[3000];
	size_t at = 0;
	struct stored s;

	(void) state;
	the_cleanup.header_checks = the_cleanup.body_checks = the_cleanup.mime_checks
		= open_checks("checks", "/^X-Discard:/ DISCARD\n/^X-Pass:/ PASS known\n/^X-Reject:/ REJECT no\n");
	for (size_t i = 0; i < COUNT_OF(rests); i++) {
		s = pass_text(CLEANUP_EXTERNAL, rests[i]);
		assert_reply(&s, 550, "5.7.1", "no");
		drop(&s);
		snprintf(text, sizeof(text), "X-Discard: 1\n%s", rests[i]);
		s = pass_text(CLEANUP_EXTERNAL, text);
		assert_int_equal(s.reply.code, 250);
		assert_false(s.exists);
		drop(&s);
		snprintf(text, sizeof(text), "X-Pass: 1\n%s", rests[i]);
		s = pass_text(CLEANUP_EXTERNAL, text);
		assert_int_equal(s.reply.code, 250);
		assert_true(s.exists);
		drop(&s);
	}
	s = pass_text(CLEANUP_EXTERNAL, "A: b\n\nX-Discard: 1\nX-Reject: 1\n");
	assert_int_equal(s.reply.code, 250);
	assert_false(s.exists);
	drop(&s);
	assert_checked("Content-Type: multipart/mixed; boundary=b\n\n--b\nX-Pass: 1\nX-Reject: 1\n\nX-Reject: 1\n",
		       "Content-Type: multipart/mixed; boundary=b\n", "--b\nX-Pass: 1\nX-Reject: 1\n\nX-Reject: 1\n");
	for (int i = 0; i < 4; i++)
		at += (size_t) snprintf(deep + at, sizeof(deep) - at, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n%s", i, i,
					i == 0 ? "X-Pass: 1\n" : "");
	the_cleanup.conf.mime_nesting_limit = 2;
	s = pass_text(CLEANUP_EXTERNAL, deep);
	the_cleanup.conf.mime_nesting_limit = 100;
	assert_int_equal(s.reply.code, 250);
	drop(&s);
	tables_free(the_cleanup.header_checks);
	the_cleanup.header_checks = the_cleanup.body_checks = the_cleanup.mime_checks = NULL;
}

/* header_checks(5): it overrides FILTER, and affects all recipients. */
static void what_is_redirected_goes_there_and_nowhere_else(void **state)
{
	struct recipient to[] = { { .address = STR("bob@example.net") }, { .address = STR("eve@example.net"), .index = 1 } };
	struct envelope e = from_client(to, 2);
	struct stored s;

	(void) state;
	e.filter_transport = STR("scan:dummy");
	the_cleanup.conf.always_bcc = "archive";
	the_cleanup.header_checks = open_checks("header_checks",
		"/^X-Bcc:/ BCC copy@example.net\n/^X-Filter:/ FILTER smtp:[127.0.0.1]:1\n/^X-Redirect:/ REDIRECT r@example.net\n");
	s = pass("smtpd", CLEANUP_EXTERNAL, &e, STR("X-Redirect: 1\nX-Bcc: 1\nX-Filter: 1\n\n"), 0);
	the_cleanup.conf.always_bcc = "";
	assert_int_equal(s.e.recipient_count, 1);
	assert_str(s.e.recipients[0].address, "r@example.net");
	assert_str(s.e.recipients[0].original, "bob@example.net");
	assert_str(s.e.filter_transport, "");
	drop(&s);
	tables_free(the_cleanup.header_checks);
	the_cleanup.header_checks = NULL;
}

/* A line that is none would end the headers, and those behind it would be text. */
static void a_header_becomes_a_header_or_stays(void **state)
{
	(void) state;
	the_cleanup.header_checks = open_checks("header_checks", "/^X:/ REPLACE not a header\n/^Y:/ REPLACE Z: 2\n");
	the_cleanup.mime_checks = open_checks("mime_checks", "/^Content-X:/ REPLACE not a header\n");
	assert_checked("A: b\nX: 1\nY: 1\nContent-X: 1\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-X: 1\nB: c\n\nx\n",
		       "A: b\nX: 1\nZ: 2\nContent-X: 1\nContent-Type: multipart/mixed; boundary=b\n", "--b\nContent-X: 1\nB: c\n\nx\n");
	tables_free(the_cleanup.header_checks);
	tables_free(the_cleanup.mime_checks);
	the_cleanup.header_checks = the_cleanup.mime_checks = NULL;
}

/* The place of the cut is the sender's choice. An empty line there would make text of all that follows. */
static void a_header_that_is_cut_does_not_end_the_headers(void **state)
{
	static const char text[] = "Content-Type: multipart/mixed; boundary=b\nX: one,\n two,\n three\nLast: y\n\n"
				   "--b\nContent-Disposition: attachment; comment=long;\n\tfilename=x\nLast: y\n\nx\n";
	const int64_t usual = the_cleanup.conf.header_size_limit;
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = from_client(&to, 1);

	(void) state;
	the_cleanup.mime_checks = open_checks("mime_checks", "/^nothing/ REJECT\n");
	for (int64_t limit = 8; limit < 70; limit++) {
		struct stored s;

		the_cleanup.conf.header_size_limit = limit;
		s = pass("smtpd", CLEANUP_EXTERNAL, &e, str_of(text), 0);
		assert_has(s.headers, "\nLast: y\n");
		assert_has_not(s.headers, "\n\n");
		if (limit >= 41)	/* the parts are seen */
			assert_int_equal(str_find_str(s.body, STR("\n\n")),
					 str_find_str(s.body, STR("\nLast: y\n\nx\n")) + strlen("\nLast: y"));
		drop(&s);
	}
	the_cleanup.conf.header_size_limit = 14;
	assert_checked("A: b\nX: one,\n two,\n three\nB: c\n\n", "A: b\nX: one,\n two,\nB: c\n", "");
	the_cleanup.conf.header_size_limit = usual;
	tables_free(the_cleanup.mime_checks);
	the_cleanup.mime_checks = NULL;
}

static void body_checks_act_line_by_line(void **state)
{
	static const char beginning[] = "A: b\n\nhold me\n";
	static char large[200000];
	static const char text[] = "A: b\n\nfirst\nsecret one\nlast\nchange me\nunfinished secret";
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = from_client(&to, 1);

	(void) state;
	the_cleanup.body_checks = open_checks("body_checks",
					      "/secret/ IGNORE\n/^change/ REPLACE changed\n/^hold/ HOLD\n/^virus/ REJECT ill\n");
	for (size_t piece = 0; piece < sizeof(text); piece++) {
		struct stored s = pass("smtpd", CLEANUP_EXTERNAL, &e, str_make(text, sizeof(text) - 1), piece);

		assert_str(s.body, "first\nlast\nchanged\n");
		drop(&s);
	}
	struct stored s = pass_text(CLEANUP_EXTERNAL, "A: b\n\nhold me\n");
	assert_int_equal(s.where, QUEUE_HOLD);
	drop(&s);
	/* so large that its file was there before */
	memset(large, 'y', sizeof(large));
	memcpy(large, beginning, sizeof(beginning) - 1);
	s = pass("smtpd", CLEANUP_EXTERNAL, &e, str_make(large, sizeof(large)), 50000);
	assert_int_equal(s.where, QUEUE_HOLD);
	assert_int_equal(s.body.len, sizeof(large) - 6 + 1);
	drop(&s);
	s = pass_text(CLEANUP_EXTERNAL, "A: b\n\nvirus\n");
	assert_reply(&s, 550, "5.7.1", "ill");
	assert_false(s.exists);
	drop(&s);
	tables_free(the_cleanup.body_checks);
	the_cleanup.body_checks = NULL;
}

static void long_lines_pass_body_checks_whole(void **state)
{
	static char text[30000];
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = from_client(&to, 1);

	(void) state;
	the_cleanup.body_checks = open_checks("body_checks", "/zzz/ IGNORE\n");
	memset(text, 'y', sizeof(text));
	memcpy(text, "A: b\n\n", 6);
	text[10000] = text[10005] = '\n';
	memcpy(text + 10001, "zzz!", 4);
	text[sizeof(text) - 1] = '\n';
	for (size_t piece = 0; piece < sizeof(text); piece = piece * 2 + 700) {
		struct stored s = pass("smtpd", CLEANUP_EXTERNAL, &e, str_make(text, sizeof(text)), piece);

		assert_int_equal(s.body.len, sizeof(text) - 6 - 5);
		assert_has_not(s.body, "z");
		drop(&s);
	}
	tables_free(the_cleanup.body_checks);
	the_cleanup.body_checks = NULL;
}

static void headers_are_what_checks_make_of_them(void **state)
{
	static const char hops[] = "Received: inside\nReceived: inside\nReceived: inside\nA: b\n\n";
	struct stored s;

	(void) state;
	the_cleanup.header_checks = open_checks("header_checks",
		"/^Received: inside/ IGNORE\n/^Date: long ago/ IGNORE\n/^X-From: (.*)/ REPLACE From: $1\n/^Subject: bad/ REJECT\n");
	the_cleanup.conf.hopcount_limit = 2;
	s = pass_text(CLEANUP_EXTERNAL, hops);
	assert_str(s.headers, "A: b\n");
	drop(&s);
	the_cleanup.conf.hopcount_limit = 50;
	s = pass_text(0, "Date: long ago\nMessage-Id: <1@x>\nX-From: me@x.y\nTo: you@x.y\n\n");
	assert_has(s.headers, "From: me@x.y\nTo: you@x.y\nDate: ");
	assert_has_not(s.headers, "alice");
	assert_has_not(s.headers, "long ago");
	drop(&s);
	s = pass_text(CLEANUP_EXTERNAL, "Subject \t: bad\n\n");
	assert_reply(&s, 550, "5.7.1", "message content rejected");
	drop(&s);
	assert_checked("Subject : good\nA:b\n\n", "Subject: good\nA:b\n", "");
	tables_free(the_cleanup.header_checks);
	the_cleanup.header_checks = NULL;
}

static void what_a_check_takes_over_from_the_message_does_not_switch_it_off(void **state)
{
	static const char nul[] = "Subject: a\0bad\n\n";
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = from_client(&to, 1);
	struct stored s;

	(void) state;
	the_cleanup.header_checks = open_checks("header_checks",
		"/^Subject: (.*bad)/ REJECT no $1\n/^Subject: (.*)/ REPLACE Subject: [X] $1\n/^X-A: (.*)/ PREPEND X-B: $1\n"
		"/^X-C: (e.) f/ REPLACE X-C: ${1}X-D: 1\n/^X-To: (.*)/ BCC $1\n");
	the_cleanup.body_checks = open_checks("body_checks", "/^tab(.*)/ REPLACE is$1\n");
	s = pass_text(CLEANUP_EXTERNAL, "Subject: \t\033very\n bad\n\n");
	assert_reply(&s, 550, "5.7.1", "no ??very? bad");
	drop(&s);
	s = pass("smtpd", CLEANUP_EXTERNAL, &e, str_make(nul, sizeof(nul) - 1), 0);
	assert_reply(&s, 550, "5.7.1", "no a bad");
	drop(&s);
	assert_checked("Subject: a\n\tb\nX-A: c\n d\nX-C: e\n f\n\ntab\tg\n",
		       "Subject: [X] a\n\tb\nX-B: c\n d\nX-A: c\n d\nX-C: e X-D: 1\n", "is\tg\n");
	s = pass_text(CLEANUP_EXTERNAL, "X-To: a@x.y\n b@x.y\n\n");
	assert_int_equal(s.e.recipient_count, 1);
	drop(&s);
	tables_free(the_cleanup.header_checks);
	tables_free(the_cleanup.body_checks);
	the_cleanup.header_checks = the_cleanup.body_checks = NULL;
}

/* An administrator may keep the addresses of his users to himself. */
static void our_received_header_is_checked_too(void **state)
{
	struct stored s;

	(void) state;
	the_cleanup.header_checks = open_checks("header_checks",
		"/^Received: from helo.example/ REPLACE Received: by mail (kept)\n/^Date:/ REJECT\n");
	s = pass_text(CLEANUP_ADD_RECEIVED, "A: b\n\n");
	assert_has(s.headers, "Received: by mail (kept)\nA: b\n");
	assert_has_not(s.headers, "helo");
	assert_has(s.headers, "Date: ");		/* one that we add is ours */
	drop(&s);
	s = pass_text(CLEANUP_ADD_RECEIVED | CLEANUP_NO_CHECKS, "A: b\n\n");
	assert_has(s.headers, "Received: from helo.example.com");
	drop(&s);
	tables_free(the_cleanup.header_checks);
	the_cleanup.header_checks = NULL;
}

static const char parts[] =
	"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: attachment;\n\tfilename=x.exe\nX: y\n\n%s\n--b\n"
	"Content-Type: message/rfc822\n\nX-Inner: one\n two\n\ntext\n--b--\n";

/* Which headers are for mime_header_checks is Postfix's choice: rules of old tables keep meeting what they met. */
static void only_headers_that_postfix_knows_of_mime_are_for_mime_header_checks(void **state)
{
	static const char text[] = "Content-Language: x\nContent-ID: x\nContent-Class: x\nMIME-Version: x\nContent-Type: message/rfc822\n\n"
				   "Content-Language: x\nContent-Description: x\n\nx\n";

	(void) state;
	the_cleanup.header_checks = open_checks("header_checks", "/^(.*): x/ REPLACE Plain: $1\n");
	the_cleanup.mime_checks = open_checks("mime_checks", "/^(.*): x/ REPLACE Mime: $1\n");
	the_cleanup.nested_checks = open_checks("nested_checks", "/^(.*): x/ REPLACE Nested: $1\n");
	assert_checked(text, "Plain: Content-Language\nMime: Content-ID\nPlain: Content-Class\nMime: MIME-Version\nContent-Type: message/rfc822\n",
		       "Nested: Content-Language\nMime: Content-Description\n\nx\n");
	tables_free(the_cleanup.header_checks);
	tables_free(the_cleanup.mime_checks);
	tables_free(the_cleanup.nested_checks);
	the_cleanup.header_checks = the_cleanup.mime_checks = the_cleanup.nested_checks = NULL;
}

static void a_folded_header_of_a_part_is_checked_as_one(void **state)
{
	char text[500];

	(void) state;
	the_cleanup.mime_checks = open_checks("mime_checks",
		"/^Content-Disposition:.*filename=/ REPLACE Content-Disposition: inline\n/^\\s/ REPLACE broken\n");
	the_cleanup.nested_checks = open_checks("nested_checks", "/one.*two$/ IGNORE\n/two/ REPLACE broken\n");
	snprintf(text, sizeof(text), parts, "\tindented");
	assert_checked(text, "Content-Type: multipart/mixed; boundary=b\n",
		       "--b\nContent-Disposition: inline\nX: y\n\n\tindented\n--b\n"
		       "Content-Type: message/rfc822\n\n\ntext\n--b--\n");
	assert_checked("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: a;\n filename=",
		       "Content-Type: multipart/mixed; boundary=b\n", "--b\nContent-Disposition: inline\n");
	tables_free(the_cleanup.mime_checks);
	tables_free(the_cleanup.nested_checks);
	the_cleanup.mime_checks = the_cleanup.nested_checks = NULL;
}

static void no_way_of_writing_a_part_hides_its_headers_from_checks(void **state)
{
	static const char *const beginnings[] = {
		"Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n",
		"Content-Type: multipart/mixed; boundary=b\nContent-Type: text/plain\n",
		"Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=b\n",
		"Content-Type: multipart/mixed; boundary=b(c\n",
		"Content-Type : multipart/mixed; boundary=b\n",
		"Content-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=b\n",
	};
	static char text[60000], deep[60000];
	size_t at = 0;
	struct stored s;

	(void) state;
	the_cleanup.mime_checks = open_checks("mime_checks", "/^Content-Disposition:.*exe/ REJECT\n");
	for (size_t i = 0; i < COUNT_OF(beginnings); i++) {
		snprintf(text, sizeof(text), "%s\n--b\nContent-Disposition: x.exe\n\nx\n", beginnings[i]);
		s = pass_text(CLEANUP_EXTERNAL, text);
		assert_reply(&s, 550, "5.7.1", "message content rejected");
		drop(&s);
	}
	s = pass_text(CLEANUP_EXTERNAL, "Content-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=b\n--b\nContent-Disposition: x.exe\n\nx\n");
	assert_reply(&s, 550, "5.7.1", "message content rejected");
	drop(&s);
	snprintf(text, sizeof(text), "%s\nContent-Disposition: x.exe\n\nx\n", "Content-Type: message/rfc822\n");
	s = pass_text(CLEANUP_EXTERNAL, text);
	assert_reply(&s, 550, "5.7.1", "message content rejected");
	drop(&s);
	snprintf(text, sizeof(text), "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; x=\"%050000d\"; boundary=b\n\n"
		 "--b\nContent-Disposition: x.exe\n\nx\n", 0);
	s = pass_text(CLEANUP_EXTERNAL, text);
	assert_reply(&s, 550, "5.7.1", "message content rejected");
	drop(&s);
	for (int i = 0; i < 120; i++)
		at += (size_t) snprintf(deep + at, sizeof(deep) - at, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i);
	s = pass_text(CLEANUP_EXTERNAL, deep);
	assert_reply(&s, 550, "5.6.0", "MIME nesting exceeds safety limit");
	assert_false(s.exists);
	drop(&s);
	tables_free(the_cleanup.mime_checks);
	the_cleanup.mime_checks = NULL;
	s = pass_text(CLEANUP_EXTERNAL, deep);
	assert_int_equal(s.reply.code, 250);
	drop(&s);
}

static void body_checks_look_at_all_text_and_at_no_header(void **state)
{
	static char text[6000];
	size_t at;

	(void) state;
	the_cleanup.body_checks = open_checks("body_checks",
					      "/file/ REPLACE broken\n/two/ REPLACE broken\n/secret/ IGNORE\n");
	snprintf(text, sizeof(text), parts, "a file");
	assert_checked(text, "Content-Type: multipart/mixed; boundary=b\n",
		       "--b\nContent-Disposition: attachment;\n\tfilename=x.exe\nX: y\n\nbroken\n--b\n"
		       "Content-Type: message/rfc822\n\nX-Inner: one\n two\n\ntext\n--b--\n");
	/* a line of two pieces, the second of which is left out */
	at = (size_t) snprintf(text, sizeof(text), "A: b\n\n");
	memset(text + at, 'y', 2048);
	snprintf(text + at + 2048, sizeof(text) - at - 2048, "secret\nz\n");
	for (size_t piece = 0; piece < 3000; piece = piece * 2 + 500) {
		struct recipient to = { .address = STR("bob@example.net") };
		struct envelope e = from_client(&to, 1);
		struct stored s = pass("smtpd", CLEANUP_EXTERNAL, &e, str_of(text), piece);

		assert_int_equal(s.body.len, 2048 + 3);
		assert_has_not(s.body, "secret");
		assert_has(s.body, "y\nz\n");
		drop(&s);
	}
	tables_free(the_cleanup.body_checks);
	the_cleanup.body_checks = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recipients_are_taken_from_headers),
		cmocka_unit_test(utf8_from_local_programs_needs_smtputf8),
		cmocka_unit_test(a_resent_message_goes_to_its_resent_recipients),
		cmocka_unit_test(headers_of_a_journey_without_recipients_do_not_hide_those_there_are),
		cmocka_unit_test(recipients_in_headers_may_stand_apart_without_commas),
		cmocka_unit_test(nobody_to_send_to_is_refused),
		cmocka_unit_test(recipients_are_taken_from_headers_that_checks_leave_out_or_replace),
		cmocka_unit_test(a_list_of_recipients_that_does_not_fit_is_refused_and_not_cut),
		cmocka_unit_test(aliases_are_expanded_and_remember_where_they_came_from),
		cmocka_unit_test(who_shows_the_login_has_aliases_and_who_has_none_does_not_show_it),
		cmocka_unit_test(duplicates_are_left_out),
		cmocka_unit_test(copies_go_to_always_bcc_except_of_notices),
		cmocka_unit_test(a_loop_of_aliases_is_temporary),
		cmocka_unit_test(no_number_of_aliases_to_report_on_takes_more_memory_than_there_is),
		cmocka_unit_test(local_headers_are_completed_and_nothing_else_is_touched),
		cmocka_unit_test(header_checks_act),
		cmocka_unit_test(nothing_is_asked_about_the_rest_of_what_is_thrown_away_or_let_pass),
		cmocka_unit_test(what_is_redirected_goes_there_and_nowhere_else),
		cmocka_unit_test(a_header_becomes_a_header_or_stays),
		cmocka_unit_test(a_header_that_is_cut_does_not_end_the_headers),
		cmocka_unit_test(headers_are_what_checks_make_of_them),
		cmocka_unit_test(our_received_header_is_checked_too),
		cmocka_unit_test(what_a_check_takes_over_from_the_message_does_not_switch_it_off),
		cmocka_unit_test(only_headers_that_postfix_knows_of_mime_are_for_mime_header_checks),
		cmocka_unit_test(a_folded_header_of_a_part_is_checked_as_one),
		cmocka_unit_test(no_way_of_writing_a_part_hides_its_headers_from_checks),
		cmocka_unit_test(body_checks_look_at_all_text_and_at_no_header),
		cmocka_unit_test(body_checks_act_line_by_line),
		cmocka_unit_test(long_lines_pass_body_checks_whole),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
