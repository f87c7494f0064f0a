/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"
#include "tests/arena.h"

#include "lib/base/buf.h"
#include "lib/mail/mime.h"

/* One letter for each line: P R N headers, _ blank, . body of a leaf, o other body, - boundary. */
static void check_walk(int limit, const char *text, const char *expected)
{
	struct mime_walker *m = mime_walker_new(arena, limit);
	struct str rest = str_of(text), line;
	AUTO(buf) kinds = BUF(1000);

	while (rest.len > 0) {
		enum mime_line kind;

		str_cut(&rest, '\n', &line);
		kind = mime_feed(m, line);
		buf_add_byte(&kinds, kind == MIME_BODY && !mime_is_leaf(m) ? 'o' : "PRN_.-"[kind]);
	}
	assert_str(buf_str(&kinds), expected);
}

#define MULTI "Content-Type: multipart/mixed; boundary=b\n"

static void test_the_parts_of_a_multipart_are_told_apart(void **state)
{
	(void) state;
	check_walk(10, "Subject: x\n folded\n\nbody\n\n--b\n", "PP_...");
	check_walk(10, MULTI "\npreamble\n--b\n\ntext\n--b\nContent-Type: text/html\n\nhtml\n--b--\nepilogue\n--b\n",
		   "P_o-_.-R_.-oo");
	check_walk(10, "Content-Type: multipart/mixed;\n\tboundary=\"b\"\n\n--b\nX: y\n\nt\n--b--\n",
		   "PP_-R_.-");
	check_walk(10, "Content-Type: multipart/mixed (a; boundary=x) ; x=\";boundary=c\" ; boundary = \"\\b\"\n\n--c\n--b\n",
		   "P_o-");
	check_walk(10, MULTI "\n--b  \n\nx\n--b--trailing\no\n", "P_-_.-o");
	check_walk(10, "Content-Type: multipart/mixed\n\n--b\nno boundary\n", "P_oo");
}

static void test_nested_parts_end_with_the_part_around_them(void **state)
{
	(void) state;
	check_walk(10, MULTI "\n--b\nContent-Type: multipart/x; boundary=bb\n\n--bb\n\nin\n--b\n\nout\n--b--\n",
		   "P_-R_-_.-_.-");
	check_walk(10, MULTI "\n--b\nContent-Type: message/rfc822\n\nSubject: s\n\ntext\n--b\n\nx\n",
		   "P_-R_N_.-_.");
	check_walk(10, "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: s\n\ntext\n--b--\n",
		   "P_-_N_.-");
	check_walk(10, "Content-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--c--\ny\n",
		   "P_N_-_.-o");
	check_walk(10, "Content-Type: message/delivery-status\n\nAction: failed\n", "P_o");
	check_walk(10, "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nAAAA\n", "PP_.");
}

static void test_a_body_without_empty_line_and_a_boundary_within_headers(void **state)
{
	(void) state;
	check_walk(10, "Subject: x\nno header\nX: y\n", "P..");
	check_walk(10, " leading\nX: y\n", "..");
	check_walk(10, MULTI "\n--b\nX: y\n--b\n\nx\n", "P_-R-_.");
	check_walk(10, "Content-Type: message/rfc822\n\nno header\nx\n", "P_..");
	check_walk(10, "Content-Type: message/rfc822\nno header\nx\n", "Poo");
	check_walk(10, MULTI "--b\nX: y\n\nx\n", "P-R_.");
	check_walk(10, MULTI "\n--b\nContent-Type: multipart/digest; boundary=c\n--c\n\nX: y\n\nx\n--b--\n", "P_-R-_N_.-");
}

static void test_parts_are_found_by_each_of_several_boundaries(void **state)
{
	(void) state;
	check_walk(10, MULTI "Content-Type: multipart/mixed; boundary=c\n\n--b\nX: y\n\nt\n--b--\n", "PP_-R_.-");
	check_walk(10, MULTI "Content-Type: multipart/mixed; boundary=c\n\n--c\nX: y\n\nt\n--c--\n--b\nX: y\n\nt\n", "PP_-R_.--R_.");
	check_walk(10, MULTI MULTI "\n--b\nX: y\n\nt\n--b--\no\n", "PP_-R_.-o");
	check_walk(1, MULTI "Content-Type: multipart/mixed; boundary=c\n\n--b\nX: y\n\nt\n", "PP_-R_.");
}

static void test_nesting_stops_at_the_limit(void **state)
{
	struct mime_walker *m = mime_walker_new(arena, 3);
	size_t used = 0;

	(void) state;
	for (int i = 0; i < 100000; i++) {
		mime_feed(m, STR("Content-Type: message/rfc822"));
		mime_feed(m, STR(""));
	}
	assert_true(mime_is_too_deep(m));
	m = mime_walker_new(arena, 3);
	mime_feed(m, STR("Content-Type: multipart/mixed; boundary=b"));
	mime_feed(m, STR(""));
	for (int i = 0; i < 100000; i++) {
		mime_feed(m, STR("--b"));
		mime_feed(m, STR("Content-Type: multipart/mixed; boundary=c"));
		mime_feed(m, STR(""));
		mime_feed(m, STR("--c"));
		if (i == 1)
			used = arena_used(arena);
	}
	assert_int_equal(arena_used(arena), used);
	assert_false(mime_is_too_deep(m));
}

static void to_buf(void *arg, struct str bytes)
{
	buf_add(arg, bytes);
}

static void downgrade(const char *text, size_t len, size_t piece, struct buf *out)
{
	struct mime_downgrade *d = mime_downgrade_new(arena, to_buf, out);

	for (size_t at = 0; at < len; at += piece)
		mime_downgrade_feed(d, str_make(text + at, MIN(piece, len - at)));
	mime_downgrade_end(d);
}

static void check_downgrade(const char *text, const char *expected)
{
	AUTO(buf) whole = BUF(1 << 20);
	AUTO(buf) bytewise = BUF(1 << 20);

	downgrade(text, strlen(text), strlen(text), &whole);
	assert_string_equal(buf_text(&whole), expected);
	downgrade(text, strlen(text), 1, &bytewise);
	assert_string_equal(buf_text(&bytewise), expected);
}

#define CTE(encoding) "Content-Transfer-Encoding: " encoding "\n"

static void test_eight_bit_leaves_become_quoted_printable(void **state)
{
	(void) state;
	check_downgrade("Subject: x\n" CTE("8bit") "X: y\n\ngr\303\274n = \t\n\nx\n",
			"Subject: x\nX: y\n" CTE("quoted-printable") "\ngr=C3=BCn =3D =09\n\nx\n");
	check_downgrade("content-transfer-encoding:\n 8BIT (eight)\n\n\303\274",
			CTE("quoted-printable") "\n=C3=BC");
	check_downgrade(CTE("binary") "\na\rb\033\n", CTE("quoted-printable") "\na=0Db=1B\n");
	check_downgrade(MULTI CTE("8bit") "\npre\n--b\n" CTE("8bit") "\n\303\274\n--b\n" CTE("base64") "\nAAAA\n--b--\nend\n",
			MULTI CTE("7bit") "\npre\n--b\n" CTE("quoted-printable") "\n=C3=BC\n--b\n" CTE("base64") "\nAAAA\n--b--\nend\n");
	check_downgrade("Content-Type: message/rfc822\n" CTE("8bit") "\n" CTE("8bit") "\n\303\274\n",
			"Content-Type: message/rfc822\n" CTE("7bit") "\n" CTE("quoted-printable") "\n=C3=BC\n");
}

static void test_what_is_not_declared_eight_bit_stays_byte_for_byte(void **state)
{
	static const char *const same[] = {
		"Subject: x\n\ngr\303\274n = \t\n",
		"", "\n", "X: y", "X: y\n\nno line end",
		CTE("quoted-printable") "\n=3D\n",
		CTE("7bit") "X: y\n\n= \n",
		"Content-Transfer-Encoding:\n\t7bit\nX: y\n\n= \n",
		MULTI "\n--b\n" CTE("base64") "\nAA==\n--b--\n",
		"Content-Type: message/delivery-status\n" CTE("8bit") "\n\303\274\n",
		"Content-Type: message/rfc822\n" CTE("base64") "\n====\n",
		MULTI "\n--b\n" CTE("8bit") "--b--\n",
		CTE("8bit") CTE("7bit") "\n=\n",
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(same); i++)
		check_downgrade(same[i], same[i]);
}

/* Undoes quoted-printable as RFC 2045 6.7 asks. */
static void qp_decode(struct str text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] != '=') {
			buf_add_byte(out, text.at[i]);
		} else if (text.at[i + 1] == '\n') {
			i++;
		} else {
			buf_add_byte(out, (char) (hex_value(text.at[i + 1]) * 16
						  + hex_value(text.at[i + 2])));
			i += 2;
		}
	}
}

static void test_any_bytes_survive_and_no_line_is_longer_than_76(void **state)
{
	AUTO(buf) in = BUF(1 << 20);
	AUTO(buf) out = BUF(1 << 22);
	AUTO(buf) back = BUF(1 << 20);
	struct str head = STR("Content-Transfer-Encoding: 8bit\n\n"), rest, line;
	uint64_t seed = 7;

	(void) state;
	buf_add(&in, head);
	for (int i = 0; i < 200000; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		buf_add_byte(&in, i < 100000 ? (char) (seed >> 40) : " =\t\nx\344"[(seed >> 40) % 6]);
	}
	for (int i = 0; i < 20000; i++)			/* one line longer than what is held */
		buf_add_byte(&in, i % 3 == 0 ? ' ' : 'y');
	downgrade(in.at, in.len, 1000, &out);
	rest = str_skip(buf_str(&out), strlen(CTE("quoted-printable")) + 1);
	qp_decode(rest, &back);
	assert_true(str_is(buf_str(&back), str_skip(buf_str(&in), head.len)));
	while (rest.len > 0) {
		str_cut(&rest, '\n', &line);
		assert_true(line.len <= 76 && str_is_ascii(line) && !str_ends(line, STR(" "))
			    && !str_ends(line, STR("\t")));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_parts_of_a_multipart_are_told_apart),
		cmocka_unit_test(test_nested_parts_end_with_the_part_around_them),
		cmocka_unit_test(test_a_body_without_empty_line_and_a_boundary_within_headers),
		cmocka_unit_test(test_parts_are_found_by_each_of_several_boundaries),
		cmocka_unit_test(test_nesting_stops_at_the_limit),
		cmocka_unit_test(test_eight_bit_leaves_become_quoted_printable),
		cmocka_unit_test(test_what_is_not_declared_eight_bit_stays_byte_for_byte),
		cmocka_unit_test(test_any_bytes_survive_and_no_line_is_longer_than_76),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
