/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include "lib/smtp/dot_in.h"

struct result { struct buf out; size_t used; struct dot_in d; };

/* Decodes `in`, cut in two at `cut` so that every state meets the end of its input. */
static struct result decode(struct str in, size_t cut, bool dots)
{
	struct result r = { .out = BUF(1 << 20) };
	struct str pieces[2] = { str_head(in, cut), str_skip(in, cut) };

	dot_in_begin(&r.d, dots);
	for (size_t i = 0; i < COUNT_OF(pieces) && !dot_in_ended(&r.d); i++)
		r.used += dot_in_feed(&r.d, pieces[i], &r.out);
	if (!dots)
		dot_in_finish(&r.d, &r.out);
	return r;
}

struct row { struct str in; const char *out; bool ends, bare_lf; size_t left; };

static void check(const struct row *row, bool dots)
{
	for (size_t cut = 0; cut <= row->in.len; cut++) {
		struct result r = decode(row->in, cut, dots);

		assert_str(buf_str(&r.out), row->out);
		assert_int_equal(dot_in_ended(&r.d), row->ends);
		assert_int_equal(r.d.bare_lf, row->bare_lf);
		assert_int_equal(r.used, row->in.len - row->left);
		assert_int_equal(r.d.bytes, r.out.len);
		buf_free(&r.out);
	}
}

static void data_ends_at_crlf_dot_crlf(void **state)
{
	static const struct row rows[] = {
		{ STR_INIT(".\r\n"), "", true, false, 0 },
		{ STR_INIT("a\r\n.\r\n"), "a\n", true, false, 0 },
		{ STR_INIT("a\r\n\r\nb\r\n.\r\nQUIT\r\n"), "a\n\nb\n", true, false, 6 },
		{ STR_INIT("a\r\n"), "a\n", false, false, 0 },
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check(&rows[i], true);
}

static void leading_dots_are_taken_away_once(void **state)
{
	static const struct row rows[] = {
		{ STR_INIT("..\r\n.\r\n"), ".\n", true, false, 0 },
		{ STR_INIT("...a\r\n.\r\n"), "..a\n", true, false, 0 },
		{ STR_INIT(".a\r\nb.\r\n.\r\n"), "a\nb.\n", true, false, 0 },
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check(&rows[i], true);
}

static void nothing_else_ends_data(void **state)
{
	static const struct row rows[] = {
		{ STR_INIT("a\n.\nb\r\n.\r\n"), "a\n\nb\n", true, true, 0 },
		{ STR_INIT("a\n.\r\nb\r\n.\r\n"), "a\n\nb\n", true, true, 0 },
		{ STR_INIT("a\r\n.\nb\r\n.\r\n"), "a\n\nb\n", true, true, 0 },
		{ STR_INIT("a\r.\r\nb\r\n.\r\n"), "a\r.\nb\n", true, false, 0 },
		{ STR_INIT("a\r.\rb\r\n.\r\n"), "a\r.\rb\n", true, false, 0 },
		{ STR_INIT("a\r\n.\r\r\nb\r\n.\r\n"), "a\n\r\nb\n", true, false, 0 },
		{ STR_INIT("a\r\n.\rb\r\n.\r\n"), "a\n\rb\n", true, false, 0 },
		{ STR_INIT("a\r\r\n.\r\n"), "a\r\n", true, false, 0 },
		/* compared up to its NUL: see below */
		{ STR_INIT("a\r\n\0.\r\n.\r\n"), "a\n", true, false, 0 },
		{ STR_INIT("a\r\n. \r\n.\r\n"), "a\n \n", true, false, 0 },
		{ STR_INIT("\n.\r\n"), "\n\n", false, true, 0 },
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (memchr(rows[i].in.at, 0, rows[i].in.len) == NULL) {
			check(&rows[i], true);
		} else {
			struct result r = decode(rows[i].in, 0, true);

			assert_true(str_is(buf_str(&r.out), STR("a\n\0.\n")));
			buf_free(&r.out);
		}
	}
}

static void a_crlf_line_after_a_bare_lf_makes_the_next_dot_valid_again(void **state)
{
	static const struct row row = { STR_INIT("a\nb\r\n.\r\n"), "a\nb\n", true, true, 0 };

	(void) state;
	check(&row, true);
}

static void chunks_have_no_dots_and_end_with_a_line(void **state)
{
	static const struct row rows[] = {
		{ STR_INIT(".\r\n.a\r\n"), ".\n.a\n", false, false, 0 },
		{ STR_INIT("a\r\nb"), "a\nb\n", false, false, 0 },
		{ STR_INIT("a\r"), "a\r\n", false, false, 0 },
		{ STR_INIT(""), "", false, false, 0 },
		{ STR_INIT("a\nb\r\n"), "a\nb\n", false, true, 0 },
		{ STR_INIT("\r\r\n"), "\r\n", false, false, 0 },
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check(&rows[i], false);
}

static void size_counts_line_ends_as_two_bytes(void **state)
{
	struct result r = decode(STR("..ab\r\n\r\nc\n.\r\n"), 3, true);

	(void) state;
	assert_int_equal(r.d.bytes + r.d.lines, strlen(".ab\r\n\r\nc\r\n\r\n"));
	buf_free(&r.out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_ends_at_crlf_dot_crlf),
		cmocka_unit_test(leading_dots_are_taken_away_once),
		cmocka_unit_test(nothing_else_ends_data),
		cmocka_unit_test(a_crlf_line_after_a_bare_lf_makes_the_next_dot_valid_again),
		cmocka_unit_test(chunks_have_no_dots_and_end_with_a_line),
		cmocka_unit_test(size_counts_line_ends_as_two_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
