/* SPDX-License-Identifier: ISC */
/* Rows of master.cf. */
#include "tests/unit.h"

#include <errno.h>
#include <unistd.h>

#include "lib/conf/master_cf.h"
#include "tests/scratch.h"

static struct conf *conf;
static struct arena *arena;

static int set_up(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	char dir[SCRATCH_PATH];

	(void) state;
	scratch_directory(dir);
	scratch_file(dir, "main.cf", "default_process_limit = 33\n");
	if (conf_load(dir, &conf, &why) < 0)
		fail_msg("%s", buf_text(&why));
	scratch_remove(dir);
	arena = arena_new("test", NULL, 64 << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void) state;
	conf_free(conf);
	arena_free(arena);
	return 0;
}

static struct master_cf parse(const char *text)
{
	AUTO(buf) why = BUF_WORDS;
	struct master_cf m;

	if (master_cf_parse(conf, arena, "master.cf", str_of(text), &m, &why) < 0)
		fail_msg("%s", buf_text(&why));
	return m;
}

static void parse_fails(const char *text, const char *words)
{
	AUTO(buf) why = BUF_WORDS;
	struct master_cf m;

	assert_int_equal(master_cf_parse(conf, arena, "master.cf", str_of(text), &m, &why), -EINVAL);
	if (strstr(buf_text(&why), words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, buf_text(&why));
}

static void test_columns_are_read_with_their_defaults(void **state)
{
	struct master_cf m = parse("# comment\n"
				   "smtp inet n - - - - smtpd\n"
				   "pickup unix n - y 60 1 pickup\n"
				   "tlsmgr unix - n n 1000? 0 tlsmgr -v\n");
	const struct service_entry *s = m.services;

	(void) state;
	assert_str(s[0].name, "smtp");
	assert_int_equal(s[0].type, SERVICE_INET);
	assert_false(s[0].is_private);
	assert_true(s[0].unprivileged);
	assert_false(s[0].chroot);
	assert_int_equal(s[0].wakeup_ms, 0);
	assert_int_equal(s[0].maxproc, 33);
	assert_str(s[0].command, "smtpd");
	assert_int_equal(s[0].argc, 0);
	assert_int_equal(s[0].line, 2);
	assert_false(s[1].is_private);
	assert_true(s[1].chroot);
	assert_int_equal(s[1].wakeup_ms, 60000);
	assert_false(s[1].wakeup_if_used);
	assert_int_equal(s[1].maxproc, 1);
	assert_true(s[2].is_private);
	assert_false(s[2].unprivileged);
	assert_int_equal(s[2].wakeup_ms, 1000000);
	assert_true(s[2].wakeup_if_used);
	assert_int_equal(s[2].maxproc, 0);
	assert_int_equal(s[2].argc, 1);
	assert_str(s[2].argv[0], "-v");
}

static void test_arguments_continue_and_braces_group(void **state)
{
	struct master_cf m = parse("submission inet n - y - - smtpd\n"
				   "  -o syslog_name=postfix/submission\n"
				   "# a comment between\n"
				   "  -o { smtpd_banner = $myhostname ESMTP }\n"
				   "uucp unix - n n - - pipe flags=F user=uucp argv=uux -r -o {a b} - $nexthop!rmail ($recipient)\n");
	const struct service_entry *s = m.services;

	(void) state;
	assert_int_equal(s[0].argc, 4);
	assert_str(s[0].argv[1], "syslog_name=postfix/submission");
	assert_str(s[0].argv[3], "smtpd_banner = $myhostname ESMTP");
	assert_int_equal(s[1].argc, 9);
	assert_str(s[1].argv[5], "a b");
	assert_str(s[1].argv[8], "($recipient)");
	assert_int_equal(s[1].line, 5);
}

#ifdef HAVE_CURL
enum { OPTIONAL = 2 };
#else
enum { OPTIONAL = 0 };
#endif

static void test_services_that_an_old_file_lacks_are_implicit(void **state)
{
	struct master_cf m = parse("smtp inet n - - - - smtpd\n");

	(void) state;
	assert_int_equal(m.count, 3 + OPTIONAL);
	assert_str(m.services[1].name, "resolver");
	assert_int_equal(m.services[1].line, 0);
	assert_int_equal(m.services[1].maxproc, 1);
	assert_str(m.services[2 + OPTIONAL].name, "postlog");
	assert_int_equal(m.services[2 + OPTIONAL].type, SERVICE_DGRAM);
	m = parse("resolver unix - - y - 1 resolver\nmtasts unix - - n - 1 mtasts\ntlsrpt unix - - n - 1 tlsrpt\npostlog unix-dgram n - n - 1 postlogd\n");
	assert_int_equal(m.count, 4);
	assert_true(m.services[0].chroot);
}

static void test_the_later_of_two_equal_rows_counts(void **state)
{
	struct master_cf m = parse("a unix - - n - 5 smtp\na inet n - n - 6 smtp\na unix - - n - 7 lmtp\n");

	(void) state;
	assert_int_equal(m.services[0].maxproc, 7);
	assert_str(m.services[0].command, "lmtp");
	assert_int_equal(m.services[0].line, 3);
	assert_int_equal(m.services[1].maxproc, 6);
}

static void test_every_type_of_socket_is_known(void **state)
{
	struct master_cf m = parse("[::1]:2525 inet n - n - - smtpd\nb fifo n - n - - x\nc pass - - n - - x\nd unix-dgram n - n - - x\n");

	(void) state;
	assert_str(m.services[0].name, "[::1]:2525");
	assert_int_equal(m.services[1].type, SERVICE_FIFO);
	assert_int_equal(m.services[2].type, SERVICE_PASS);
	assert_int_equal(m.services[3].type, SERVICE_DGRAM);
}

/* As Postfix's master.cf had them until 2.12; what is printed stays as it was written. */
static void test_our_programs_have_sockets_where_old_rows_say_fifo(void **state)
{
	struct master_cf m = parse("pickup fifo n - - 60 1 pickup\nqmgr fifo n - n 300 1 qmgr\n");

	(void) state;
	assert_int_equal(m.services[0].type, SERVICE_UNIX);
	assert_int_equal(m.services[1].type, SERVICE_UNIX);
	assert_str(m.services[1].column[1], "fifo");
}

static void test_errors_name_line_and_field(void **state)
{
	(void) state;
	parse_fails("\nsmtp inet n - - - -\n", "master.cf, line 2: missing \"command\" field");
	parse_fails("smtp tcp n - - - - smtpd\n",
		    "line 1: field \"type\": \"tcp\": inet, unix, fifo, pass or unix-dgram expected");
	parse_fails("smtp inet x - - - - smtpd\n", "field \"private\": \"x\"");
	parse_fails("smtp inet n yes - - - smtpd\n", "field \"unprivileged\"");
	parse_fails("smtp inet n - 1 - - smtpd\n", "field \"chroot\"");
	parse_fails("smtp inet n - - 5m - smtpd\n", "field \"wakeup\"");
	parse_fails("smtp inet n - - - many smtpd\n", "field \"maxproc\"");
	parse_fails("smtp inet n - - - - /bin/sh\n", "field \"command\"");
	parse_fails("../x unix n - - - - smtpd\n", "field \"service\"");
	parse_fails("smtp inet n - - - - smtpd -o\n", "name=value expected");
	parse_fails("smtp inet n - - - - smtpd -o nonsense\n", "missing '='");
	parse_fails("smtp inet n - - - - smtpd -o { a = b\n", "unbalanced { }");
	parse_fails("  smtp inet n - - - - smtpd\n", "must not start with white space");
}

static void test_of_the_queue_managers_the_one_named_qmgr_counts(void **state)
{
	struct master_cf m = parse("other unix n - n 300 1 oqmgr\nqmgr fifo n - n 300 1 qmgr\nsmtp unix - - n - - smtp\n");

	(void) state;
	assert_true(master_cf_is_spare(&m, &m.services[0]));
	assert_false(master_cf_is_spare(&m, &m.services[1]));
	assert_false(master_cf_is_spare(&m, &m.services[2]));
	m = parse("other unix n - n 300 1 qmgr\n");
	assert_false(master_cf_is_spare(&m, &m.services[0]));
}

static void test_services_are_disabled_by_type_or_by_name_and_type(void **state)
{
	static const struct { const char *disabled, *which; } cases[] = {
		{ "", "---" }, { "inet", "xx-" }, { "unix, inet", "xxx" }, { "smtp/inet", "x--" }, { "smtp", "---" },
		{ "pass [::1]:25/inet smtp/unix", "-xx" }, { "/inet", "---" }, { "smtp/", "---" }, { "SMTP/Inet", "x--" },
		{ "!smtp/inet, inet", "-x-" }, { "inet, !smtp/inet", "xx-" }, { "! smtp/inet", "x--" }, { "!!unix !inet", "--x" },
		{ "[::1]:25.inet smtp.unix", "-xx" },
	};
	const struct master_cf m = parse("smtp inet n - n - - smtpd\n[::1]:25 inet n - n - - smtpd\nsmtp unix - - n - - smtp\n");

	(void) state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		for (size_t s = 0; s < 3; s++)
			assert_int_equal(master_cf_is_disabled(str_of(cases[i].disabled), &m.services[s]),
					 cases[i].which[s] == 'x');
}

static void note(void *arg, const char *text)
{
	buf_addf(arg, "%s\n", text);
}

static void test_values_that_name_a_service_which_is_not_there_are_said(void **state)
{
	static const char text[] =
		"transport = lmtp\ndefault_transport = smtp:[relay]\nrelay_transport = $transport:inet:x\n"
				   "content_filter =\nlocal_transport = port:x\n";
	const struct master_cf m =
		parse("smtp unix - - n - - smtp\nport inet n - n - - smtpd -o content_filter=scan:x\n");
	AUTO(buf) said = BUF(4096);
	AUTO(buf) why = BUF_WORDS;
	struct conf *c;

	(void) state;
	assert_int_equal(conf_from_text("/etc", str_of(text), &c, &why), 0);
	assert_int_equal(master_cf_check_names(c, &m, note, &said), 3);
	assert_string_equal(buf_text(&said),
			    "/etc/main.cf, line 3: relay_transport = $transport:inet:x: master.cf has no service \"lmtp\"\n"
			    "/etc/main.cf, line 5: local_transport = port:x: master.cf has no service \"port\"\n"
			    "/etc/master.cf, line 2: content_filter = scan:x: master.cf has no service \"scan\"\n");
	conf_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns_are_read_with_their_defaults),
		cmocka_unit_test(test_arguments_continue_and_braces_group),
		cmocka_unit_test(test_services_that_an_old_file_lacks_are_implicit),
		cmocka_unit_test(test_the_later_of_two_equal_rows_counts),
		cmocka_unit_test(test_every_type_of_socket_is_known),
		cmocka_unit_test(test_our_programs_have_sockets_where_old_rows_say_fifo),
		cmocka_unit_test(test_errors_name_line_and_field),
		cmocka_unit_test(test_of_the_queue_managers_the_one_named_qmgr_counts),
		cmocka_unit_test(test_services_are_disabled_by_type_or_by_name_and_type),
		cmocka_unit_test(test_values_that_name_a_service_which_is_not_there_are_said),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
