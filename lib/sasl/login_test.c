/* SPDX-License-Identifier: ISC */
/*
 * What is sent for which password, and what a server may not ask for. The words of the servers are
 * made by hand.
 */
#include "tests/unit.h"

#include <errno.h>

#include "lib/sasl/login.h"
#include "lib/sasl/options.h"
#include "lib/sasl/password_hash.h"

static bool have_module;

static const struct sasl_credentials tim = { .user = "tim", .password = "tanstaaftanstaaf",
					     .service = "smtp", .host = "mx.example", .port = 587 };

static struct sasl_login *begin(const char *name, const struct sasl_credentials *who)
{
	const struct sasl_mechanism *m = sasl_mechanism_choose(str_of(name), 0, who->is_token);
	AUTO(buf) why = BUF_WORDS;
	struct sasl_login *l;

	assert_non_null(m);
	assert_string_equal(sasl_mechanism_name(m), name);
	assert_int_equal(sasl_login_begin(m, who, &l, &why), 0);
	return l;
}

/* challenge NULL: the first word; answer NULL: it is refused. */
static void expect(struct sasl_login *l, const char *challenge, struct str answer)
{
	AUTO(buf) said = BUF(2000), why = BUF_WORDS;
	struct str c = str_of(challenge);

	assert_int_equal(sasl_login_answer(l, challenge == NULL ? NULL : &c, &said, &why), 0);
	if (!str_is(buf_str(&said), answer))
		fail_msg("said \"%s\"", buf_text(&said));
}

static void expect_refusal(struct sasl_login *l, const char *challenge, const char *words)
{
	AUTO(buf) said = BUF(2000), why = BUF_WORDS;
	struct str c = str_of(challenge);

	assert_int_equal(sasl_login_answer(l, &c, &said, &why), -EPROTO);
	assert_int_equal(said.len, 0);
	if (strstr(buf_text(&why), words) == NULL)
		fail_msg("why: %s", buf_text(&why));
}

static int load(void **unused)
{
	AUTO(buf) why = BUF_WORDS;

	(void) unused;
	have_module = sasl_login_open("modules", &why) == 0;
#ifdef HAVE_GSASL
	if (!have_module)
		fail_msg("%s", buf_text(&why));
#endif
	return 0;
}

static void need_module(void)
{
	if (!have_module)
		skip();
}

static void test_passwords_are_said_as_the_mechanisms_say_them(void **unused)
{
	struct sasl_login *l;

	(void) unused;
	need_module();
	l = begin("PLAIN", &tim);
	expect(l, NULL, STR("\0tim\0tanstaaftanstaaf"));
	assert_true(sasl_login_may_end(l));
	expect_refusal(l, "", "more than the mechanism has");
	sasl_login_end(l);
	l = begin("LOGIN", &tim);
	expect(l, "Username:", STR("tim"));
	expect(l, "Password:", STR("tanstaaftanstaaf"));
	expect_refusal(l, "Really?", "more than the mechanism has");
	sasl_login_end(l);
	l = begin("CRAM-MD5", &tim);		/* the example of RFC 2195 */
	expect(l, "<1896.697170952@postoffice.reston.mci.net>", STR("tim b913a602c7eda7a495b4e6e7334d3890"));
	expect_refusal(l, "<1896.697170952@postoffice.reston.mci.net>", "more than the mechanism has");
	sasl_login_end(l);
}

static void test_tokens_are_said_in_both_ways(void **unused)
{
	const struct sasl_credentials who = { .user = "a,=b@x", .password = "ya29.x", .is_token = true,
					      .service = "smtp", .host = "mx.example", .port = 587 };
	struct sasl_login *l = begin("XOAUTH2", &who);

	(void) unused;
	expect(l, NULL, STR("user=a,=b@x\001auth=Bearer ya29.x\001\001"));
	assert_true(sasl_login_may_end(l));
	expect(l, "{\"status\":\"401\"}", STR(""));
	expect_refusal(l, "{\"status\":\"401\"}", "more than the mechanism has");
	sasl_login_end(l);
	l = begin("OAUTHBEARER", &who);
	expect(l, NULL, STR("n,a=a=2C=3Db@x,\001host=mx.example\001port=587\001auth=Bearer ya29.x\001\001"));
	expect(l, "{\"status\":\"invalid_token\"}", STR("\001"));
	sasl_login_end(l);
}

static void test_the_strongest_that_fits_is_taken(void **unused)
{
	static const struct { const char *offered; unsigned options; bool is_token; const char *name; } cases[] = {
		{ "LOGIN PLAIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 XOAUTH2", 0, false, "SCRAM-SHA-256" },
		{ "login plain cram-md5", 0, false, "CRAM-MD5" },
		{ "LOGIN PLAIN", SASL_NOANONYMOUS, false, "PLAIN" },
		{ "LOGIN PLAIN", SASL_NOPLAINTEXT, false, NULL },
		{ "LOGIN PLAIN XOAUTH2 OAUTHBEARER", SASL_NOPLAINTEXT, false, NULL },
		{ "CRAM-MD5 DIGEST-MD5", SASL_NOACTIVE, false, NULL },
		{ "CRAM-MD5 SCRAM-SHA-1", SASL_MUTUAL_AUTH, false, "SCRAM-SHA-1" },
		{ "CRAM-MD5 SCRAM-SHA-1 PLAIN", 0, true, NULL },
		{ "PLAIN XOAUTH2 OAUTHBEARER", 0, true, "OAUTHBEARER" },
		{ "PLAIN XOAUTH2", 0, false, "PLAIN" },
		{ "XOAUTH2", 0, false, "XOAUTH2" },
		{ "ANONYMOUS EXTERNAL NTLM GSSAPI SCRAM-SHA-256-PLUS PLAINER", 0, false, NULL },
		{ "", 0, false, NULL },
	};

	(void) unused;
	need_module();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct sasl_mechanism *m = sasl_mechanism_choose(str_of(cases[i].offered),
								       cases[i].options, cases[i].is_token);

		if ((m == NULL) != (cases[i].name == NULL)
		    || (m != NULL && strcmp(sasl_mechanism_name(m), cases[i].name) != 0))
			fail_msg("%s: %s", cases[i].offered, m == NULL ? "none" : sasl_mechanism_name(m));
	}
}

static void test_scram_servers_may_not_ask_for_any_number_of_rounds(void **unused)
{
	static const char *const wrong[] = { "1", "4095", "1000001", "99999999999999999999", "-5", "", "4096x" };

	(void) unused;
	need_module();
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		struct sasl_login *l = begin("SCRAM-SHA-256", &tim);
		AUTO(buf) first = BUF(2000), why = BUF_WORDS, challenge = BUF(2000);

		assert_int_equal(sasl_login_answer(l, NULL, &first, &why), 0);
		assert_true(str_starts(buf_str(&first), STR("n,,n=tim,r=")));
		buf_addf(&challenge, "r=%smore,s=c2FsdA==,i=%s", buf_text(&first) + 11, wrong[i]);
		expect_refusal(l, buf_text(&challenge), "rounds of hashing");
		sasl_login_end(l);
	}
}

static void test_a_server_that_has_to_prove_itself_cannot_agree_before(void **unused)
{
	struct sasl_login *l;
	AUTO(buf) first = BUF(2000), second = BUF(2000), why = BUF_WORDS, challenge = BUF(2000);
	struct str c;

	(void) unused;
	need_module();
	l = begin("SCRAM-SHA-256", &tim);
	assert_int_equal(sasl_login_answer(l, NULL, &first, &why), 0);
	assert_false(sasl_login_may_end(l));
	buf_addf(&challenge, "r=%smore,s=c2FsdA==,i=4096", buf_text(&first) + 11);
	c = buf_str(&challenge);
	assert_int_equal(sasl_login_answer(l, &c, &second, &why), 0);
	assert_true(str_starts(buf_str(&second), STR("c=biws,r=")));
	assert_false(sasl_login_may_end(l));
	expect_refusal(l, "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "SCRAM-SHA-256");
	sasl_login_end(l);
}

static void test_nonsense_is_refused_and_empty_challenges_come_to_an_end(void **unused)
{
	struct sasl_login *l;

	(void) unused;
	need_module();
	for (int i = 0; i < 3; i++) {
		AUTO(buf) first = BUF(2000), why = BUF_WORDS;

		l = begin("SCRAM-SHA-1", &tim);
		assert_int_equal(sasl_login_answer(l, NULL, &first, &why), 0);
		expect_refusal(l, i == 0 ? "" : i == 1 ? "r=foreign,s=c2FsdA==,i=4096" : "\377\376,,,=",
			       "SCRAM-SHA-1");
		sasl_login_end(l);
	}
	l = begin("DIGEST-MD5", &tim);
	expect_refusal(l, "realm=\"a", "DIGEST-MD5");
	sasl_login_end(l);
	l = begin("CRAM-MD5", &tim);
	for (int i = 0; i < 9; i++)
		expect(l, "", STR(""));
	expect_refusal(l, "", "more than the mechanism has");
	sasl_login_end(l);
}

static void test_options_are_read_and_unknown_ones_named(void **unused)
{
	AUTO(buf) why = BUF_WORDS;
	unsigned options;

	(void) unused;
	assert_int_equal(sasl_options_parse(STR("noplaintext, NoAnonymous"), &options, &why), 0);
	assert_int_equal(options, SASL_NOPLAINTEXT | SASL_NOANONYMOUS);
	assert_int_equal(sasl_options_parse(STR(" "), &options, &why), 0);
	assert_int_equal(options, 0);
	assert_int_equal(sasl_options_parse(STR("noplaintext, nocleartext"), &options, &why), -EINVAL);
	assert_non_null(strstr(buf_text(&why), "nocleartext"));
}

static void test_the_hash_of_a_password_fits_that_password_only(void **unused)
{
	static const char *const not_hashes[] = {
		"", "tanstaaftanstaaf", "pbkdf2-sha256$20000$",
		"pbkdf2-sha256$20000$AAAAAAAAAAAAAAAAAAAAAA==", "pbkdf2-sha256$20000$AAAA$AAAA",
		"pbkdf2-sha256$20000$*$AAAA", "pbkdf2-sha256$1$AAAAAAAAAAAAAAAAAAAAAA==$AAAA",
		"pbkdf2-sha256$20000$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	};
	AUTO(buf) one = BUF(200), other = BUF(200), latin = BUF(200);

	(void) unused;
	need_module();
	assert_int_equal(password_hash("tanstaaftanstaaf", &one), 0);
	assert_int_equal(password_hash("tanstaaftanstaaf", &other), 0);
	assert_string_not_equal(buf_text(&one), buf_text(&other));		/* salted */
	assert_int_equal(password_fits("tanstaaftanstaaf", buf_str(&one)), 1);
	assert_int_equal(password_fits("tanstaaftanstaaf", buf_str(&other)), 1);
	assert_int_equal(password_fits("tanstaaftanstaag", buf_str(&one)), 0);
	assert_int_equal(password_fits("", buf_str(&one)), 0);
	assert_int_equal(password_fits("tanstaaftanstaaf", str_head(buf_str(&one), one.len - 1)), 0);
	assert_int_equal(password_hash("na\xefve\xff", &latin), 0);		/* not UTF-8 */
	assert_int_equal(password_fits("na\xefve\xff", buf_str(&latin)), 1);
	for (size_t i = 0; i < COUNT_OF(not_hashes); i++)
		assert_int_equal(password_fits("tanstaaftanstaaf", str_of(not_hashes[i])), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passwords_are_said_as_the_mechanisms_say_them),
		cmocka_unit_test(test_tokens_are_said_in_both_ways),
		cmocka_unit_test(test_the_strongest_that_fits_is_taken),
		cmocka_unit_test(test_scram_servers_may_not_ask_for_any_number_of_rounds),
		cmocka_unit_test(test_a_server_that_has_to_prove_itself_cannot_agree_before),
		cmocka_unit_test(test_nonsense_is_refused_and_empty_challenges_come_to_an_end),
		cmocka_unit_test(test_options_are_read_and_unknown_ones_named),
		cmocka_unit_test(test_the_hash_of_a_password_fits_that_password_only),
	};

	return cmocka_run_group_tests(tests, load, NULL);
}
