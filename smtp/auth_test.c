/* SPDX-License-Identifier: ISC */
/*
 * Logging in: what is said to which server, what each answer means for the mail, and what a hostile
 * server gets.
 */
#include "smtp/client_for_test.h"

#include "lib/base/module.h"

#define PASSWORDS "smtp_sasl_auth_enable = yes\nshlib_directory = modules\n" \
	"smtp_sasl_password_maps = inline:{ { 127.0.0.1 = tim:tanstaaftanstaaf } }\n"
#define CLEAR PASSWORDS "smtp_sasl_security_options = noanonymous\n"
#define OFFERS(mechanisms) "A\nS 220 mx ESMTP\nC EHLO client.example\nS 250-mx.example\nS 250 AUTH " mechanisms "\n"
#define SAYS_PLAIN "C AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\n"
#define FAILED(words) "SASL authentication failed; cannot authenticate to server 127.0.0.1[127.0.0.1]: " words
#define REFUSED(words) "SASL authentication failed; server 127.0.0.1[127.0.0.1] said: " words

static int set_up(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	const void *driver;
	int r = module_load("modules/gsasl.so", "sasl_driver", &driver, &why);

#ifdef HAVE_GSASL
	if (r < 0)
		fail_msg("%s", buf_text(&why));
#else
	if (r < 0)
		exit(77);		/* skipped: this build has no libgsasl */
#endif
	return client_set_up(state);
}

static void test_each_mechanism_is_spoken_to_its_end(void **unused)
{
	static const struct { const char *more, *script; } cases[] = {
		{ "", OFFERS("PLAIN LOGIN") SAYS_PLAIN "S 235 2.7.0 ok\n" ENVELOPE DATA_OK "E" },
		{ "", OFFERS("LOGIN") "C AUTH LOGIN\nS 334 VXNlcm5hbWU6\nC dGlt\nS 334 UGFzc3dvcmQ6\nC dGFuc3RhYWZ0YW5zdGFhZg==\nS 235 ok\n" ENVELOPE DATA_OK "E" },
		{ "", OFFERS("PLAIN CRAM-MD5") "C AUTH CRAM-MD5\nS 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\n"
		      "C dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\nS 235 2.7.0 ok\n" ENVELOPE DATA_OK "E" },
		{ "smtp_sasl_mechanism_filter = xoauth2\n", OFFERS("PLAIN XOAUTH2")
		  "C AUTH XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgdGFuc3RhYWZ0YW5zdGFhZgEB\nS 235 ok\n" ENVELOPE DATA_OK "E" },
		{ "smtp_sasl_mechanism_filter = !plain, static:all\n",
		  OFFERS("PLAIN LOGIN") "C AUTH LOGIN\nS 334 VXNlcm5hbWU6\nC dGlt\nS 334 UGFzc3dvcmQ6\n"
		  "C dGFuc3RhYWZ0YW5zdGFhZg==\nS 235 ok\n" ENVELOPE DATA_OK "E" },
		{ "", "A\nS 220 old\nC EHLO\nS 250-mx\nS 250 AUTH=LOGIN PLAIN\n" SAYS_PLAIN "S 235 ok\n" ENVELOPE DATA_OK "E" },
		{ "send_cyrus_sasl_authzid = yes\n",
		  OFFERS("PLAIN") "C AUTH PLAIN dGltAHRpbQB0YW5zdGFhZnRhbnN0YWFm\nS 235 ok\n" ENVELOPE DATA_OK "E" },
		{ "smtp_send_dummy_mail_auth = yes\n",
		  OFFERS("PLAIN") SAYS_PLAIN "S 235 ok\nC MAIL FROM:<a@example.org> AUTH=<>\nS 250 ok\n"
		  "C RCPT TO:<b@example.net>\nS 250 ok\n" DATA_OK "E" },
	};
	AUTO(buf) main_cf = BUF(4096);

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct case_ c = { .servers = { cases[i].script }, .outcomes = "D" };

		buf_clear(&main_cf);
		buf_addf(&main_cf, "%s%s", CLEAR, cases[i].more);
		configure(buf_text(&main_cf));
		run(&c);
	}
}

static void test_strangers_are_treated_as_strangers(void **unused)
{
	static const struct case_ not_offered = { .servers = { TAKES }, .outcomes = "D" };
	static const struct case_ no_password = { .servers = { OFFERS("PLAIN") ENVELOPE DATA_OK "E" },
						  .outcomes = "D" };

	(void) unused;
	configure(CLEAR);
	run(&not_offered);
	configure(CLEAR "smtp_sasl_password_maps = inline:{ { other.example = tim:x } }");
	run(&no_password);
	configure(CLEAR "smtp_discard_ehlo_keywords = auth");
	run(&no_password);
	configure("");
	run(&no_password);
}

static void test_a_password_is_found_by_host_and_by_next_hop_as_it_is_written(void **unused)
{
	static const struct case_ c = {
		.servers = { OFFERS("PLAIN") SAYS_PLAIN "S 235 ok\n" ENVELOPE DATA_OK "E" },
		.nexthop = "relay.example", .outcomes = "D" };
	static const struct zone_row rows[] = { { "relay.example", DNS_MX, DNS_OK, "10 mx.example" },
						{ "mx.example", DNS_A, DNS_OK, "127.0.0.1" }, { 0 } };

	(void) unused;
	configure(CLEAR "smtp_sasl_password_maps = inline:{ { relay.example = tim:tanstaaftanstaaf } }");
	zone = rows;
	run(&c);
	configure(CLEAR "smtp_sasl_password_maps = inline:{ { mx.example = tim:tanstaaftanstaaf }, { relay.example = other:x } }");
	zone = rows;
	run(&c);
	configure(CLEAR "smtp_sasl_password_maps = inline:{ { relay.example = tim||tanstaaftanstaaf } }\nsmtp_sasl_password_result_delimiter = ||");
	zone = rows;
	run(&c);
}

static void test_passwords_are_not_said_in_the_clear_unless_it_is_allowed(void **unused)
{
	static const struct case_ plain_only = { .servers = { OFFERS("PLAIN LOGIN XOAUTH2") "Q" },
						 .outcomes = "d", .dsn = "4.7.0", .site = true,
						 .text = FAILED("no mechanism available") };
	static const struct case_ none_left = {
		.servers = { OFFERS("PLAIN LOGIN") "Q" }, .outcomes = "d", .dsn = "4.7.0", .site = true,
		.text = "SASL authentication failed: server 127.0.0.1[127.0.0.1] offered no compatible authentication mechanisms for this type of connection security" };
	static const struct case_ nothing = { .servers = { OFFERS("") "Q" }, .outcomes = "d", .dsn = "4.7.0",
					      .site = true };

	(void) unused;
	configure(PASSWORDS);
	run(&plain_only);
	configure(CLEAR "smtp_sasl_mechanism_filter = cram-md5");
	run(&none_left);
	run(&nothing);
	configure(CLEAR "smtp_sasl_security_options = noplaintext, mutual_auth");
	run(&plain_only);
}

static void test_each_refusal_has_its_verdict(void **unused)
{
	static const struct case_ soft[] = {
		{ .servers = { OFFERS("PLAIN") SAYS_PLAIN "S 535 5.7.8 wrong\nQ" }, .outcomes = "d",
		  .dsn = "4.7.8", .site = true, .text = REFUSED("535 5.7.8 wrong") },
		{ .servers = { OFFERS("PLAIN") SAYS_PLAIN "S 535 wrong\nQ" }, .outcomes = "d",
		  .dsn = "4.0.0", .site = true },
		{ .servers = { OFFERS("PLAIN") SAYS_PLAIN "S 454 4.7.0 later\nQ" }, .outcomes = "d",
		  .dsn = "4.7.0", .site = true, .text = REFUSED("454 4.7.0 later") },
		{ .servers = { OFFERS("PLAIN") SAYS_PLAIN "S 421 4.3.2 bye\nX" }, .outcomes = "d",
		  .dsn = "4.3.2", .site = true },
	};
	static const struct case_ hard = { .servers = { OFFERS("PLAIN") SAYS_PLAIN "S 535 5.7.8 wrong\nQ" },
					   .outcomes = "B", .dsn = "5.7.8",
					   .text = REFUSED("535 5.7.8 wrong") };
	static const struct case_ still_soft = {
		.servers = { OFFERS("PLAIN") SAYS_PLAIN "S 454 4.7.0 later\nQ" }, .outcomes = "d",
		.dsn = "4.7.0", .site = true };

	(void) unused;
	configure(CLEAR);
	for (size_t i = 0; i < COUNT_OF(soft); i++)
		run(&soft[i]);
	configure(CLEAR "smtp_sasl_auth_soft_bounce = no");
	run(&hard);
	run(&still_soft);
}

static void test_a_server_that_quotes_the_password_does_not_get_it_into_the_log(void **unused)
{
	static const struct case_ c = {
		.servers = { OFFERS("PLAIN") SAYS_PLAIN "S 535 AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm: tanstaaftanstaaf?\nQ" },
		.outcomes = "d",
					.dsn = "4.0.0", .site = true,
					.text = REFUSED("535 AUTH PLAIN ****************************: ****************?") };

	(void) unused;
	configure(CLEAR);
	run(&c);
}

static void test_a_table_of_refused_passwords_that_fails_costs_no_mail(void **unused)
{
	static const struct case_ refused = {
		.servers = { OFFERS("PLAIN") SAYS_PLAIN "S 535 5.7.8 wrong\nQ\n" OFFERS("PLAIN") SAYS_PLAIN "S 535 5.7.8 wrong\nQ" },
					      .outcomes = "d", .dsn = "4.7.8", .site = true,
					      .text = REFUSED("535 5.7.8 wrong") };
	static const struct case_ fine = {
		.servers = { OFFERS("PLAIN") SAYS_PLAIN "S 235 ok\n" ENVELOPE DATA_OK "E" },
		.outcomes = "D" };

	(void) unused;
	configure(CLEAR "smtp_sasl_auth_cache_name = proxy:btree:x");	/* there is no proxywrite */
	run_many(&refused, 2);
	end_case();
	run(&fine);
}

static void test_the_connection_may_end_at_every_step(void **unused)
{
	static const struct case_ cases[] = {
		{ .servers = { OFFERS("PLAIN") SAYS_PLAIN "X" }, .outcomes = "d", .dsn = "4.4.2",
		  .site = true, .text = LOST("performing the EHLO handshake") },
		{ .servers = { OFFERS("LOGIN") "C AUTH LOGIN\nX" }, .outcomes = "d", .dsn = "4.4.2",
		  .site = true },
		{ .servers = { OFFERS("LOGIN") "C AUTH LOGIN\nR 334 VXNl\nX" }, .outcomes = "d",
		  .dsn = "4.4.2", .site = true },
		{ .servers = { OFFERS("LOGIN") "C AUTH LOGIN\nS 334 VXNlcm5hbWU6\nX" }, .outcomes = "d",
		  .dsn = "4.4.2", .site = true },
		{ .servers = { OFFERS("LOGIN") "C AUTH LOGIN\nS 334 VXNlcm5hbWU6\nC dGlt\nX" },
		  .outcomes = "d", .dsn = "4.4.2", .site = true },
		{ .servers = { OFFERS("CRAM-MD5") "C AUTH CRAM-MD5\nS 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\nC dGlt\nZ" },
		  .outcomes = "d",
		  .dsn = "4.4.2", .site = true },
		{ .servers = { OFFERS("PLAIN") SAYS_PLAIN "S 235 ok\nX" }, .outcomes = "d", .dsn = "4.4.2",
		  .site = true },
	};
	static const struct case_ silent = { .servers = { OFFERS("PLAIN") SAYS_PLAIN "P 1500\nX" },
					     .outcomes = "d", .dsn = "4.4.2", .site = true,
					     .text = TIMED_OUT("performing the EHLO handshake") };

	(void) unused;
	configure(CLEAR);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run(&cases[i]);
	configure(CLEAR "smtp_helo_timeout = 1s");
	run(&silent);
}

static const char *with_long_word(struct buf *b, const char *before, size_t n, const char *after)
{
	buf_clear(b);
	buf_add_text(b, before);
	while (n-- > 0)
		buf_add_byte(b, 'A');
	buf_add_text(b, after);
	return buf_text(b);
}

static void test_hostile_challenges_end_the_attempt(void **unused)
{
	static const struct case_ cases[] = {
		{ .servers = { OFFERS("LOGIN") "C AUTH LOGIN\nS 334 not base64!\nC *\nE" }, .outcomes = "d",
		  .dsn = "4.7.0", .site = true,
		  .text = FAILED("the server's challenge is not base64") },
		{ .servers = { OFFERS("LOGIN") "C AUTH LOGIN\nS 334-VXNl\nS 334 VXNl\nC *\nE" },
		  .outcomes = "d", .dsn = "4.7.0", .site = true },
		{ .servers = { OFFERS("PLAIN") SAYS_PLAIN "S 334 \nC *\nE" }, .outcomes = "d",
		  .dsn = "4.7.0", .site = true,
		  .text = FAILED("the server asks for more than the mechanism has") },
		{ .servers = { OFFERS("LOGIN") "C AUTH LOGIN\nS 334 \nC dGlt\nS 334 \nC dGFuc3RhYWZ0YW5zdGFhZg==\nS 334 \nC *\nE" },
		  .outcomes = "d", .dsn = "4.7.0", .site = true },
		{ .servers = { OFFERS("CRAM-MD5") "C AUTH CRAM-MD5\nS 334 \nC \nS 334 \nC \nS 334 \nC \nS 334 \nC \nS 334 \nC \nS 334 \nC \nS 334 \nC \nS 334 \nC \nS 334 \n"
			       "C \nS 334 \nC *\nE" }, .outcomes = "d", .dsn = "4.7.0", .site = true },
		{ .servers = { OFFERS("DIGEST-MD5") "C AUTH DIGEST-MD5\nS 334 cmVhbG09ImE=\nC *\nE" },
		  .outcomes = "d", .dsn = "4.7.0", .site = true },
		{ .servers = { OFFERS("DIGEST-MD5") "C AUTH DIGEST-MD5\nS 235 welcome\nE" }, .outcomes = "d",
		  .dsn = "4.7.0", .site = true,
		  .text = FAILED("the server agrees before it has proven that it knows the password") },
		{ .servers = { OFFERS("SCRAM-SHA-256") "C AUTH SCRAM-SHA-256 biwsbj10aW0scj\nS 235 welcome\nE" },
		  .outcomes = "d", .dsn = "4.7.0", .site = true },
		{ .servers = { OFFERS("SCRAM-SHA-1") "C AUTH SCRAM-SHA-1 biwsbj10aW0scj\nS 334 cj1mb3JlaWduLHM9YyxpPTQwOTY=\nC *\nE" },
		  .outcomes = "d", .dsn = "4.7.0", .site = true },
		{ .servers = { OFFERS("PLAIN") SAYS_PLAIN "S hello\nE" }, .outcomes = "d", .dsn = "4.5.0" },
		{ .servers = { OFFERS("PLAIN") SAYS_PLAIN "S 250 2.0.0 odd, but yes\n" ENVELOPE DATA_OK "E" },
		  .outcomes = "D" },
	};
	AUTO(buf) script = BUF(20000);
	struct case_ fits = { .outcomes = "d", .dsn = "4.7.0", .site = true },
		too_long = { .outcomes = "d", .dsn = "4.5.0" };

	(void) unused;
	configure(CLEAR);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run(&cases[i]);
	fits.servers[0] = with_long_word(&script, OFFERS("DIGEST-MD5") "C AUTH DIGEST-MD5\nS 334 ",
					 12284, "\nC *\nE");
	run(&fits);
	too_long.servers[0] = with_long_word(&script, OFFERS("CRAM-MD5") "C AUTH CRAM-MD5\nS 334 ",
					     12300, "\nE");
	run(&too_long);
}

static void test_a_token_that_is_refused_is_answered_and_the_verdict_heard(void **unused)
{
	static const struct case_ c = {
		.servers = { OFFERS("XOAUTH2") "C AUTH XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIg\nS 334 eyJzdGF0dXMiOiI0MDAifQ==\nC \nS 535 5.7.8 expired\nQ" },
		.outcomes = "d", .dsn = "4.7.8", .site = true, .text = REFUSED("535 5.7.8 expired") };
	static const struct case_ again = {
		.servers = { OFFERS("OAUTHBEARER") "C AUTH OAUTHBEARER\nS 334 e30=\nC AQ==\nS 334 e30=\nC *\nE" },
		.outcomes = "d", .dsn = "4.7.0", .site = true };

	(void) unused;
	configure(CLEAR);
	run(&c);
	run(&again);
}

static void test_a_first_word_that_is_too_long_for_the_command_waits_for_its_turn(void **unused)
{
	AUTO(buf) main_cf = BUF(4000);
	static const struct case_ c = {
		.servers = { OFFERS("XOAUTH2") "C AUTH XOAUTH2\nS 334 \nC dXNlcj10aW0BYXV0aD1CZWFyZXIgQUFB\nS 235 ok\n" ENVELOPE DATA_OK "E" },
					.outcomes = "D" };

	(void) unused;
	configure(with_long_word(&main_cf, CLEAR "smtp_sasl_password_maps = inline:{ { 127.0.0.1 = tim:",
				 600, " } }\n"));
	run(&c);
}

static void test_a_table_that_fails_holds_up_the_mail(void **unused)
{
	static const struct case_ by_host = { .servers = { OFFERS("PLAIN") "Q" }, .outcomes = "d",
					      .dsn = "4.3.0",
					      .text = "local data error while talking to 127.0.0.1[127.0.0.1]" };
	static const struct case_ by_sender = { .servers = { "" }, .outcomes = "d", .dsn = "4.3.0",
						.text = "smtp_sasl_password_maps lookup problem" };

	(void) unused;
	configure(CLEAR "smtp_sasl_password_maps = fail:now");
	run(&by_host);
	configure(CLEAR "smtp_sasl_password_maps = fail:now\nsmtp_sender_dependent_authentication = yes");
	run(&by_sender);
}

#define BY_SENDER CLEAR "smtp_sender_dependent_authentication = yes\nsmtp_sasl_password_maps = inline:{ { a@example.org = tim:tanstaaftanstaaf }, " \
	"{ @example.com = ann:secret }, { 127.0.0.1 = host:host } }\n"

static int which;
static void next_sender(struct delivery *d)
{
	static const char *const senders[] = { "a@example.org", "a@example.org", "x@example.com",
					       "y@example.com", "z@elsewhere.example", "" };

	d->env.sender = str_of(senders[which++]);
}

static void test_a_session_serves_only_senders_with_the_same_login(void **unused)
{
	static const struct case_ c = {
		.servers = { OFFERS("PLAIN") SAYS_PLAIN "S 235 ok\n" ENVELOPE DATA_OK ENVELOPE DATA_OK "E\n"
			     OFFERS("PLAIN") "C AUTH PLAIN AGFubgBzZWNyZXQ=\nS 235 ok\nC MAIL FROM:<x@example.com>\nS 250 ok\nC RCPT\nS 250 ok\n" DATA_OK
			     "C MAIL FROM:<y@example.com>\nS 250 ok\nC RCPT\nS 250 ok\n" DATA_OK "E\n"
			     OFFERS("PLAIN") "C AUTH PLAIN AGhvc3QAaG9zdA==\nS 235 ok\nC MAIL FROM:<z@elsewhere.example>\nS 250 ok\nC RCPT\nS 250 ok\n" DATA_OK
			     "C MAIL FROM:<>\nS 250 ok\nC RCPT\nS 250 ok\n" DATA_OK "E" },
		.with = next_sender, .outcomes = "D" };

	(void) unused;
	which = 0;
	configure(BY_SENDER);
	run_many(&c, 6);
	end_case();
}

static void test_settings_that_cannot_work_are_refused_with_words(void **unused)
{
	static const struct { const char *main_cf, *words; } cases[] = {
		{ "smtp_sasl_password_maps =",
		  "specify a password table with the parameter smtp_sasl_password_maps" },
		{ "smtp_sasl_type = dovecot", "smtp_sasl_type: there is no \"dovecot\"" },
		{ "smtp_sasl_security_options = nocleartext",
		  "smtp_sasl_security_options: \"nocleartext\" is none of" },
		{ "smtp_sasl_tls_security_options = x", "smtp_sasl_tls_security_options: \"x\"" },
		{ "smtp_sasl_path = /nonexistent", "no mechanisms to log in with: /nonexistent/gsasl.so" },
		{ "smtp_sasl_mechanism_filter = nonsense:x", "nonsense" },
		{ "smtp_sasl_auth_cache_name = btree:x",
		  "smtp_sasl_auth_cache_name: the name must begin with \"proxy:\"" },
		{ "smtp_sasl_auth_cache_name = proxy:x", "smtp_sasl_auth_cache_name: expecting" },
	};

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		AUTO(buf) why = BUF_WORDS;
		AUTO(buf) main_cf = BUF(4000);

		buf_addf(&main_cf, "%s%s", PASSWORDS, cases[i].main_cf);
		assert_true(try_to_configure(buf_text(&main_cf), &why) < 0);
		if (strstr(buf_text(&why), cases[i].words) == NULL)
			fail_msg("%s: %s", cases[i].main_cf, buf_text(&why));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings_that_cannot_work_are_refused_with_words),
		cmocka_unit_test(test_each_mechanism_is_spoken_to_its_end),
		cmocka_unit_test(test_strangers_are_treated_as_strangers),
		cmocka_unit_test(test_a_password_is_found_by_host_and_by_next_hop_as_it_is_written),
		cmocka_unit_test(test_passwords_are_not_said_in_the_clear_unless_it_is_allowed),
		cmocka_unit_test(test_each_refusal_has_its_verdict),
		cmocka_unit_test(test_a_server_that_quotes_the_password_does_not_get_it_into_the_log),
		cmocka_unit_test(test_a_table_of_refused_passwords_that_fails_costs_no_mail),
		cmocka_unit_test(test_the_connection_may_end_at_every_step),
		cmocka_unit_test(test_hostile_challenges_end_the_attempt),
		cmocka_unit_test(test_a_token_that_is_refused_is_answered_and_the_verdict_heard),
		cmocka_unit_test(test_a_first_word_that_is_too_long_for_the_command_waits_for_its_turn),
		cmocka_unit_test(test_a_table_that_fails_holds_up_the_mail),
		cmocka_unit_test(test_a_session_serves_only_senders_with_the_same_login),
	};

	return cmocka_run_group_tests(tests, set_up, client_tear_down);
}
