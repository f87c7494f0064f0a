/* SPDX-License-Identifier: ISC */
/* Templates of notifications: files of all kinds, and $names. */
#include "tests/unit.h"

#include <errno.h>
#include <unistd.h>

#include "lib/mail/bounce_template.h"

static struct arena *arena;
static struct bounce_template templates[BOUNCE_KINDS];
static struct buf said;

static void say(void *arg, const char *text)
{
	(void) arg;
	buf_addf(&said, "%s\n", text);
}

static int load(const char *text)
{
	char path[] = "/tmp/bounce-template-test.XXXXXX";
	AUTO(buf) why = BUF_WORDS;
	int fd = mkstemp(path), r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	r = bounce_templates_load(arena, path, templates, say, NULL, &why);
	unlink(path);
	buf_add(&said, buf_str(&why));
	return r;
}

static void expand(const char *main_cf)
{
	AUTO(buf) why = BUF_WORDS;
	struct conf *c;

	assert_int_equal(conf_from_text("/etc", str_of(main_cf), &c, &why), 0);
	bounce_templates_expand(arena, c, "file", templates, say, NULL);
	conf_free(c);
}

static bool has_said(const char *words)
{
	return str_find_str(buf_str(&said), str_of(words)) >= 0;
}

static int setup(void **state)
{
	(void) state;
	arena = arena_new("test", NULL, 64 << 20);
	said = BUF(65536);
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	arena_free(arena);
	buf_free(&said);
	return 0;
}

#define IS(s, text) assert_true(str_is((s), STR(text)))

static void a_file_gives_some_templates_and_the_rest_is_built_in(void **state)
{
	(void) state;
	assert_int_equal(load("# words\n\nfailure_template = <<EOF\nCharset : utf-8\nSUBJECT:   Not $delivered\n\n\nline\n# line\n  EOF\n\nEOF\n"), 0);
	IS(templates[BOUNCE_FAILURE].charset, "utf-8");
	IS(templates[BOUNCE_FAILURE].subject, "Not $delivered");
	IS(templates[BOUNCE_FAILURE].from, "Mail Delivery System <MAILER-DAEMON>");
	IS(templates[BOUNCE_FAILURE].text, "line\n# line\n  EOF\n\n");
	IS(templates[BOUNCE_DELAY].charset, "us-ascii");
	assert_int_equal(said.len, 0);
}

static void a_wrong_template_is_not_used(void **state)
{
	static const struct { const char *body, *words; } wrong[] = {
		{ "Nosuch: x\n\ntext\n", "unknown \"Nosuch\" header label" },
		{ "Subject: h\xc3\xa9\n\ntext\n", "non-ASCII \"Subject\" header value" },
		{ "From: \n\ntext\n", "empty or malformed \"From\"" },
		{ "Charset: a b\n\ntext\n", "empty or malformed \"Charset\"" },
		{ "Subject: x\n", "missing message text" }, { "t\xc3\xa9xt\n", "8-bit message text" },
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		buf_clear(&said);
		assert_int_equal(load(arena_fmt(arena, "failure_template = <<EOF\n%sEOF\n", wrong[i].body).at),
				 0);
		assert_true(has_said(wrong[i].words) && has_said("failure template -- ignoring this template"));
		IS(templates[BOUNCE_FAILURE].subject, "Undelivered Mail Returned to Sender");
	}
	buf_clear(&said);
	assert_int_equal(load("nosuch_template = <<X\ntext\nX\ndelay_template = <<X\nlate\n"), 0);
	assert_true(has_said("unknown template name: nosuch_template") && has_said("missing \"X\" end marker"));
	IS(templates[BOUNCE_DELAY].text, "late\n");
}

static void what_is_no_file_of_templates_is_an_error(void **state)
{
	AUTO(buf) why = BUF_WORDS;

	(void) state;
	assert_int_equal(load("\nnonsense\n"), -EINVAL);
	assert_true(has_said("line 2: missing '='"));
	assert_int_equal(load("failure_template = <<\n"), -EINVAL);
	assert_int_equal(bounce_templates_load(arena, "/nonexistent/x", templates, say, NULL, &why), -ENOENT);
	IS(templates[BOUNCE_SUCCESS].subject, "Successful Mail Delivery Report");
}

static void names_and_times_are_replaced(void **state)
{
	(void) state;
	load("failure_template = <<E\n$myhostname $$x ${delay_warning_time_minutes}m $maximal_queue_lifetime_hours ${a?{yes}:{no}}\nE\n"
	     "success_template = <<E\n$nosuch\nE\n");
	expand("myhostname = host.example\ndelay_warning_time = 90m\nmaximal_queue_lifetime = 3d\na = 1\n");
	IS(templates[BOUNCE_FAILURE].text, "host.example $x 90m 72 yes\n");
	assert_true(str_ends(templates[BOUNCE_DELAY].text, STR("until it is 3 days old.\n")));
	assert_true(has_said("undefined $nosuch in success template -- ignoring"));
	assert_true(str_starts(templates[BOUNCE_SUCCESS].text,
			       STR("This is the mail system at host.example.")));
	load("");
	expand("maximal_queue_lifetime = 4h\n");
	assert_true(str_ends(templates[BOUNCE_DELAY].text, STR("until it is 4 hours old.\n")));
}

static void what_is_printed_can_be_read_again(void **state)
{
	AUTO(buf) once = BUF(65536);
	AUTO(buf) twice = BUF(65536);

	(void) state;
	load("");
	for (int k = 0; k < BOUNCE_KINDS; k++)
		bounce_template_print(&templates[k], k, &once);
	load(buf_text(&once));
	for (int k = 0; k < BOUNCE_KINDS; k++)
		bounce_template_print(&templates[k], k, &twice);
	assert_string_equal(buf_text(&once), buf_text(&twice));
	assert_int_equal(said.len, 0);
}

#define TEMPLATE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEMPLATE_TEST(a_file_gives_some_templates_and_the_rest_is_built_in),
		TEMPLATE_TEST(a_wrong_template_is_not_used),
		TEMPLATE_TEST(what_is_no_file_of_templates_is_an_error),
		TEMPLATE_TEST(names_and_times_are_replaced),
		TEMPLATE_TEST(what_is_printed_can_be_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
