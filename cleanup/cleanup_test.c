/* SPDX-License-Identifier: ISC */
/* Messages through cleanup, from a request to the queue file, on a scratch queue. */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup/message.h"
#include "lib/disk/disk.h"

static char dir[64];
static struct common_conf common;
static struct conf *conf;

static void put_file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	fclose(f);
}

static const char main_cf[] =
	"myhostname = mail.example.org\nmydomain = example.org\nmyorigin = example.org\nmail_name = Postroad\n"
	"virtual_alias_maps = inline:{ { list@example.org = one@example.net, two@example.net }, { al@example.org = bob@example.net },"
	" { loop@example.org = loop2@example.org }, { loop2@example.org = loop@example.org } }\n"
	"virtual_alias_domains =\nmessage_size_limit = 500000\nrecipient_delimiter = +\n";

static struct tables *open_checks(const char *name, const char *rules)
{
	AUTO(buf) why = BUF_WORDS;
	struct tables *t;
	char spec[128];

	put_file(name, rules);
	snprintf(spec, sizeof(spec), "regexp:%s/%s", dir, name);
	if (tables_open(str_of(spec), 0, &t, &why) < 0)
		fail_msg("%s", buf_text(&why));
	return t;
}

static void start_world(void)
{
	static struct str drop[] = { STR_INIT("bcc"), STR_INIT("content-length"), STR_INIT("resent-bcc"), STR_INIT("return-path") };
	AUTO(buf) why = BUF_WORDS;
	int fd = open(dir, O_RDONLY | O_DIRECTORY);

	mkdirat(fd, "incoming", 0700);
	mkdirat(fd, "hold", 0700);
	put_file("main.cf", main_cf);
	if (conf_load(dir, &conf, &why) < 0 || conf_fill(conf, &common_group, &common, &why) < 0
	    || conf_fill(conf, &cleanup_group, &the_cleanup.conf, &why) < 0
	    || conf_fill(conf, &route_group, &the_cleanup.route_conf, &why) < 0
	    || route_open(conf, &common, &the_cleanup.route, &why) < 0
	    || queue_open(fd, 1, 1u << QUEUE_INCOMING | 1u << QUEUE_HOLD, &the_cleanup.queue, &why) < 0)
		fail_msg("%s", buf_text(&why));
	the_cleanup.common = &common;
	the_cleanup.smtputf8_enable = true;
	the_cleanup.drop_headers = drop;
	the_cleanup.drop_count = COUNT_OF(drop);
	close(fd);
}

/* ---- one message ---- */

struct stored {
	struct arena *a;
	struct cleanup_reply reply;
	bool exists;
	enum queue_name where;
	struct str headers, body;
	uint64_t size;
	struct envelope e;
	char id[32];
};

static struct envelope from_client(struct recipient *to, size_t n)
{
	return (struct envelope){ .sender = STR("alice@example.com"), .arrival_us = 1700000000000000, .client_name = STR("c.example.com"),
				  .client_address = STR("192.0.2.7"), .client_helo = STR("helo.example.com"),
				  .client_protocol = STR("ESMTP"), .recipient_count = n, .recipients = to };
}

static struct str read_part(struct arena *a, int fd, uint64_t at, uint64_t len)
{
	char *bytes = arena_get(a, len + 1);

	assert_int_equal(pread_all(fd, bytes, len, (off_t) at), len);
	return str_make(bytes, len);
}

static void read_back(struct stored *s)
{
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_open(the_cleanup.queue, QUEUE_INCOMING, str_of(s->id), false, true, &f);

	if (r == -ENOENT)
		r = queue_file_open(the_cleanup.queue, QUEUE_HOLD, str_of(s->id), false, true, &f);
	s->exists = r != -ENOENT;
	if (!s->exists)
		return;
	assert_int_equal(r, 0);
	s->where = f.where;
	s->size = f.parts.size;
	s->headers = read_part(s->a, f.fd, f.parts.headers_at, f.parts.headers_len);
	s->body = read_part(s->a, f.fd, f.parts.body_at, f.parts.body_len);
	assert_int_equal(queue_file_envelope(&f, s->a, &s->e), 0);
	queue_finish(the_cleanup.queue, f.where, str_of(s->id));
}

/* piece 0: all at once. */
static struct stored pass(const char *origin, unsigned flags, const struct envelope *e, struct str content, size_t piece)
{
	struct stored s = { .a = arena_new("test", NULL, 64 << 20) };
	struct arena *a = arena_new("message", NULL, 64 << 20);
	AUTO(buf) packed = BUF(1 << 20);
	struct message *m;

	assert_int_equal(envelope_pack(e, &packed), 0);
	m = message_begin(a, str_of(origin), flags, STR_NONE, buf_str(&packed));
	memcpy(s.id, m->id, sizeof(s.id));
	if (piece == 0)
		message_feed_all(m, content);
	else
		for (size_t at = 0; at < content.len; at += piece)
			message_feed(m, str_head(str_skip(content, at), piece));
	message_end(m, &s.reply);
	s.reply.text = arena_copy(s.a, s.reply.text);
	s.reply.dsn = arena_copy(s.a, s.reply.dsn);
	message_free(m);
	arena_free(a);
	read_back(&s);
	return s;
}

static struct stored pass_text(unsigned flags, const char *content)
{
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = from_client(&to, 1);

	return pass("smtpd", flags, &e, str_of(content), 0);
}

static void drop(struct stored *s)
{
	arena_free(s->a);
}

static void assert_reply(const struct stored *s, int code, const char *dsn, const char *text)
{
	assert_int_equal(s->reply.code, code);
	assert_str(s->reply.dsn, dsn);
	assert_str(s->reply.text, text);
}

static void assert_has(struct str text, const char *needle)
{
	if (str_find_str(text, str_of(needle)) < 0)
		fail_msg("no \"%s\" in \"%.*s\"", needle, PSTR(text));
}

static void assert_has_not(struct str text, const char *needle)
{
	if (str_find_str(text, str_of(needle)) >= 0)
		fail_msg("\"%s\" in \"%.*s\"", needle, PSTR(text));
}

enum { REMOTE = CLEANUP_ADD_RECEIVED | CLEANUP_EXTERNAL };

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
	struct recipient to[] = { { .address = STR("bob@example.net") }, { .address = STR("eve@example.net"), .index = 1 } };
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
	struct envelope e = { .sender = STR("root"), .arrival_us = 1700000000000000, .flags = ENVELOPE_LOCAL, .uid = 1000,
			      .full_name = STR("Joe \"X\" User"), .recipient_count = 1, .recipients = &to };
	struct stored s = pass("pickup", CLEANUP_ADD_RECEIVED, &e, STR("To: bob, carol@example.net\n\nhi\n"), 0);
	char expected[200];

	(void) state;
	snprintf(expected, sizeof(expected), "Received: by mail.example.org (Postroad, from userid 1000)\n\tid %s; Tue, 14 Nov", s.id);
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
		{ "TLS-Required: No\n\n", 0, ENVELOPE_TLS_OPTIONAL }, { "tls-required:\tNO \n\n", 0, ENVELOPE_TLS_OPTIONAL },
		{ "TLS-Required: Yes\n\n", 0, 0 }, { "TLS-Required:\n\n", 0, 0 }, { "X-TLS-Required: No\n\n", 0, 0 }, { "Subject: x\n\nTLS-Required: No\n", 0, 0 },
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
			assert_int_equal(s.e.flags & (ENVELOPE_REQUIRETLS | ENVELOPE_TLS_OPTIONAL), on ? cases[i].expected : cases[i].flags);
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
	struct stored s = pass_text(CLEANUP_ADD_RECEIVED, "From: a@b\nDate: x\nMessage-ID: <1@2>\nResent-From: c@d\n\n");

	(void) state;
	assert_has(s.headers, "Resent-Date:");
	assert_has(s.headers, "Resent-Message-Id:");
	assert_has_not(s.headers, "\nDate: Tue");
	drop(&s);
}

static void bcc_and_return_path_are_removed(void **state)
{
	struct stored s = pass_text(REMOTE, "Return-Path: <x@y>\nTo: a@b\nBCC: secret@example.com,\n other@example.com\nX-Bcc: kept\n\n");

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
	struct stored s = pass_text(CLEANUP_EXTERNAL, "A: b\rc\n\none\r\n\r.\r\ntwo\n");

	assert_str(s.headers, "A: b c\n");
	assert_str(s.body, "one \n . \ntwo\n");
	drop(&s);
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
		{ "From me Mon Nov 22\nA: b\n\nx\n", "X-Mailbox-Line: From me Mon Nov 22\nA: b\n", "x\n", true },
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
	for (int i = 0; i < 51; i++)
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
	struct recipient to = { .address = STR("r\xc3\xa9mi@example.net") }, plain = { .address = STR("bob@example.net") };
	struct envelope e = { .sender = STR("me"), .arrival_us = 1, .flags = ENVELOPE_LOCAL, .recipient_count = 1, .recipients = &plain };
	static const struct { const char *origin, *content; bool utf8_address; unsigned expected; } cases[] = {
		{ "pickup", "Subject: Gr\xc3\xbc\xc3\x9f" "e\n\n", false, ENVELOPE_SMTPUTF8 | ENVELOPE_8BITMIME },
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
	struct stored s = pass("pickup", CLEANUP_EXTRACT, &e, STR("To: old@example.net\nResent-To: new@example.net\nResent-From: x@y\n\n"), 0);

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

static void aliases_are_expanded_and_remember_where_they_came_from(void **state)
{
	struct recipient to[] = { { .address = STR("list@example.org"), .notify = NOTIFY_SUCCESS | NOTIFY_FAILURE, .orcpt = STR("rfc822;list@example.org") },
				  { .address = STR("al+ext@example.org"), .index = 1, .notify = NOTIFY_SUCCESS } };
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

static void duplicates_are_left_out(void **state)
{
	struct recipient to[] = { { .address = STR("bob@example.net") }, { .address = STR("BOB@example.net"), .index = 1 },
				  { .address = STR("al@example.org"), .index = 2 } };
	struct envelope e = from_client(to, 3);
	struct stored s = pass("smtpd", REMOTE, &e, STR("A: b\n\n"), 0);

	(void) state;
	assert_int_equal(s.e.recipient_count, 2);	/* the alias has another original recipient */
	drop(&s);
	the_cleanup.conf.enable_original_recipient = false;
	s = pass("smtpd", REMOTE, &e, STR("A: b\n\n"), 0);
	the_cleanup.conf.enable_original_recipient = true;
	assert_int_equal(s.e.recipient_count, 1);
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
		{ "To: bob (one)\n (two), < carol > (three)", "To: bob@example.org (one)\n (two), < carol@example.org > (three)" },
		{ "To: x (one) @ (two)\n y.example. (three)", "To: x@y.example (one) (two) (three)" },
		{ "Disposition-Notification-To: bob", "Disposition-Notification-To: bob@example.org" },
		{ "Return-Receipt-To: bob", "Return-Receipt-To: bob@example.org" },
		{ "To: (a)) \\", "To: (a)) \\" },
		{ "To:", "To:" },
		{ "Subject: bob", "Subject: bob" },
	};
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = { .sender = STR("me@x.y"), .arrival_us = 1, .flags = ENVELOPE_LOCAL, .recipient_count = 1, .recipients = &to };

	(void) state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct arena *a = arena_new("t", NULL, 1 << 16);
		struct stored s = pass("local", CLEANUP_EXTERNAL, &e, arena_fmt(a, "%s\n\n", cases[i].before), 0);

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
		"/^X-Reject:/ REJECT 5.7.9 not wanted\n/^X-Plain:/ REJECT\n/^X-Hold:/ HOLD\n/^X-Discard:/ DISCARD\n/^X-Ignore:/ IGNORE\n"
		"/^X-Replace: (.*)/ REPLACE X-New: $1\n/^X-Prepend:/ PREPEND X-Added: yes\n/^X-Redirect:/ REDIRECT r@example.net\n"
		"/^X-Bcc:/ BCC copy@example.net\n/^X-Filter:/ FILTER smtp:[127.0.0.1]:1\n/^X-Warn:/ WARN look\n/^X-Bad:/ NONSENSE\n");
	s = pass_text(CLEANUP_EXTERNAL, "X-Reject: 1\n\n");
	assert_reply(&s, 550, "5.7.9", "not wanted");
	assert_false(s.exists);
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
	s = pass_text(CLEANUP_EXTERNAL, "A: b\nX-Ignore: 1\n more\nX-Replace: 7\nX-Prepend: 2\nX-Warn: 3\nX-Bad: 4\n\n");
	assert_str(s.headers, "X-Added: yes\nA: b\nX-New: 7\nX-Prepend: 2\nX-Warn: 3\nX-Bad: 4\n");
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

static void body_checks_act_line_by_line(void **state)
{
	static const char text[] = "A: b\n\nfirst\nsecret one\nlast\nchange me\nunfinished secret";
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = from_client(&to, 1);

	(void) state;
	the_cleanup.body_checks = open_checks("body_checks", "/secret/ IGNORE\n/^change/ REPLACE changed\n/^hold/ HOLD\n/^virus/ REJECT ill\n");
	for (size_t piece = 0; piece < sizeof(text); piece++) {
		struct stored s = pass("smtpd", CLEANUP_EXTERNAL, &e, str_make(text, sizeof(text) - 1), piece);

		assert_str(s.body, "first\nlast\nchanged\n");
		drop(&s);
	}
	struct stored s = pass_text(CLEANUP_EXTERNAL, "A: b\n\nhold me\n");
	assert_int_equal(s.where, QUEUE_HOLD);
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

/* ---- giving up ---- */

static void a_message_that_is_not_ended_leaves_nothing(void **state)
{
	static char text[300000] = "A: b\n\n";
	struct arena *a = arena_new("message", NULL, 64 << 20);
	AUTO(queue_file) f = { .fd = -1 };
	struct message *m = message_begin(a, STR("smtpd"), 0, STR_NONE, STR("sender\t\nto\t0\tb@example.net\t\t0\t\n"));

	(void) state;
	message_feed(m, str_make(text, sizeof(text)));
	assert_int_equal(queue_file_open(the_cleanup.queue, QUEUE_INCOMING, str_of(m->id), false, false, &f), -ENODATA);
	message_free(m);
	assert_int_equal(queue_file_open(the_cleanup.queue, QUEUE_INCOMING, str_of(m->id), false, false, &f), -ENOENT);
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

static int setup(void **state)
{
	(void) state;
	snprintf(dir, sizeof(dir), "/tmp/cleanup-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	setenv("TZ", "UTC", 1);
	start_world();
	return 0;
}

static int teardown(void **state)
{
	pid_t child = fork();

	(void) state;
	if (child == 0) {
		execlp("rm", "rm", "-rf", dir, (char *) NULL);
		_exit(1);
	}
	waitpid(child, NULL, 0);
	queue_close(the_cleanup.queue);
	route_free(the_cleanup.route);
	conf_free(conf);
	return 0;
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
		cmocka_unit_test(bcc_and_return_path_are_removed),
		cmocka_unit_test(content_is_kept_byte_for_byte),
		cmocka_unit_test(a_carriage_return_that_ends_no_line_becomes_a_blank),
		cmocka_unit_test(headers_are_found_in_pieces_of_any_size),
		cmocka_unit_test(odd_beginnings_are_no_headers),
		cmocka_unit_test(a_header_beyond_its_limit_is_cut),
		cmocka_unit_test(too_much_of_anything_is_refused_and_leaves_nothing),
		cmocka_unit_test(a_full_disk_is_a_temporary_error),
		cmocka_unit_test(soft_bounce_makes_refusals_temporary),
		cmocka_unit_test(recipients_are_taken_from_headers),
		cmocka_unit_test(utf8_from_local_programs_needs_smtputf8),
		cmocka_unit_test(a_resent_message_goes_to_its_resent_recipients),
		cmocka_unit_test(nobody_to_send_to_is_refused),
		cmocka_unit_test(aliases_are_expanded_and_remember_where_they_came_from),
		cmocka_unit_test(duplicates_are_left_out),
		cmocka_unit_test(copies_go_to_always_bcc_except_of_notices),
		cmocka_unit_test(a_loop_of_aliases_is_temporary),
		cmocka_unit_test(local_headers_are_completed_and_nothing_else_is_touched),
		cmocka_unit_test(header_checks_act),
		cmocka_unit_test(body_checks_act_line_by_line),
		cmocka_unit_test(long_lines_pass_body_checks_whole),
		cmocka_unit_test(a_message_that_is_not_ended_leaves_nothing),
		cmocka_unit_test(a_nonsense_envelope_is_a_protocol_error),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
