/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/ipc/message.h"

static void test_a_message_survives_the_wire(void **state)
{
	AUTO(buf) b = BUF(10000);
	struct cleanup_reply sent = { .code = 250, .dsn = STR("2.0.0"), .text = STR("Ok"),
				      .size = UINT64_MAX }, got;
	struct frame_out out;
	struct frame f;

	(void) state;
	assert_int_equal(put_cleanup_reply(&b, 7, &sent, &out), 0);
	assert_int_equal(frame_split(str_head(buf_str(&b), b.len - 1), &f), 0);
	assert_int_equal(frame_split(buf_str(&b), &f), b.len);
	assert_int_equal(f.call, 7);
	assert_int_equal(get_cleanup_reply(&f, &got, NULL), 0);
	assert_int_equal(got.code, 250);
	assert_str(got.dsn, "2.0.0");
	assert_true(got.size == UINT64_MAX);
}

static void test_a_missing_attribute_is_named_and_an_unknown_one_skipped(void **state)
{
	AUTO(buf) b = BUF(10000);
	AUTO(buf) why = BUF_WORDS;
	struct cleanup_reply got;
	struct frame_out out;
	struct frame f;

	(void) state;
	frame_begin(&out, &b, 1, STR("cleanup_reply"));
	frame_put_str(&out, "text", STR("in another order"));
	frame_put_str(&out, "of a newer version", STR("x"));
	frame_put_u64(&out, "code", 451);
	frame_put_str(&out, "dsn", STR("4.3.0"));
	assert_int_equal(frame_end(&out), 0);
	assert_true(frame_split(buf_str(&b), &f) > 0);
	assert_int_equal(get_cleanup_reply(&f, &got, &why), -EBADMSG);
	assert_non_null(strstr(buf_text(&why), "size"));

	frame_begin(&out, &b, 1, STR("cleanup_reply"));
	b.len = 0;
	frame_begin(&out, &b, 1, STR("cleanup_reply"));
	frame_put_str(&out, "text", STR("in another order"));
	frame_put_str(&out, "of a newer version", STR("x"));
	frame_put_u64(&out, "code", 451);
	frame_put_str(&out, "dsn", STR("4.3.0"));
	frame_put_u64(&out, "size", 1);
	assert_int_equal(frame_end(&out), 0);
	assert_true(frame_split(buf_str(&b), &f) > 0);
	assert_int_equal(get_cleanup_reply(&f, &got, &why), 0);
	assert_int_equal(got.code, 451);
	assert_str(got.text, "in another order");
}

static void test_a_field_over_its_limit_is_refused(void **state)
{
	AUTO(buf) b = BUF(10000);
	struct cleanup_reply sent = { .dsn = STR("this is longer than sixteen bytes") }, got;
	struct frame_out out;
	struct frame f;

	(void) state;
	assert_int_equal(put_cleanup_reply(&b, 1, &sent, &out), 0);
	assert_true(frame_split(buf_str(&b), &f) > 0);
	assert_int_equal(get_cleanup_reply(&f, &got, NULL), -EBADMSG);
}

static void test_descriptors_are_closed_when_the_message_is_refused(void **state)
{
	AUTO(buf) b = BUF(10000);
	struct deliver_request sent = { .message = -1 }, got;
	struct frame_out out;
	struct frame f;
	int fd;

	(void) state;
	assert_int_equal(put_deliver_request(&b, 1, &sent, &out), 0);
	assert_true(frame_split(buf_str(&b), &f) > 0);
	assert_int_equal(get_deliver_request(&f, &got, NULL), 0);
	assert_int_equal(got.message, -1);

	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	b.len = 0;
	assert_int_equal(put_deliver_request(&b, 1, &sent, &out), 0);
	assert_true(frame_split(buf_str(&b), &f) > 0);
	f.fds[0] = fd;			/* one arrives although none was announced in the field */
	f.fd_count = 1;
	f.message = STR("bounce_request");
	assert_int_equal(get_bounce_request(&f, &(struct bounce_request){ 0 }, NULL), -EBADMSG);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void test_a_length_beyond_the_limit_is_an_error_at_once(void **state)
{
	struct frame f;

	(void) state;
	assert_int_equal(frame_split(STR("\xff\xff\xff\xff"), &f), -EBADMSG);
	assert_int_equal(frame_split(STR("\0\0\0\x02" "xx"), &f), -EBADMSG);
	assert_int_equal(frame_split(STR("\0\0\0\x09" "\0\0\0\1" "\xff" "abcd"), &f), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_message_survives_the_wire),
		cmocka_unit_test(test_a_missing_attribute_is_named_and_an_unknown_one_skipped),
		cmocka_unit_test(test_a_field_over_its_limit_is_refused),
		cmocka_unit_test(test_descriptors_are_closed_when_the_message_is_refused),
		cmocka_unit_test(test_a_length_beyond_the_limit_is_an_error_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
