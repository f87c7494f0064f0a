/* SPDX-License-Identifier: ISC */
/* Who is told what, and how: notifications caught before they reach cleanup. */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bounce/notice.h"
#include "lib/log/log.h"

/* ---- instead of cleanup ---- */

struct mail_out {
	int number;
};

static struct sent {
	struct buf content;
	char sender[200], to[200], id[32];
	unsigned flags, envelope_flags;
	bool aborted;
} sent[4];
static int sent_count, verdict_code = 250, next_verdict_code;

void mail_out_use(const char *name)
{
	(void) name;
}

static void keep(char to[200], struct str s)
{
	snprintf(to, 200, "%.*s", PSTR(s));
}

struct mail_out *mail_out_begin(struct arena *a, const char *origin, unsigned flags, const struct envelope *e)
{
	struct mail_out *m = ARENA_NEW(a, struct mail_out);

	assert_string_equal(origin, "bounce");
	assert_int_equal(e->recipient_count, 1);
	m->number = sent_count++;
	sent[m->number] = (struct sent){ .content = BUF(1 << 20) };
	keep(sent[m->number].sender, e->sender);
	keep(sent[m->number].to, e->recipients[0].address);
	snprintf(sent[m->number].id, 32, "%.*s", PSTR(e->queue_id));
	sent[m->number].flags = flags;
	sent[m->number].envelope_flags = e->flags;
	return m;
}

void mail_out_write(struct mail_out *m, struct str bytes, when_t until)
{
	(void) until;
	assert_int_equal(buf_add(&sent[m->number].content, bytes), 0);
}

void mail_out_end(struct mail_out *m, struct mail_verdict *ret, when_t until)
{
	(void) m;
	(void) until;
	*ret = (struct mail_verdict){ .code = verdict_code, .dsn = STR("x.x.x"), .text = STR("text") };
	if (next_verdict_code != 0)
		verdict_code = next_verdict_code;
}

void mail_out_abort(struct mail_out *m)
{
	sent[m->number].aborted = true;
}

/* ---- one request ---- */

static struct common_conf common = { .myhostname = "mail.example.org", .myorigin = "example.org",
				     .mail_name = "Postroad",
				     .ipc_timeout = 1000 };
static struct bounce_conf conf;
static struct templates templates;
static struct arena *arena;
static char notice_id[32];

static const char headers[] = "Subject: original\nFrom: alice@example.com\n";
static const char body[] = "original body\n";

static int message_file(void)
{
	int fd = memfd_create("message", 0);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, headers, strlen(headers), 512), strlen(headers));
	assert_int_equal(pwrite(fd, body, strlen(body), 1024), strlen(body));
	return fd;
}

static int ask_with_file(int file, const char *kind, const char *envelope, const char *outcomes,
			 int64_t retry_until_s)
{
	struct bounce_request request = { .kind = str_of(kind), .queue_id = STR("ABCDEF"),
					  .envelope = str_of(envelope),
					  .outcomes = str_of(outcomes), .headers_at = 512,
					  .headers_len = strlen(headers),
					  .body_at = 1024, .body_len = strlen(body),
					  .size = strlen(headers) + 1 + strlen(body),
					  .retry_until_s = retry_until_s,
					  .message = file };
	struct notice n;
	int r = notice_decode(arena, &request, &n);

	if (r == 0) {
		n.common = &common;
		n.conf = &conf;
		n.templates = &templates;
		r = notice_send(&n, notice_id);
	}
	close(file);
	return r;
}

static int ask_about(const char *kind, const char *envelope, const char *outcomes, int64_t retry_until_s)
{
	return ask_with_file(message_file(), kind, envelope, outcomes, retry_until_s);
}

static struct str content(int i)
{
	return buf_str(&sent[i].content);
}

static void has(int i, const char *needle)
{
	if (str_find_str(content(i), str_of(needle)) < 0)
		fail_msg("no \"%s\" in\n%s", needle, buf_text(&sent[i].content));
}

static void has_not(int i, const char *needle)
{
	if (str_find_str(content(i), str_of(needle)) >= 0)
		fail_msg("\"%s\" in\n%s", needle, buf_text(&sent[i].content));
}

#define ENVELOPE "arrival\t1700000000000000\nenvid\tQQ 314\nmessage_id\t<1@example.com>\n"
#define BOB "to\t0\tbob@example.net\t\t0\t\n"
#define REFUSED "0\tbounced\t1700000001000000\t5.1.1\tmx[192.0.2.9]:25\tmx.example.net\tsmtp; 550 5.1.1 no such user\thost mx said: 550 5.1.1 no such user\t\t\n"

static int setup(void **state)
{
	(void) state;
	setenv("TZ", "UTC", 1);
	tzset();
	conf = (struct bounce_conf){ .bounce_size_limit = 50000, .notify_classes = "resource, software",
				     .bounce_notice_recipient = "postmaster",
				     .two_bounce_notice_recipient = "postmaster2",
				     .delay_notice_recipient = "postmaster3",
				     .double_bounce_sender = "double-bounce",
				     .internal_mail_filter_classes = "" };
	arena = arena_new("test", NULL, 64 << 20);
	bounce_templates_load(arena, "", templates.built_in, NULL, NULL, NULL);
	memcpy(templates.of, templates.built_in, sizeof(templates.of));
	sent_count = 0;
	verdict_code = 250;
	next_verdict_code = 0;
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	for (int i = 0; i < sent_count; i++)
		buf_free(&sent[i].content);
	arena_free(arena);
	return 0;
}

/* ---- what it looks like ---- */

static void a_failure_is_a_multipart_report_with_the_message(void **state)
{
	char boundary[200];

	(void) state;
	assert_int_equal(ask_about("failure", "sender\talice@example.com\n" ENVELOPE BOB, REFUSED, 0), 0);
	assert_int_equal(sent_count, 1);
	assert_string_equal(sent[0].sender, "");
	assert_string_equal(sent[0].to, "alice@example.com");
	assert_string_equal(sent[0].id, notice_id);
	assert_int_equal(sent[0].envelope_flags, ENVELOPE_NOTICE | ENVELOPE_LOCAL);
	assert_int_equal(sent[0].flags, CLEANUP_ADD_RECEIVED | CLEANUP_NO_BCC | CLEANUP_NO_CHECKS);
	assert_true(str_starts(content(0),
			       STR("From: Mail Delivery System <MAILER-DAEMON>\nSubject: Undelivered Mail Returned to Sender\n"
					      "To: alice@example.com\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\n"
					      "Content-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"")));
	snprintf(boundary, sizeof(boundary), "boundary=\"%s/mail.example.org\"\n", notice_id);
	has(0, boundary);
	has(0, "\n<bob@example.net>: host mx said: 550 5.1.1 no such user\n");
	has(0, "\nContent-Type: message/delivery-status\n\n"
	       "Reporting-MTA: dns; mail.example.org\nOriginal-Envelope-Id: QQ 314\nX-Postroad-Queue-ID: ABCDEF\n"
	       "X-Postroad-Sender: rfc822; alice@example.com\nArrival-Date: Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\n\n"
	       "Final-Recipient: rfc822; bob@example.net\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; mx.example.net\n"
	       "Diagnostic-Code: smtp; 550 5.1.1 no such user\nLast-Attempt-Date: Tue, 14 Nov 2023 22:13:21 +0000 (UTC)\n\n--");
	has(0, "\nContent-Type: message/rfc822\n\nSubject: original\nFrom: alice@example.com\n\noriginal body\n\n--");
	snprintf(boundary, sizeof(boundary), "\n--%s/mail.example.org--\n", notice_id);
	assert_true(str_ends(content(0), str_of(boundary)));
	has_not(0, "References:");
	has_not(0, "8bit");
}

static void eight_bits_are_announced_where_they_are(void **state)
{
	char text[100];

	(void) state;
	ask_about("failure", "sender\talice@example.com\nflags\t1\n" BOB, REFUSED, 0);
	snprintf(text, sizeof(text), "boundary=\"%s/mail.example.org\"\nContent-Transfer-Encoding: 8bit\n\n",
		 notice_id);
	has(0, text);
	has(0, "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n");
	has(0, "Content-Type: message/delivery-status\n\n");
}

static void a_thread_is_made_when_asked_for(void **state)
{
	(void) state;
	conf.enable_threaded_bounces = true;
	ask_about("failure", "sender\talice@example.com\n" ENVELOPE BOB, REFUSED, 0);
	has(0, "\nReferences: <1@example.com>\n");
}

static void only_headers_are_returned_of_large_messages_and_on_request(void **state)
{
	(void) state;
	ask_about("failure", "sender\talice@example.com\nret\t2\n" BOB, REFUSED, 0);
	conf.bounce_size_limit = 50;
	ask_about("failure", "sender\talice@example.com\n" BOB, REFUSED, 0);
	for (int i = 0; i < 2; i++) {
		has(i, "Content-Description: Undelivered Message Headers\nContent-Type: text/rfc822-headers\n");
		has(i, "Subject: original\n");
		has_not(i, "original body");
	}
}

static void the_original_recipient_is_named(void **state)
{
	(void) state;
	ask_about("failure", "sender\ta@example.com\nto\t0\tbob@example.net\tlist@example.org\t0\trfc822;list@EXAMPLE.org\n",
		  REFUSED, 0);
	has(0, "Original-Recipient: rfc822;list@EXAMPLE.org\nFinal-Recipient: rfc822; bob@example.net\n");
	has(0, "<bob@example.net> (expanded from <list@example.org>): host");
	ask_about("failure", "sender\ta@example.com\nto\t0\tb b@example.net\tl@st@example.org\t0\t\n", REFUSED, 0);
	has(1, "\n<\"b b\"@example.net> (expanded from <\"l@st\"@example.org>): host");
}

static void utf8_addresses_make_a_global_notification(void **state)
{
	(void) state;
	ask_about("failure", "sender\talice@example.com\nflags\t2\nto\t0\tr\xc3\xa9mi@example.net\t\t0\t\n",
		  REFUSED, 0);
	has(0, "report-type=global-delivery-status");
	has(0, "Content-Type: message/global-delivery-status\n");
	has(0, "Final-Recipient: utf-8; r\xc3\xa9mi@example.net\n");
	has(0, "Content-Type: message/global\n");
	assert_true((sent[0].envelope_flags & ENVELOPE_SMTPUTF8) != 0);
}

static void what_was_said_about_tls_holds_for_the_notification(void **state)
{
	(void) state;
	conf.requiretls_redact_dsn = true;
	common.tls_required_enable = true;
	ask_about("failure", "sender\talice@example.com\nflags\t64\n" BOB, REFUSED, 0);
	assert_int_equal(sent[0].envelope_flags, ENVELOPE_NOTICE | ENVELOPE_LOCAL | ENVELOPE_REQUIRETLS);
	has_not(0, "original body");
	has_not(0, "TLS-Required");
	ask_about("failure", "sender\talice@example.com\nflags\t128\n" BOB, REFUSED, 0);
	has(1, "\nTLS-Required: No\n");
	has(1, "original body");
	conf.requiretls_redact_dsn = false;
	common.tls_required_enable = false;
	ask_about("failure", "sender\talice@example.com\nflags\t64\n" BOB, REFUSED, 0);
	has(2, "original body");
	ask_about("failure", "sender\talice@example.com\nflags\t128\n" BOB, REFUSED, 0);
	has_not(3, "TLS-Required");
}

static void a_template_gives_headers_charset_and_words(void **state)
{
	(void) state;
	conf.notify_classes = "bounce";
	templates.of[BOUNCE_FAILURE].charset = STR("iso-8859-1");
	templates.of[BOUNCE_FAILURE].text = STR("Zur\xfc" "ck\n");
	ask_about("failure", "sender\talice@example.com\n" BOB, REFUSED, 0);
	has(0, "Content-Transfer-Encoding: 8bit\n\nThis is a MIME");
	has(0, "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\nZur\xfc"
	    "ck\n\n<bob@example.net>: host");
	has(0, "Content-Type: message/delivery-status\n\n");
	has(1, "Content-Type: text/plain; charset=us-ascii\n\nThis is the mail system at mail.example.org.\n\nMail to the recipients below could not");
	ask_about("failure", "sender\talice@example.com\nflags\t2\nto\t0\tr\xc3\xa9mi@example.net\t\t0\t\n",
		  REFUSED, 0);
	has(2, "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nThis is the mail system at");
}

static void hostile_texts_stay_in_their_field(void **state)
{
	(void) state;
	ask_about("failure", "sender\talice@example.com\n" BOB,
		  "0\tbounced\t1\tnonsense\tr\tm\tsmtp; 550 caf\xc3\xa9 \xff\tr\xc3\xa9sum\xc3\xa9\t\t\n", 0);
	has(0, "Diagnostic-Code: smtp; 550 caf");
	has(0, "Status: 5.0.0\n");
	assert_true(str_is_ascii(content(0)));
}

static void long_diagnostics_are_folded(void **state)
{
	static char outcomes[8000] = "0\tbounced\t1\t5.0.0\tr\tm\tsmtp; 550";
	struct str rest, line;

	(void) state;
	for (int i = 0; i < 400; i++)
		memcpy(outcomes + strlen(outcomes), " abcdefghi", 11);
	memcpy(outcomes + strlen(outcomes), "\ttext\t\t\n", 9);
	assert_int_equal(ask_about("failure", "sender\talice@example.com\n" BOB, outcomes, 0), 0);
	rest = content(0);
	while (rest.len > 0) {
		str_cut(&rest, '\n', &line);
		assert_true(line.len <= 100);
	}
}

static void thousands_of_recipients_are_all_in_the_report(void **state)
{
	AUTO(buf) envelope = BUF(1 << 20);
	AUTO(buf) outcomes = BUF(1 << 20);
	struct str rest;
	size_t failed = 0;
	ssize_t at;

	(void) state;
	buf_add_text(&envelope, "sender\talice@example.com\n");
	for (int i = 0; i < 3000; i++) {
		buf_addf(&envelope, "to\t%d\tr%d@example.net\t\t0\t\n", i, i);
		buf_addf(&outcomes, "%d\tbounced\t1\t5.0.0\tr\t\t\tno\t\t\n", i);
	}
	assert_int_equal(ask_about("failure", buf_text(&envelope), buf_text(&outcomes), 0), 0);
	has(0, "\nand 2800 more, which the attached report names.\n");
	has(0, "Final-Recipient: rfc822; r2999@example.net\nAction: failed\n");
	for (rest = content(0); (at = str_find_str(rest, STR("Action: failed"))) >= 0;
	     rest = str_skip(rest, (size_t) at + 1))
		failed++;
	assert_int_equal(failed, 3000);
}

static void a_delay_says_until_when(void **state)
{
	(void) state;
	ask_about("delay", "sender\talice@example.com\n" BOB,
		  "0\tdeferred\t1700000001000000\t4.4.1\tnone\t\t\tconnection refused\t\t\n", 1700086400);
	has(0, "Subject: Delayed Mail (still being retried)\n");
	has(0, "Action: delayed\nStatus: 4.4.1\nDiagnostic-Code: X-Postroad; connection refused\n");
	has(0, "Will-Retry-Until: Wed, 15 Nov 2023 22:13:20 +0000 (UTC)\n");
	has_not(0, "original body");
}

static void success_is_told_to_those_who_asked(void **state)
{
	(void) state;
	ask_about("success", "sender\ta@example.com\nto\t0\tb@x\t\t2\t\nto\t1\tc@x\t\t2\t\nto\t2\td@x\t\t2\t\nto\t3\tsilent@x\t\t0\t\n",
		  "3\tdelivered\t1\t2.0.0\tr\t\t\tsent\t\t\n2\texpanded\t1\t2.0.0\tr\t\t\talias\t\t\n1\trelayed\t1\t2.0.0\tr\t\t\tsent\t\t\n"
		  "0\tdelivered\t1\t2.0.0\tr\t\t\tsent\t\t\n", 0);
	assert_int_equal(sent_count, 1);
	has(0, "Subject: Successful Mail Delivery Report\n");
	has(0, "Final-Recipient: rfc822; b@x\nAction: delivered\n");
	has(0, "Final-Recipient: rfc822; c@x\nAction: relayed\n");
	has(0, "Final-Recipient: rfc822; d@x\nAction: expanded\n");
	has_not(0, "silent");
}

/* ---- who is told ---- */

static void notify_is_honoured_recipient_by_recipient(void **state)
{
	(void) state;
	ask_about("failure", "sender\ta@example.com\nto\t0\tnever@x\t\t1\t\nto\t1\tdelay@x\t\t8\t\nto\t2\tfailure@x\t\t4\t\nto\t3\tdefault@x\t\t0\t\n",
		  "0\tbounced\t1\t5.0.0\tr\t\t\tno\t\t\n1\tbounced\t1\t5.0.0\tr\t\t\tno\t\t\n2\tbounced\t1\t5.0.0\tr\t\t\tno\t\t\n"
		  "3\tbounced\t1\t5.0.0\tr\t\t\tno\t\t\n", 0);
	assert_int_equal(sent_count, 1);
	has(0, "failure@x");
	has(0, "default@x");
	has_not(0, "never@x");
	has_not(0, "delay@x");
}

static void nobody_is_told_when_nobody_wants_to_know(void **state)
{
	(void) state;
	assert_int_equal(ask_about("failure", "sender\ta@example.com\nto\t0\tnever@x\t\t1\t\n", REFUSED, 0),
			 0);
	assert_int_equal(ask_about("success", "sender\ta@example.com\n" BOB,
				   "0\tdelivered\t1\t2.0.0\tr\t\t\tsent\t\t\n", 0), 0);
	assert_int_equal(sent_count, 0);
	assert_string_equal(notice_id, "");
}

static void there_is_never_a_notification_about_a_notification(void **state)
{
	(void) state;
	assert_int_equal(ask_about("failure", "sender\t\n" BOB, REFUSED, 0), 0);
	assert_int_equal(ask_about("failure", "sender\ta@example.com\nflags\t8\n" BOB, REFUSED, 0), 0);
	assert_int_equal(ask_about("delay", "sender\t\n" BOB, "0\tdeferred\t1\t4.4.1\tr\t\t\tno\t\t\n", 0), 0);
	assert_int_equal(sent_count, 0);
	conf.notify_classes = "2bounce";
	assert_int_equal(ask_about("failure", "sender\t\n" BOB, REFUSED, 0), 0);
	assert_int_equal(sent_count, 1);
	assert_string_equal(sent[0].sender, "double-bounce");
	assert_string_equal(sent[0].to, "postmaster2");
	has(0, "Subject: Postmaster Copy: Undelivered Mail\n");
	has(0, "original body");		/* who else should have it? */
	assert_int_equal(ask_about("failure", "sender\tdouble-bounce@example.org\n" BOB, REFUSED, 0), 0);
	assert_int_equal(sent_count, 1);
	assert_int_equal(ask_about("failure", "sender\tdouble-bounce@elsewhere.example\n" BOB, REFUSED, 0), 0);
	assert_int_equal(sent_count, 2);
	assert_string_equal(sent[1].to, "double-bounce@elsewhere.example");
	conf.notify_classes = "bounce";		/* implies it */
	assert_int_equal(ask_about("failure", "sender\t\n" BOB, REFUSED, 0), 0);
	assert_int_equal(sent_count, 3);
	assert_string_equal(sent[2].to, "postmaster2");
}

static void the_postmaster_gets_copies_when_the_class_is_on(void **state)
{
	(void) state;
	conf.notify_classes = "resource, bounce delay";
	assert_int_equal(ask_about("failure", "sender\talice@example.com\n" BOB, REFUSED, 0), 0);
	assert_int_equal(sent_count, 2);
	assert_string_equal(sent[1].to, "postmaster");
	assert_string_equal(sent[1].sender, "double-bounce");
	has(0, "\nAuto-Submitted: auto-replied\n");
	has(1, "\nAuto-Submitted: auto-generated\n");
	has_not(1, "original body");
	assert_string_equal(notice_id, sent[0].id);
}

/* Other systems send their notifications with NOTIFY=NEVER. */
static void the_postmaster_hears_also_of_what_the_sender_does_not_want_to(void **state)
{
	static const char NEVER_AND_DEFAULT[] = "to\t0\tnever@x\t\t1\t\nto\t1\tdefault@x\t\t0\t\n";
	static const char BOTH[] = "0\tbounced\t1\t5.0.0\tr\t\t\tno\t\t\n1\tbounced\t1\t5.0.0\tr\t\t\tno\t\t\n";
	char envelope[200];

	(void) state;
	conf.notify_classes = "bounce, delay";
	snprintf(envelope, sizeof(envelope), "sender\ta@example.com\n%s", NEVER_AND_DEFAULT);
	assert_int_equal(ask_about("failure", envelope, BOTH, 0), 0);
	assert_int_equal(sent_count, 2);
	assert_string_equal(sent[0].to, "a@example.com");
	has(0, "default@x");
	has_not(0, "never@x");
	assert_string_equal(sent[1].to, "postmaster");
	has(1, "default@x");
	has(1, "never@x");
	assert_int_equal(ask_about("failure", "sender\t\nto\t0\tnever@x\t\t1\t\n", REFUSED, 0), 0);
	assert_int_equal(sent_count, 3);
	assert_string_equal(sent[2].to, "postmaster2");
	assert_int_equal(ask_about("delay", "sender\ta@example.com\nto\t0\tnever@x\t\t1\t\n",
				   "0\tdeferred\t1\t4.4.1\tr\t\t\tno\t\t\n", 0), 0);
	assert_int_equal(sent_count, 4);
	assert_string_equal(sent[3].to, "postmaster3");
	assert_string_equal(notice_id, "");
}

static void a_temporary_refusal_means_try_again_and_a_final_one_the_end(void **state)
{
	(void) state;
	verdict_code = 451;
	assert_int_equal(ask_about("failure", "sender\talice@example.com\n" BOB, REFUSED, 0), EAGAIN);
	verdict_code = 550;
	assert_int_equal(ask_about("failure", "sender\talice@example.com\n" BOB, REFUSED, 0), 0);
}

static void a_notice_that_is_refused_with_the_message_is_sent_without_it_and_without_checks(void **state)
{
	(void) state;
	conf.internal_mail_filter_classes = "bounce";
	verdict_code = 550;
	next_verdict_code = 250;
	assert_int_equal(ask_about("failure", "sender\talice@example.com\n" BOB, REFUSED, 0), 0);
	assert_int_equal(sent_count, 2);
	assert_int_equal(sent[0].flags & CLEANUP_NO_CHECKS, 0);
	has(0, "original body");
	assert_int_not_equal(sent[1].flags & CLEANUP_NO_CHECKS, 0);
	assert_string_equal(sent[1].to, "alice@example.com");
	has(1, "The message itself is not attached");
	has(1, "Final-Recipient: rfc822; bob@example.net");
	has_not(1, "original body");
	assert_string_equal(notice_id, sent[1].id);
	conf.notify_classes = "2bounce";
	verdict_code = 550;
	assert_int_equal(ask_about("failure", "sender\t\n" BOB, REFUSED, 0), 0);
	assert_int_equal(sent_count, 4);
	assert_string_equal(sent[3].to, "postmaster2");
	has_not(3, "original body");
}

static void what_cannot_be_read_now_is_told_later(void **state)
{
	(void) state;
	assert_int_equal(ask_with_file(open("/", O_RDONLY), "failure", "sender\talice@example.com\n" BOB,
				       REFUSED, 0), EAGAIN);
	assert_int_equal(sent_count, 1);
	assert_true(sent[0].aborted);
}

static void a_message_that_is_cut_off_is_not_returned_and_the_notice_says_so(void **state)
{
	int file = message_file();

	(void) state;
	assert_int_equal(ftruncate(file, 1024 + (off_t) strlen(body) - 1), 0);
	assert_int_equal(ask_with_file(file, "failure", "sender\talice@example.com\n" BOB, REFUSED, 0), 0);
	assert_int_equal(sent_count, 1);
	assert_false(sent[0].aborted);
	has(0, "The message itself is damaged in this mail system's queue, so that it cannot be\nattached here.\n");
	has(0, "<bob@example.net>: host mx said: 550 5.1.1 no such user\n");
	has_not(0, "message/rfc822");
	has_not(0, "Subject: original");
}

/* How often the log says so. */
static int logs_that_it_goes_without(const char *notify)
{
	static const char words[] = "its notification goes without it";
	int log = memfd_create("log", 0), file = message_file(), own = dup(STDERR_FILENO);
	char envelope[200], said[2000] = "";
	int count = 0;

	snprintf(envelope, sizeof(envelope), "sender\talice@example.com\nto\t0\tbob@example.net\t\t%s\t\n", notify);
	assert_int_equal(ftruncate(file, 1024), 0);
	dup2(log, STDERR_FILENO);
	assert_int_equal(ask_with_file(file, "failure", envelope, REFUSED, 0), 0);
	log_flush();
	dup2(own, STDERR_FILENO);
	close(own);
	assert_true(pread(log, said, sizeof(said) - 1, 0) >= 0);
	close(log);
	for (const char *at = said; (at = strstr(at, words)) != NULL; at++)
		count++;
	return count;
}

static void that_a_notice_goes_without_the_message_is_logged_once_where_there_is_a_notice(void **state)
{
	(void) state;
	assert_int_equal(logs_that_it_goes_without("0"), 1);
	assert_int_equal(sent_count, 1);
	assert_int_equal(logs_that_it_goes_without("1"), 0);
	assert_int_equal(sent_count, 1);
	conf.notify_classes = "bounce";
	assert_int_equal(logs_that_it_goes_without("0"), 1);
	assert_int_equal(sent_count, 3);
}

static void nonsense_is_refused(void **state)
{
	(void) state;
	assert_int_equal(ask_about("party", "sender\ta@b\n" BOB, REFUSED, 0), -EBADMSG);
	assert_int_equal(ask_about("failure", "nonsense", REFUSED, 0), -EBADMSG);
	assert_int_equal(ask_about("failure", "sender\ta@b\n" BOB, "nonsense\n", 0), -EBADMSG);
	assert_int_equal(sent_count, 0);
}

#define BOUNCE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOUNCE_TEST(a_failure_is_a_multipart_report_with_the_message),
		BOUNCE_TEST(eight_bits_are_announced_where_they_are),
		BOUNCE_TEST(a_thread_is_made_when_asked_for),
		BOUNCE_TEST(only_headers_are_returned_of_large_messages_and_on_request),
		BOUNCE_TEST(the_original_recipient_is_named),
		BOUNCE_TEST(utf8_addresses_make_a_global_notification),
		BOUNCE_TEST(what_was_said_about_tls_holds_for_the_notification),
		BOUNCE_TEST(a_template_gives_headers_charset_and_words),
		BOUNCE_TEST(hostile_texts_stay_in_their_field),
		BOUNCE_TEST(long_diagnostics_are_folded),
		BOUNCE_TEST(thousands_of_recipients_are_all_in_the_report),
		BOUNCE_TEST(a_delay_says_until_when),
		BOUNCE_TEST(success_is_told_to_those_who_asked),
		BOUNCE_TEST(notify_is_honoured_recipient_by_recipient),
		BOUNCE_TEST(nobody_is_told_when_nobody_wants_to_know),
		BOUNCE_TEST(there_is_never_a_notification_about_a_notification),
		BOUNCE_TEST(the_postmaster_gets_copies_when_the_class_is_on),
		BOUNCE_TEST(the_postmaster_hears_also_of_what_the_sender_does_not_want_to),
		BOUNCE_TEST(a_temporary_refusal_means_try_again_and_a_final_one_the_end),
		BOUNCE_TEST(a_notice_that_is_refused_with_the_message_is_sent_without_it_and_without_checks),
		BOUNCE_TEST(what_cannot_be_read_now_is_told_later),
		BOUNCE_TEST(a_message_that_is_cut_off_is_not_returned_and_the_notice_says_so),
		BOUNCE_TEST(that_a_notice_goes_without_the_message_is_logged_once_where_there_is_a_notice),
		BOUNCE_TEST(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
