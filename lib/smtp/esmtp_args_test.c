/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"
#include "tests/arena.h"

#include "lib/smtp/esmtp_args.h"

static enum esmtp_error mail(struct str text, struct mail_args *ret, struct str *ret_bad)
{
	*ret_bad = STR_NONE;
	return esmtp_mail_args(text, arena, ret, ret_bad);
}

static void mail_parameters_are_understood_in_any_case_and_order(void **state)
{
	struct mail_args m;
	struct str bad;

	(void) state;
	assert_int_equal(mail(STR("size=1000 Body=8BitMime SMTPUTF8 RequireTLS RET=hdrs ENVID=a+2Bb AUTH=<>"),
			      &m, &bad), ESMTP_OK);
	assert_int_equal(m.size, 1000);
	assert_int_equal(m.body, BODY_8BITMIME);
	assert_true(m.smtputf8);
	assert_true(m.uses_dsn);
	assert_int_equal(m.ret, RETURN_HEADERS);
	assert_str(m.envid, "a+b");
	assert_true(m.has_auth);
	assert_int_equal(mail(STR(""), &m, &bad), ESMTP_OK);
	assert_int_equal(m.size, 0);
	assert_false(m.uses_dsn);
}

static void each_bad_mail_parameter_has_its_own_error(void **state)
{
	static const struct { struct str text; enum esmtp_error error; } rows[] = {
		{ STR_INIT("SIZE=x"), ESMTP_BAD_SIZE }, { STR_INIT("SIZE=-1"), ESMTP_BAD_SIZE },
		{ STR_INIT("SIZE=9223372036854775808"), ESMTP_SIZE_OVERFLOW },
		{ STR_INIT("SIZE"), ESMTP_UNSUPPORTED }, { STR_INIT("SIZE="), ESMTP_BAD_SIZE },
		{ STR_INIT("BODY=BINARYMIME"), ESMTP_UNSUPPORTED },
		{ STR_INIT("SMTPUTF8=1"), ESMTP_UNSUPPORTED },
		{ STR_INIT("REQUIRETLS=YES"), ESMTP_UNSUPPORTED },
		{ STR_INIT("RET=SOME"), ESMTP_BAD_RET }, { STR_INIT("RET=FULL RET=FULL"), ESMTP_BAD_RET },
		{ STR_INIT("ENVID=+0A"), ESMTP_BAD_ENVID }, { STR_INIT("ENVID=+00"), ESMTP_BAD_ENVID },
		{ STR_INIT("RET="), ESMTP_BAD_RET }, { STR_INIT("ENVID="), ESMTP_BAD_ENVID },
		{ STR_INIT("ENVID=+2"), ESMTP_BAD_ENVID }, { STR_INIT("ENVID=a ENVID=b"), ESMTP_BAD_ENVID },
		{ STR_INIT("ENVID=\xc3\xa4"), ESMTP_BAD_ENVID }, { STR_INIT("FOO=BAR"), ESMTP_UNSUPPORTED },
		{ STR_INIT("=x"), ESMTP_UNSUPPORTED }, { STR_INIT("-a=x"), ESMTP_UNSUPPORTED },
		{ STR_INIT("SIZE=1\x1b"), ESMTP_UNSUPPORTED },
		{ STR_INIT("AUTH=a AUTH=b"), ESMTP_UNSUPPORTED },
	};
	struct mail_args m;
	struct str bad;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(mail(rows[i].text, &m, &bad), rows[i].error);
	assert_int_equal(mail(STR("SIZE=1 FOO=BAR BODY=7BIT"), &m, &bad), ESMTP_UNSUPPORTED);
	assert_str(bad, "FOO=BAR");
}

static void what_harms_nobody_is_no_reason_to_refuse_mail(void **state)
{
	char text[6 + 1000], orcpt[1000] = "ORCPT=rfc822;";
	struct mail_args m;
	struct rcpt_args r;
	struct str bad;

	(void) state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "ENVID=", 6);
	assert_int_equal(mail(str_make(text, sizeof(text)), &m, &bad), ESMTP_OK);
	assert_int_equal(m.envid.len, 1000);
	assert_int_equal(mail(STR("AUTH="), &m, &bad), ESMTP_OK);
	assert_int_equal(esmtp_rcpt_args(STR("NOTIFY=SUCCESS,,SUCCESS,"), arena, &r, &bad), ESMTP_OK);
	assert_int_equal(r.notify, NOTIFY_SUCCESS);
	assert_int_equal(esmtp_rcpt_args(STR("NOTIFY=NEVER,NEVER"), arena, &r, &bad), ESMTP_OK);
	assert_int_equal(r.notify, NOTIFY_NEVER);
	assert_int_equal(esmtp_rcpt_args(STR("ORCPT=rfc822;"), arena, &r, &bad), ESMTP_OK);
	assert_str(r.orcpt, "");
	assert_int_equal(esmtp_rcpt_args(STR("ORCPT=rfc822;gr+C3+BCn@example.com"), arena, &r, &bad), ESMTP_OK);
	assert_str(r.orcpt, "rfc822;gr\303\274n@example.com");
	/* 64 octets before the '@', and more than 100 behind it, none of them ASCII */
	for (size_t i = strlen(orcpt); i + 6 < sizeof(orcpt); i += 6)
		memcpy(orcpt + i, "+C3+BC", 7);
	assert_int_equal(esmtp_rcpt_args(str_of(orcpt), arena, &r, &bad), ESMTP_OK);
}

static void recipient_parameters_are_understood(void **state)
{
	struct rcpt_args r;
	struct str bad = STR_NONE;

	(void) state;
	assert_int_equal(esmtp_rcpt_args(STR("NOTIFY=success,DELAY ORCPT=rfc822;user+2Bx@example.com"),
					 arena, &r, &bad), ESMTP_OK);
	assert_int_equal(r.notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
	assert_str(r.orcpt, "rfc822;user+x@example.com");
	assert_true(r.uses_dsn);
	assert_int_equal(esmtp_rcpt_args(STR("ORCPT=rfc822;list-user=example.net@example.com"), arena, &r, &bad), ESMTP_OK);
	assert_str(r.orcpt, "rfc822;list-user=example.net@example.com");
	assert_int_equal(esmtp_rcpt_args(STR("NOTIFY=NEVER"), arena, &r, &bad), ESMTP_OK);
	assert_int_equal(r.notify, NOTIFY_NEVER);
	assert_int_equal(esmtp_rcpt_args(STR("ORCPT=utf-8;\xc3\xa4@example.com"), arena, &r, &bad), ESMTP_OK);
	assert_str(r.orcpt, "utf-8;\xc3\xa4@example.com");
}

static void bad_recipient_parameters_are_refused(void **state)
{
	static const struct { struct str text; enum esmtp_error error; } rows[] = {
		{ STR_INIT("NOTIFY=NEVER,SUCCESS"), ESMTP_BAD_NOTIFY },
		{ STR_INIT("NOTIFY=,"), ESMTP_BAD_NOTIFY }, { STR_INIT("NOTIFY="), ESMTP_BAD_NOTIFY },
		{ STR_INIT("NOTIFY=NEVER NOTIFY=NEVER"), ESMTP_BAD_NOTIFY },
		{ STR_INIT("NOTIFY=x"), ESMTP_BAD_NOTIFY },
		{ STR_INIT("ORCPT=user@example.com"), ESMTP_BAD_ORCPT },
		{ STR_INIT("ORCPT=;x"), ESMTP_BAD_ORCPT },
		{ STR_INIT("ORCPT="), ESMTP_BAD_ORCPT }, { STR_INIT("ORCPT=rfc822;+C3"), ESMTP_BAD_ORCPT },
		{ STR_INIT("ORCPT=rfc822;a+0Ab"), ESMTP_BAD_ORCPT },
		{ STR_INIT("ORCPT=rfc822;a+zz"), ESMTP_BAD_ORCPT },
		{ STR_INIT("ORCPT=a;b ORCPT=a;b"), ESMTP_BAD_ORCPT },
		{ STR_INIT("SIZE=1"), ESMTP_UNSUPPORTED }, { STR_INIT("x"), ESMTP_UNSUPPORTED },
	};
	struct rcpt_args r;
	struct str bad;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(esmtp_rcpt_args(rows[i].text, arena, &r, &bad), rows[i].error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_parameters_are_understood_in_any_case_and_order),
		cmocka_unit_test(each_bad_mail_parameter_has_its_own_error),
		cmocka_unit_test(what_harms_nobody_is_no_reason_to_refuse_mail),
		cmocka_unit_test(recipient_parameters_are_understood),
		cmocka_unit_test(bad_recipient_parameters_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
