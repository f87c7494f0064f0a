/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <errno.h>

#include "lib/smtp/dot_in.h"
#include "lib/smtp/dot_out.h"

/* Encodes `in` in pieces of `step` bytes. */
static void expect(const char *in, size_t limit, const char *out)
{
	size_t len = strlen(in);

	for (size_t step = 1; step <= len + 1; step++) {
		struct dot_out d = { .limit = limit };
		AUTO(buf) b = BUF(10000);

		for (size_t at = 0; at < len; at += step)
			assert_int_equal(dot_out_feed(&d, str_make(in + at, MIN(step, len - at)), &b), 0);
		assert_int_equal(dot_out_end(&d, &b), 0);
		assert_str(buf_str(&b), out);
	}
}

static void test_line_ends_and_the_final_dot(void **unused)
{
	(void) unused;
	expect("", 0, ".\r\n");
	expect("a\n", 0, "a\r\n.\r\n");
	expect("a", 0, "a\r\n.\r\n");
	expect("\n\n", 0, "\r\n\r\n.\r\n");
}

static void test_leading_dots_are_doubled(void **unused)
{
	(void) unused;
	expect(".\n", 0, "..\r\n.\r\n");
	expect(".", 0, "..\r\n.\r\n");
	expect("..a\n.\n.b.\nc.d\n", 0, "...a\r\n..\r\n..b.\r\nc.d\r\n.\r\n");
}

static void test_long_lines_are_broken(void **unused)
{
	(void) unused;
	expect("12345\n", 5, "12345\r\n.\r\n");
	expect("123456\n", 5, "12345\r\n 6\r\n.\r\n");
	expect("1234567890\n", 5, "12345\r\n 6789\r\n 0\r\n.\r\n");
	expect("12345.\n.2345.7\n", 5, "12345\r\n .\r\n..2345\r\n .7\r\n.\r\n");
}

static void test_room_is_checked_before_writing(void **unused)
{
	struct dot_out d = { .limit = 0 };
	AUTO(buf) b = BUF(20);

	(void) unused;
	assert_int_equal(dot_out_feed(&d, STR("0123456789"), &b), -EMSGSIZE);
	assert_int_equal(b.len, 0);
	assert_int_equal(dot_out_feed(&d, STR("0123"), &b), 0);
}

static void test_what_was_encoded_decodes_to_the_same(void **unused)
{
	static const char alphabet[] = "..ab\n\n\r.";
	uint32_t seed = 42;

	(void) unused;
	for (int round = 0; round < 2000; round++) {
		char content[64];
		size_t len = (size_t) (round % 60);
		struct dot_out out = { .limit = 0 };
		struct dot_in in;
		AUTO(buf) wire = BUF(10000);
		AUTO(buf) back = BUF(10000);

		for (size_t i = 0; i < len; i++) {
			seed = seed * 1103515245 + 12345;
			content[i] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
			if (i > 0 && content[i] == '\n' && content[i - 1] == '\r')
				content[i] = 'x';	/* a CR before a line end is not kept by design */
		}
		content[len] = '\n';
		if (len > 0 && content[len - 1] == '\r')
			content[len - 1] = 'y';
		assert_int_equal(dot_out_feed(&out, str_make(content, len + 1), &wire), 0);
		assert_int_equal(dot_out_end(&out, &wire), 0);
		dot_in_begin(&in, true);
		assert_int_equal(dot_in_feed(&in, buf_str(&wire), &back), wire.len);
		assert_true(dot_in_ended(&in));
		assert_int_equal(back.len, len + 1);
		assert_memory_equal(back.at, content, len + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line_ends_and_the_final_dot),
		cmocka_unit_test(test_leading_dots_are_doubled),
		cmocka_unit_test(test_long_lines_are_broken),
		cmocka_unit_test(test_room_is_checked_before_writing),
		cmocka_unit_test(test_what_was_encoded_decodes_to_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
