/* SPDX-License-Identifier: ISC */
/* Rows of master.cf, and the arguments that come of them. */
#include "tests/unit.h"

#include <errno.h>

#include "agents/pipe/expand.h"

static struct arena *arena;
static struct buf why;

static int set_up(void **state)
{
	(void) state;
	arena = arena_new("pipe test", NULL, 1 << 20);
	why = BUF_WORDS;
	return 0;
}

static int tear_down(void **state)
{
	(void) state;
	arena_free(arena);
	buf_free(&why);
	return 0;
}

/* Words between bars, as master.cf's reader cuts them. */
static int parse(const char *text, struct attributes *ret)
{
	struct str rest = str_of(text), words[30];
	size_t n = 0;
	bool more = true;

	while (more && n < COUNT_OF(words))
		more = str_cut(&rest, '|', &words[n++]);
	buf_clear(&why);
	return attributes_parse(words, n, arena, ret, &why);
}

static void test_a_row_says_who_runs_what_and_how(void **state)
{
	struct attributes at;

	(void) state;
	assert_int_equal(parse("flags=BDFORXhqu.>|user=news:mail|size=1000|eol=\\r\\012|null_sender=|directory=/d|chroot=/c|argv=/bin/x|-f|a=b",
			       &at), 0);
	assert_int_equal(at.flags, 2047);
	assert_str(at.user, "news");
	assert_str(at.group, "mail");
	assert_int_equal(at.size, 1000);
	assert_str(at.eol, "\r\n");
	assert_str(at.null_sender, "");
	assert_string_equal(at.directory, "/d");
	assert_string_equal(at.chroot, "/c");
	assert_int_equal(at.argc, 3);
	assert_str(at.argv[2], "a=b");
	assert_int_equal(parse("user=joe|argv=x", &at), 0);
	assert_str(at.eol, "\n");
	assert_str(at.null_sender, "MAILER-DAEMON");
	assert_null(at.directory);
	assert_int_equal(at.group.len, 0);
}

static void test_a_row_with_a_mistake_is_refused_with_words(void **state)
{
	static const struct { const char *row, *words; } rows[] = {
		{ "user=joe", "no command" }, { "argv=x", "nobody to run" },
		{ "user=joe|argv=", "no command" },
		{ "user=joe|flags=Z|argv=x", "unknown flag: \"Z\"" },
		{ "user=joe|size=-1|argv=x", "bad size" },
		{ "user=joe|eol=\\q|argv=x", "bad end of line" },
		{ "user=joe|eol=\\777|argv=x", "bad end of line" },
		{ "user=joe|eol=\\|argv=x", "bad end of line" }, { "user=:mail|argv=x", "no user name" },
		{ "user=joe:|argv=x", "no group" },
		{ "user=joe|colour=red|argv=x", "unknown attribute: \"colour\"" },
		{ "user=joe|nonsense|argv=x", "without a value" },
	};
	struct attributes at;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(parse(rows[i].row, &at), -EINVAL);
		if (strstr(buf_text(&why), rows[i].words) == NULL)
			fail_msg("%s: \"%s\"", rows[i].row, buf_text(&why));
	}
}

static struct recipient recipients[] = {
	{ .address = STR_INIT("Joe B+Ext@Some.Example"), .original = STR_INIT("Info@Other.Example") },
	{ .address = STR_INIT("ann@x.example") },
};

static struct delivery delivery_to(size_t n)
{
	return (struct delivery) {
		.queue_id = STR("4jXBBBBBBBBz00HbYb"), .nexthop = STR("Next.Example"),
		.content.parts = { .size = 1234 },
		.env = { .sender = STR("a b@S.example"), .client_address = STR("192.0.2.1"),
			 .recipients = recipients, .recipient_count = n },
	};
}

/* The arguments, each followed by a bar. */
static const char *expanded_for(const char *row, struct delivery d)
{
	static char text[4000];
	const char **argv;
	struct attributes at;
	size_t len = 0;

	assert_int_equal(parse(row, &at), 0);
	if (expand_arguments(&at, &d, STR("+"), arena, &argv, &why) < 0)
		return buf_text(&why);
	text[0] = 0;
	for (size_t i = 0; argv[i] != NULL; i++)
		len += (size_t) snprintf(text + len, sizeof(text) - len, "%s|", argv[i]);
	return text;
}

static void test_names_are_filled_in_and_an_argument_stays_one(void **state)
{
	(void) state;
	assert_string_equal(expanded_for("user=j|argv=x|$sender|${size}|$(nexthop)|$$5|id=$queue_id;|$client_helo|$client_address",
					 delivery_to(1)),
			    "x|a b@S.example|1234|Next.Example|$5|id=4jXBBBBBBBBz00HbYb;||192.0.2.1|");
	assert_string_equal(expanded_for("user=j|argv=x|$recipient|$original_recipient|$mailbox|$user|$extension|$domain",
					 delivery_to(1)),
			    "x|Joe B+Ext@Some.Example|Info@Other.Example|Joe B+Ext|Joe B|Ext|Some.Example|");
}

static void test_arguments_that_name_the_recipient_are_repeated(void **state)
{
	(void) state;
	assert_string_equal(expanded_for("user=j|argv=x|-f|$sender|to=$user@$domain|ext=$extension|end",
					 delivery_to(2)),
			    "x|-f|a b@S.example|to=Joe B@Some.Example|to=ann@x.example|ext=Ext|ext=|end|");
}

static void test_flags_fold_and_quote(void **state)
{
	struct delivery notice = delivery_to(1);

	(void) state;
	assert_string_equal(expanded_for("user=j|flags=hqu|argv=x|$recipient|$original_recipient|$domain|$nexthop|$user|$sender",
					 delivery_to(1)),
			    "x|\"joe b+ext\"@some.example|info@other.example|some.example|next.example|joe b|\"a b\"@S.example|");
	notice.env.sender = STR_NONE;
	assert_string_equal(expanded_for("user=j|argv=x|$sender", notice), "x|MAILER-DAEMON|");
	assert_string_equal(expanded_for("user=j|flags=q|null_sender=|argv=x|-f|$sender", notice), "x|-f||");
}

static void test_what_cannot_be_expanded_is_said(void **state)
{
	(void) state;
	assert_non_null(strstr(expanded_for("user=j|argv=x|$colour", delivery_to(1)), "\"$colour\""));
	assert_non_null(strstr(expanded_for("user=j|argv=x|${user", delivery_to(1)), "\"${user\""));
	assert_non_null(strstr(expanded_for("user=j|argv=x|100$", delivery_to(1)), "\"100$\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_row_says_who_runs_what_and_how, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_row_with_a_mistake_is_refused_with_words,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names_are_filled_in_and_an_argument_stays_one,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_arguments_that_name_the_recipient_are_repeated,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_flags_fold_and_quote, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_expanded_is_said, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
