/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"
#include "tests/arena.h"

#include <errno.h>

#include "lib/smtp/reply.h"

static void test_one_line_is_a_reply(void **unused)
{
	__attribute__((cleanup(reply_auto))) struct reply r = REPLY;

	(void) unused;
	assert_int_equal(reply_feed(&r, STR("250 2.1.0 Ok")), 1);
	assert_int_equal(r.code, 250);
	assert_int_equal(reply_class(&r), 2);
	assert_str(reply_text(&r, arena), "250 2.1.0 Ok");
	assert_str(reply_dsn(&r, STR("2.0.0"), arena), "2.1.0");
	assert_int_equal(reply_feed(&r, STR("354")), 1);
	assert_int_equal(r.code, 354);
	assert_str(reply_text(&r, arena), "354");
	assert_int_equal(reply_feed(&r, STR("450 come back")), 1);
	assert_str(reply_dsn(&r, STR("4.0.0"), arena), "4.0.0");
}

static void test_the_last_of_several_lines_decides(void **unused)
{
	__attribute__((cleanup(reply_auto))) struct reply r = REPLY;
	struct str rest, text;

	(void) unused;
	assert_int_equal(reply_feed(&r, STR("550-5.7.1 We do not")), 0);
	assert_int_equal(reply_feed(&r, STR("250-like you")), 0);
	assert_int_equal(reply_feed(&r, STR("550 5.7.1 Go")), 1);
	assert_int_equal(r.code, 550);
	assert_str(reply_dsn(&r, STR("5.0.0"), arena), "5.7.1");
	assert_str(reply_text(&r, arena), "550-5.7.1 We do not 250-like you 550 5.7.1 Go");
	rest = buf_str(&r.lines);
	assert_true(reply_next(&rest, &text));
	assert_str(text, "5.7.1 We do not");
	assert_true(reply_next(&rest, &text) && reply_next(&rest, &text));
	assert_str(text, "5.7.1 Go");
	assert_false(reply_next(&rest, &text));
	assert_int_equal(reply_feed(&r, STR("220 next")), 1);
	assert_str(reply_text(&r, arena), "220 next");
	assert_int_equal(reply_feed(&r, STR("550-5.1.0 No such user")), 0);
	assert_int_equal(reply_feed(&r, STR("550-5.1.1 here")), 0);
	assert_int_equal(reply_feed(&r, STR("550 or anywhere")), 1);
	assert_str(reply_dsn(&r, STR("5.0.0"), arena), "5.1.1");
}

static void test_what_is_no_reply_is_told_apart(void **unused)
{
	static const char *const bad[] = { "", "25", "hello", "25x ok", "250ok", "250+ok", " 250 ok",
					   "150 ok", "650 ok", "099 x",
		"HTTP/1.1 400 Bad Request" };

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		__attribute__((cleanup(reply_auto))) struct reply r = REPLY;

		assert_int_equal(reply_feed(&r, str_of(bad[i])), -EBADMSG);
		assert_int_equal(r.code, 0);
		assert_str(reply_text(&r, arena), bad[i]);
	}
}

static void test_control_characters_do_not_get_through(void **unused)
{
	__attribute__((cleanup(reply_auto))) struct reply r = REPLY;

	(void) unused;
	assert_int_equal(reply_feed(&r, STR("550 a\rb\x1b[2Jc\x80")), 1);
	assert_str(reply_text(&r, arena), "550 a?b?[2Jc?");
}

static void test_a_reply_without_end_is_cut(void **unused)
{
	__attribute__((cleanup(reply_auto))) struct reply r = REPLY;
	int result = 0;

	(void) unused;
	for (int i = 0; i < 10000 && result == 0; i++)
		result = reply_feed(&r, STR("250-and on and on and on and on"));
	assert_int_equal(result, -EBADMSG);
	assert_true(r.lines.len <= REPLY_MAX);
	assert_true(reply_text(&r, arena).len <= 4096);
}

static void test_ehlo_tells_features(void **unused)
{
	__attribute__((cleanup(reply_auto))) struct reply r = REPLY;
	struct ehlo e;

	(void) unused;
	reply_feed(&r, STR("250-mx.example Hello"));
	reply_feed(&r, STR("250-PIPELINING"));
	reply_feed(&r, STR("250-SIZE 10240000"));
	reply_feed(&r, STR("250-8bitmime"));
	reply_feed(&r, STR("250-SMTPUTF8"));
	reply_feed(&r, STR("250-XUNKNOWN 1 2"));
	reply_feed(&r, STR("250-"));
	reply_feed(&r, STR("250-AUTH PLAIN LOGIN"));
	assert_int_equal(reply_feed(&r, STR("250 DSN")), 1);
	ehlo_parse(&r, STR_NONE, &e);
	assert_int_equal(e.features,
			 EHLO_PIPELINING | EHLO_SIZE | EHLO_8BITMIME | EHLO_SMTPUTF8 | EHLO_AUTH | EHLO_DSN);
	assert_int_equal(e.size_limit, 10240000);
	assert_str(e.host, "mx.example");
	ehlo_parse(&r, STR("dsn, pipelining"), &e);
	assert_int_equal(e.features, EHLO_SIZE | EHLO_8BITMIME | EHLO_SMTPUTF8 | EHLO_AUTH);
	reply_feed(&r, STR("250-x"));
	reply_feed(&r, STR("250 SIZE none"));
	ehlo_parse(&r, STR_NONE, &e);
	assert_int_equal(e.features, EHLO_SIZE);
	assert_int_equal(e.size_limit, 0);
	reply_feed(&r, STR("250"));
	ehlo_parse(&r, STR_NONE, &e);
	assert_int_equal(e.features, 0);
	assert_str(e.host, "");
}

static void test_mechanisms_of_all_auth_lines_each_once(void **unused)
{
	__attribute__((cleanup(reply_auto))) struct reply r = REPLY;
	AUTO(buf) names = BUF(1000);
	struct ehlo e;

	(void) unused;
	reply_feed(&r, STR("250-mx.example AUTH GREETING"));
	reply_feed(&r, STR("250-auth PLAIN  Login"));
	reply_feed(&r, STR("250-AUTH=LOGIN SCRAM-SHA-256"));
	reply_feed(&r, STR("250-AUTHENTICATE X"));
	reply_feed(&r, STR("250 AUTH no.name way-too-long-for-a-name OK_1 \001 plain"));
	ehlo_mechanisms(&r, &names);
	assert_str(buf_str(&names), "PLAIN Login SCRAM-SHA-256 OK_1");
	ehlo_parse(&r, STR_NONE, &e);
	assert_int_equal(e.features, EHLO_AUTH);
	ehlo_parse(&r, STR("auth"), &e);
	assert_int_equal(e.features, 0);
	/* tens of thousands would be compared with each other */
	buf_clear(&names);
	reply_feed(&r, STR("250-mx.example"));
	for (int i = 0; i < 500; i++) {
		char line[40];

		snprintf(line, sizeof(line), "250-AUTH M%d N%d", i, i);
		reply_feed(&r, str_of(line));
	}
	reply_feed(&r, STR("250 DSN"));
	ehlo_mechanisms(&r, &names);
	assert_true(str_ends(buf_str(&names), STR(" M49 N49")));
	buf_clear(&names);
	reply_feed(&r, STR("250-mx.example"));
	reply_feed(&r, STR("250 AUTH=LOGIN"));
	ehlo_parse(&r, STR_NONE, &e);
	assert_int_equal(e.features, EHLO_AUTH);
	ehlo_parse(&r, STR("auth"), &e);
	assert_int_equal(e.features, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_line_is_a_reply),
		cmocka_unit_test(test_the_last_of_several_lines_decides),
		cmocka_unit_test(test_what_is_no_reply_is_told_apart),
		cmocka_unit_test(test_control_characters_do_not_get_through),
		cmocka_unit_test(test_a_reply_without_end_is_cut),
		cmocka_unit_test(test_ehlo_tells_features),
		cmocka_unit_test(test_mechanisms_of_all_auth_lines_each_once),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
