/* SPDX-License-Identifier: ISC */
/* The texts that local reads besides lists: $names of settings, and what its children say. */
#include "tests/unit.h"

#include <errno.h>

#include "local/expand.h"
#include "local/reply.h"

static struct arena *arena;
static struct recipient recipient;
static struct delivery delivery;
static struct task task;
static struct buf results;
static const struct account account = { .home = STR_INIT("/home/jo e"), .shell = STR_INIT("/bin/sh"),
					.name = STR_INIT("joe") };

struct local the_local;

/* In place of recipient.c's. */
void add_result(struct task *t, enum mailbox_status status, const char *dsn, const char *format, ...)
{
	va_list arguments;

	(void) t;
	buf_addf(&results, "%d %s ", status, dsn);
	va_start(arguments, format);
	buf_addv(&results, format, arguments);
	va_end(arguments);
	buf_add_byte(&results, '\n');
}

static int set_up(void **state)
{
	(void) state;
	arena = arena_new("test", NULL, 64 << 20);
	recipient = (struct recipient) { .address = STR("info@mail.example") };
	task = (struct task) { .d = &delivery, .r = &recipient, .arena = arena,
			       .address = STR("Joe+e`x@mail.example"), .name = STR("joe+e`x"),
			       .user = STR("joe"),
			       .extension = STR("e`x"), .domain = STR("mail.example") };
	results = BUF(10000);
	return 0;
}

static int tear_down(void **state)
{
	(void) state;
	buf_free(&results);
	arena_free(arena);
	return 0;
}

static void check_expansion(const char *text, const char *expected)
{
	AUTO(buf) b = BUF(1000);
	int r = expand_for(&task, &account, str_of(text), "abcdefghijklmnopqrstuvwxyz.@+", &b);

	if (expected == NULL)
		assert_int_equal(r, -EINVAL);
	else
		assert_str(buf_str(&b), expected);
}

static void test_names_are_filled_in_and_what_came_with_the_mail_is_filtered(void **state)
{
	(void) state;
	check_expansion("$home/.forward${recipient_delimiter}${extension}", "/home/jo e/.forward+e_x");
	check_expansion("$(user) $local $domain $recipient $shell",
			"joe joe+e_x mail.example _oe+e_x@mail.example /bin/sh");
	check_expansion("a$$b", "a$b");
	check_expansion("${extension?has $user}${extension:none}", "has joe");
	check_expansion("plain", "plain");
	check_expansion("${extension?{${user}-${extension}}:{no}}", "joe-e_x");
	check_expansion("${shell?{[${extension:{no}}]}}", "[]");
	check_expansion("${{$user} == {joe} ? {his} : {other}}", "his");
	task.extension = STR_NONE;
	task.name = task.user;
	check_expansion("$home/.forward${recipient_delimiter}${extension}", "/home/jo e/.forward");
	the_local.delimiter = STR("-+");		/* as in Postfix, the one that it would be */
	check_expansion("$home/.forward${recipient_delimiter}${extension}", "/home/jo e/.forward-");
	the_local.delimiter = STR_NONE;
	check_expansion("${extension?has}${extension:none}", "none");
}

static void test_unknown_names_and_open_braces_are_errors(void **state)
{
	(void) state;
	check_expansion("$nonsense", NULL);
	check_expansion("${home", NULL);
	check_expansion("$", NULL);
	check_expansion("${}", NULL);
	check_expansion("${home=x}", NULL);
}

static void test_without_an_account_there_is_no_home(void **state)
{
	AUTO(buf) b = BUF(1000);

	(void) state;
	assert_int_equal(expand_for(&task, NULL, STR("[$home][$user]"), NULL, &b), 1);
	assert_str(buf_str(&b), "[][joe]");
	assert_int_equal(expand_for(&task, NULL, STR("[${home?has}][$user]"), NULL, &b), 0);
}

static void test_what_a_child_says_arrives(void **state)
{
	struct mailbox_result result = { .text = BUF_WORDS };
	AUTO(buf) reply = BUF(10000);

	(void) state;
	mailbox_say(&result, MAILBOX_BOUNCED, "5.2.2", "full\nof\tit");
	reply_result(&reply, &result);
	reply_forward(&reply, STR("a b@c.example"));
	reply_warning(&reply, "beware of %s", "dogs");
	assert_int_equal(reply_read(&task, buf_str(&reply)), NO_WISH);
	assert_str(buf_str(&results), "1 5.2.2 full?of?it\n");
	assert_int_equal(task.forward.len, 1);
	assert_str(task.forward.at[0], "a b@c.example");
	reply_transport(&reply);
	assert_int_equal(reply_read(&task, buf_str(&reply)), WANTS_TRANSPORT);
	buf_clear(&reply);
	reply_mailbox(&reply, STR("joe+e"));
	assert_int_equal(reply_read(&task, buf_str(&reply)), WANTS_MAILBOX);
	assert_str(task.himself, "joe+e");
	buf_free(&result.text);
}

static void test_nonsense_of_a_child_is_refused(void **state)
{
	static const char *const bad[] = {
		"R", "R\t", "R\t0\n", "R\t0\t2.0.0\n", "R\t3\t2.0.0\tx\n", "R\t0\t2.0\tx\n", "X\tx\n",
		"F\t\n", "F\ta\001b\n", "M\t\n", "M\ta\001b\n", "RR\tx\n", "no line end", "\n",
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (reply_read(&task, str_of(bad[i])) != -EBADMSG)
			fail_msg("%s was accepted", bad[i]);
	assert_int_equal(reply_read(&task, STR_NONE), 0);
	assert_int_equal(results.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_names_are_filled_in_and_what_came_with_the_mail_is_filtered,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unknown_names_and_open_braces_are_errors, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_without_an_account_there_is_no_home, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_a_child_says_arrives, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nonsense_of_a_child_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
