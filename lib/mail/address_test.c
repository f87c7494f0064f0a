/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"
#include "tests/arena.h"

#include <errno.h>
#include <time.h>

#include "lib/mail/mail_address.h"

struct path_case {
	const char *in, *out, *rest;
	int strict, lenient;		/* results */
};

static void check_path(const struct path_case *c, bool strict)
{
	struct str rest = str_of(c->in), address = STR("untouched");
	int expected = strict ? c->strict : c->lenient;
	int r = path_parse(&rest, arena, strict, false, &address);

	if (r != expected)
		fail_msg("%s (%s): %d, expected %d", c->in, strict ? "strict" : "lenient", r, expected);
	if (r < 0) {
		assert_str(address, "untouched");
		assert_str(rest, c->in);
		return;
	}
	assert_str(address, c->out);
	assert_str(rest, c->rest);
}

static void test_paths_are_read_as_rfc_5321_has_them_and_leniently_when_allowed(void **state)
{
	static const struct path_case cases[] = {
		{ "<a@b.example>", "a@b.example", "", 0, 0 },
		{ "<a@b.example> SIZE=5", "a@b.example", " SIZE=5", 0, 0 },
		{ "<>", "", "", 0, 0 },
		{ "<> BODY=8BITMIME", "", " BODY=8BITMIME", 0, 0 },
		{ "<a.b+c=d@b>", "a.b+c=d@b", "", 0, 0 },
		{ "<\"a b\"@c>", "a b@c", "", 0, 0 },
		{ "<\"a\\\"b\\\\c\"@d>", "a\"b\\c@d", "", 0, 0 },
		{ "<\"a@b\"@c>", "a@b@c", "", 0, 0 },
		{ "<\"\"@c>", "@c", "", 0, 0 },
		{ "<\">\"@c> X", ">@c", " X", 0, 0 },
		{ "<a@[192.0.2.1]>", "a@[192.0.2.1]", "", 0, 0 },
		{ "<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", "", 0, 0 },
		{ "<@r.example:a@b>", "a@b", "", 0, 0 },
		{ "<@r.example,@s.example:a@b>", "a@b", "", 0, 0 },
		{ "<@[192.0.2.1]:a@b>", "a@b", "", 0, 0 },
		{ "<postmaster>", "postmaster", "", 0, 0 },
		{ "<PostMaster>", "PostMaster", "", 0, 0 },
		{ "<user>", "user", "", 0, 0 },
		{ "a@b", "a@b", "", -EINVAL, 0 },
		{ "a@b SIZE=1", "a@b", " SIZE=1", -EINVAL, 0 },
		{ " <a@b>", "a@b", "", 0, 0 },
		{ "< a@b >", "a@b", "", 0, 0 },
		{ "<a..b@c>", "a..b@c", "", 0, 0 },
		{ "<.a@c>", ".a@c", "", 0, 0 },
		{ "<a.@c>", "a.@c", "", 0, 0 },
		{ "<a.\"b c\".d@e>", "a.b c.d@e", "", 0, 0 },
		{ "<a@b..c>", "a@b..c", "", 0, 0 },
		{ "<a@b.>", "a@b.", "", 0, 0 },
		{ "<a@>", "a@", "", 0, 0 },
		{ "<a@-b>", "a@-b", "", 0, 0 },
		{ "<a@[nonsense]>", "a@[nonsense]", "", 0, 0 },
		{ "< a @ b >", "a@b", "", 0, 0 },
		{ "<<a@b>> X", "a@b", " X", 0, 0 },
		{ "<<>>", "", "", 0, 0 },
		{ "Joe<a@b>", "a@b", "", -EINVAL, 0 },
		{ "\"Joe D.\"<a@b> X", "a@b", " X", -EINVAL, 0 },
		{ "<a!b%c@d>", "a!b%c@d", "", 0, 0 },
		{ "", NULL, NULL, -EINVAL, -EINVAL },
		{ "<", NULL, NULL, -EINVAL, -EINVAL },
		{ "<a@b", NULL, NULL, -EINVAL, -EINVAL },
		{ "<a@b>x", NULL, NULL, -EINVAL, -EINVAL },
		{ "<<a@b>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<a@b>>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<<<a@b>>>", NULL, NULL, -EINVAL, -EINVAL },
		{ "a @b", "a", " @b", -EINVAL, 0 },
		{ "\"Joe<a@b>", NULL, NULL, -EINVAL, -EINVAL },
		{ "a@b<c@d>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<a b@c>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<a@b@c>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<@b>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<@b:>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<@:a@b>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<a(comment)@b>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<a,b@c>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<\"a@b>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<\"a\\", NULL, NULL, -EINVAL, -EINVAL },
		{ "<\"a@b\">", NULL, NULL, -EINVAL, -EINVAL },
		{ "<a@[1.2.3.4>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<a@[1.2]3]>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<\"a\nb\"@c>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<\"a\\\nb\"@c>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<a\tb@c>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<a@b\001>", NULL, NULL, -EINVAL, -EINVAL },
		{ "<\303\274@b>", NULL, NULL, -EILSEQ, -EILSEQ },
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		check_path(&cases[i], true);
		check_path(&cases[i], false);
	}
}

static void test_a_nul_byte_is_refused(void **state)
{
	struct str rest = STR("<a\0b@c>"), address;

	(void) state;
	assert_int_equal(path_parse(&rest, arena, false, true, &address), -EINVAL);
	rest = STR("<\"a\0b\"@c>");
	assert_int_equal(path_parse(&rest, arena, false, true, &address), -EINVAL);
	assert_int_equal(address_unquote(STR("a\0b"), arena, &address), -EINVAL);
}

static void test_utf8_addresses_need_smtputf8_and_well_formed_text(void **state)
{
	struct str rest = STR("<gr\303\274n@gr\303\274n.example>"), address;

	(void) state;
	assert_int_equal(path_parse(&rest, arena, true, true, &address), 0);
	assert_str(address, "gr\303\274n@gr\303\274n.example");
	rest = STR("<\"gr\303\274n\"@b>");
	assert_int_equal(path_parse(&rest, arena, false, false, &address), -EILSEQ);
	rest = STR("<gr\374n@b>");
	assert_int_equal(path_parse(&rest, arena, false, true, &address), -EILSEQ);
}

static void test_overlong_parts_are_told_from_bad_syntax(void **state)
{
	struct str long_local = arena_fmt(arena, "<%0600d@b.example>", 1);
	struct str long_domain = arena_fmt(arena, "<a@%0300d.example>", 1);
	struct str fits = arena_fmt(arena, "<%0500d@b.example>", 1);
	struct str address;

	(void) state;
	assert_int_equal(path_parse(&long_local, arena, true, false, &address), -EMSGSIZE);
	assert_int_equal(path_parse(&long_domain, arena, false, false, &address), -EMSGSIZE);
	assert_int_equal(path_parse(&fits, arena, true, false, &address), 0);
}

static void check_quoting(const char *internal, const char *external)
{
	AUTO(buf) b = BUF(1000);
	struct str back;

	assert_int_equal(address_quote_821(&b, str_of(internal)), 0);
	assert_str(buf_str(&b), external);
	assert_int_equal(address_unquote(buf_str(&b), arena, &back), 0);
	assert_str(back, internal);
}

static void test_local_parts_are_quoted_only_when_they_must_be(void **state)
{
	(void) state;
	check_quoting("a@b", "a@b");
	check_quoting("", "");
	check_quoting("user", "user");
	check_quoting("a b@c", "\"a b\"@c");
	check_quoting("a..b@c", "\"a..b\"@c");
	check_quoting("a\"b\\@c", "\"a\\\"b\\\\\"@c");
	check_quoting("a@b@c", "\"a@b\"@c");
	check_quoting("@c", "\"\"@c");
	check_quoting("a@[192.0.2.1]", "a@[192.0.2.1]");
	check_quoting("\303\274@c", "\303\274@c");
	check_quoting("!#$%&'*+-/=?^_`{|}~@c", "!#$%&'*+-/=?^_`{|}~@c");
}

static void test_quoting_never_lets_a_line_end_through_or_leaves_half_an_address(void **state)
{
	AUTO(buf) b = BUF(5);

	(void) state;
	buf_add(&b, STR("x"));
	assert_int_equal(address_quote_821(&b, STR("a\nb@c")), -EINVAL);
	assert_int_equal(address_quote_822(&b, STR("abcdef@g")), -EMSGSIZE);
	assert_str(buf_str(&b), "x");
}

/* Random internal forms from parsing random text: what was parsed prints so that it parses to the same. */
static void test_what_was_parsed_prints_and_parses_to_the_same(void **state)
{
	static const char alphabet[] = "ab.@\"\\ <>[]:,%!+()1\t;";
	uint64_t seed = 42;
	int accepted = 0;

	(void) state;
	for (int i = 0; i < 200000; i++) {
		char text[24];
		size_t n = 0;
		struct str rest, address, again;
		AUTO(buf) b = BUF(200);

		text[n++] = '<';
		while (n < 3 + (size_t) (i % 18)) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			text[n++] = alphabet[(seed >> 33) % (sizeof(alphabet) - 1)];
		}
		text[n++] = '>';
		rest = str_make(text, n);
		if (path_parse(&rest, arena, false, false, &address) < 0 || address.len == 0)
			continue;
		accepted++;
		buf_add(&b, STR("<"));
		assert_int_equal(address_quote_821(&b, address), 0);
		buf_add(&b, STR(">"));
		rest = buf_str(&b);
		assert_int_equal(path_parse(&rest, arena, false, false, &again), 0);
		assert_true(str_is(address, again));
		rest = str_make(b.at + 1, b.len - 2);
		assert_int_equal(header_address_next(&rest, arena, &again), 1);
		assert_true(str_is(address, again));
		if (i % 1000 == 0)
			arena_reset(arena);
	}
	assert_true(accepted > 1000);
}

static void check_split(const char *local, const char *delimiters, const char *user, const char *extension)
{
	struct str u, e;
	bool split = local_part_split(str_of(local), str_of(delimiters), &u, &e);

	assert_str(u, user);
	assert_str(e, extension == NULL ? "" : extension);
	assert_true(split == (extension != NULL));
}

static void test_extensions_are_split_at_the_first_delimiter_but_not_off_special_names(void **state)
{
	struct str u, e;

	(void) state;
	check_split("user+ext", "+", "user", "ext");
	check_split("user+ext+more", "+-", "user", "ext+more");
	check_split("user-ext+more", "+-", "user", "ext+more");
	check_split("user+", "+", "user", "");
	check_split("+ext", "+", "+ext", NULL);
	check_split("user", "+", "user", NULL);
	check_split("user+ext", "", "user+ext", NULL);
	check_split("owner-list", "-", "owner-list", NULL);
	check_split("list-request", "-", "list-request", NULL);
	check_split("list-x", "-", "list", "x");
	check_split("owner-list+x", "+", "owner-list", "x");
	check_split("Mailer-Daemon", "-", "Mailer-Daemon", NULL);
	check_split("double-bounce", "-", "double-bounce", NULL);
	assert_true(local_part_split_at(STR("owner-list"), STR("-"), false, &u, &e));
}

static void check_header(const char *value, const char *expected)
{
	AUTO(buf) b = BUF(10000);
	struct str rest = str_of(value), address;
	int r;

	while ((r = header_address_next(&rest, arena, &address)) != 0) {
		if (b.len > 0)
			buf_add(&b, STR(" | "));
		buf_add(&b, r < 0 ? STR("BAD") : address);
	}
	if (!str_is(buf_str(&b), str_of(expected)))
		fail_msg("%s: got \"%s\", expected \"%s\"", value, b.at, expected);
}

static void test_header_addresses_are_found_in_all_their_forms(void **state)
{
	(void) state;
	check_header("a@b", "a@b");
	check_header(" a@b , c@d", "a@b | c@d");
	check_header("Full Name <a@b>, \"Last, First\" <c@d>", "a@b | c@d");
	check_header("a@b (Full, Name (nested)), <c@d>", "a@b | c@d");
	check_header("Friends: a@b, c@d;, e@f", "a@b | c@d | e@f");
	check_header("undisclosed-recipients:;", "");
	check_header("Empty: ; a@b", "a@b");
	check_header("<@x,@y:a@b>, <@x:c@d>", "a@b | c@d");
	check_header("@x:a@b, (c) @[192.0.2.1] : c@d, Friends: @x:\"e f\"@g;", "a@b | c@d | e f@g");
	check_header("@x:user", "user");
	check_header("\"a b\"@c", "a b@c");
	check_header("\"a@b\"@c", "a@b@c");
	check_header("\"a\\\"b\"@c", "a\"b@c");
	check_header("a.\"b c\".d@e", "a.b c.d@e");
	check_header("a @ b . c", "a@b.c");
	check_header("a(x)@(y)b", "a@b");
	check_header("a@[192.0.2.1]", "a@[192.0.2.1]");
	check_header("user", "user");
	check_header("a@b,,, ,c@d,", "a@b | c@d");
	check_header("a@b,\n c@d,\n\t\"x\n y\" <e@f>", "a@b | c@d | e@f");
	check_header("=?utf-8?q?J=C3=BCrgen?= <a@b>", "a@b");
	check_header("J\303\274rgen <j\303\274@b>", "j\303\274@b");
	check_header("<a@b> trailing words", "a@b");
	check_header("Mr. X. Y <a@b>", "a@b");
	check_header("a\\,b@c", "a,b@c");
	check_header("(only a comment)", "");
	check_header("", "");
	check_header("Postmaster <>", "");
}

static void test_unparsable_header_addresses_are_skipped_to_the_next_comma(void **state)
{
	(void) state;
	check_header("John Doe, a@b", "BAD | a@b");
	check_header("<a@b> <c@d>, e@f", "BAD | e@f");
	check_header("a@b@c, d@e", "BAD | d@e");
	check_header("<a@b, c@d", "BAD");
	check_header("\"a@b, c@d", "BAD");
	check_header("(a@b, c@d", "BAD");
	check_header("a@[1.2.3.4, c@d", "BAD");
	check_header("a@b:c, d@e", "BAD | d@e");
	check_header("@b, d@e", "BAD | d@e");
	check_header("<@b>, d@e", "BAD | d@e");
	check_header("@x,@y:a@b, d@e", "BAD | a@b | d@e");	/* the first comma is the list's */
	check_header("@x y:a@b, @x:<a@b>, @x:@y:a@b, @x:y:a@b", "BAD | BAD | BAD | BAD");
	check_header("<a,b@c>", "BAD");
	check_header("\"a@b\", d@e", "BAD | d@e");
	check_header("a\001@b, d@e", "BAD | d@e");
	check_header("\"a\001\"@b, d@e", "BAD | d@e");
	check_header("a), d@e", "BAD | d@e");
	check_header("a\\", "BAD");
	check_header("a@b\"@\", c@d", "BAD | c@d");
	check_header("a@b\\@, c@d", "BAD | c@d");
}

/* Dovecot's CVE-2024-23184 class: half a million addresses, or one endless one, must stay linear. */
static void test_half_a_million_addresses_take_no_quadratic_time(void **state)
{
	static const char *const patterns[] = { "a@b,", "(", "\"", "<", "g:", "\\", "a@b;(", "[" };
	struct arena *big = arena_new("big", NULL, 1 << 30);

	(void) state;
	for (size_t k = 0; k < COUNT_OF(patterns); k++) {
		AUTO(buf) b = BUF(4 << 20);
		struct str rest, address;
		clock_t start = clock();
		int n = 0;

		for (int i = 0; i < 500000; i++)
			buf_add_text(&b, patterns[k]);
		rest = buf_str(&b);
		while (header_address_next(&rest, big, &address) != 0)
			n++;
		assert_true(k != 0 || n == 500000);
		assert_true((clock() - start) / CLOCKS_PER_SEC < 5);
		arena_reset(big);
	}
	arena_free(big);
}

static void test_host_names_and_literals_are_checked(void **state)
{
	struct str label63 = arena_fmt(arena, "%063d.example", 1),
		label64 = arena_fmt(arena, "%064d.example", 1);

	(void) state;
	assert_true(hostname_is_valid(STR("mail.example.com"), false));
	assert_true(hostname_is_valid(STR("under_score.example"), false));
	assert_true(hostname_is_valid(STR("1and1.example"), false));
	assert_true(hostname_is_valid(label63, false));
	assert_false(hostname_is_valid(label64, false));
	assert_false(hostname_is_valid(STR(""), false));
	assert_false(hostname_is_valid(STR("a..b"), false));
	assert_false(hostname_is_valid(STR("a.b."), false));
	assert_false(hostname_is_valid(STR("-a.b"), false));
	assert_false(hostname_is_valid(STR("a-.b"), false));
	assert_false(hostname_is_valid(STR("192.0.2.1"), false));
	assert_false(hostname_is_valid(STR("a b"), false));
	assert_false(hostname_is_valid(STR("gr\303\274n.example"), false));
	assert_true(hostname_is_valid(STR("gr\303\274n.example"), true));
	assert_false(hostname_is_valid(STR("gr\374n.example"), true));
	assert_true(domain_literal_is_valid(STR("[192.0.2.1]")));
	assert_true(domain_literal_is_valid(STR("[IPv6:::1]")));
	assert_true(domain_literal_is_valid(STR("[ipv6:2001:db8::1]")));
	assert_false(domain_literal_is_valid(STR("[2001:db8::1]")));
	assert_false(domain_literal_is_valid(STR("[192.0.2.256]")));
	assert_false(domain_literal_is_valid(STR("[]")));
	assert_false(domain_literal_is_valid(STR("192.0.2.1")));
	assert_false(domain_literal_is_valid(STR("[192.0.2.1")));
}

static void test_lists_in_tables_are_separated_by_commas_or_blanks(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "a@x.example b@x.example", "a@x.example|b@x.example|" },
		{ "a@x.example,, b\tc\n d ; e", "a@x.example|b|c|d|e|" },
		{ "\"a 5\"@x.example c", "a 5@x.example|c|" },
		{ "<a@x> <b@x>", "a@x|b@x|" },
		{ "John Doe <a@x> c \"<\"", "a@x|c|<|" },
		{ "a (b c) d", "a|d|" },
		{ "a @ x . example b", "a@x.example|b|" },
		{ "a@x <b@y>", "b@y|" },
		{ "<a@x> b c, d <e@y> f <g@y> h i", "a@x|b|c|e@y|g@y|h|i|" },
		{ "a b \"c, d\"@x (e, f) g, , h", "a|b|c, d@x|g|h|" },
		{ "g: a, b;", "a|b|" },
		{ "a@x@y b", "!" },
		{ "a <b", "!" },
		{ "", "" },
		{ " , ", "" },
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct address_list list = { .rest = str_of(cases[i].in) };
		AUTO(buf) all = BUF(1000);
		struct str one;
		int r;

		while ((r = address_list_next(&list, arena, &one)) != 0) {
			if (r < 0)
				buf_add_text(&all, "!");
			else
				buf_addf(&all, "%.*s|", PSTR(one));
		}
		assert_str(buf_str(&all), cases[i].out);
	}
}

/* Those that -t would else send nothing, while all others get the message. */
static void test_a_lenient_list_gets_over_brackets_that_do_not_match(void **state)
{
	static const struct { const char *in, *out, *strict; } cases[] = {
		{ "joe <joe@x.example", "joe@x.example|", "!" },
		{ "a@a.example, bob <b@b.example\n", "a@a.example|b@b.example|", "a@a.example|!" },
		{ "a@a.example (unclosed", "a@a.example|", "!" },
		{ "a@a.example>, b@b.example", "a@a.example|b@b.example|", "!b@b.example|" },
		{ "a@a.example>b@b.example>, c@c.example", "a@a.example|b@b.example|c@c.example|", "!c@c.example|" },
		{ "joe> <a@a.example>, b@b.example", "!b@b.example|", "!b@b.example|" },
		{ "joe>: a@a.example, b@b.example", "!b@b.example|", "!b@b.example|" },
		{ "<a@a.example, b@b.example", "!", "!" },
		{ "<<a@a.example>>", "!", "!" }, { "> a@a.example", "!", "!" }, { "\"joe <a@a.example>", "!", "!" },
		{ "<", "!", "!" }, { "(", "", "!" }, { ">", "!", "!" },
	};

	(void) state;
	for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
		const bool lenient = i % 2;
		struct address_list list = { .rest = str_of(cases[i / 2].in), .is_lenient = lenient };
		AUTO(buf) all = BUF(1000);
		struct str one;
		int r;

		while ((r = address_list_next(&list, arena, &one)) != 0) {
			if (r > 0)
				buf_add(&all, one);
			buf_add_text(&all, r > 0 ? "|" : "!");
		}
		assert_str(buf_str(&all), lenient ? cases[i / 2].out : cases[i / 2].strict);
	}
}

/* cleanup reads what a local user wrote, and everybody else's mail waits meanwhile. */
static void test_a_list_without_commas_takes_no_longer_than_one_with_them(void **state)
{
	static const char *const words[] = { "a ", "<a> " };
	const clock_t before = clock();

	(void) state;
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		AUTO(buf) text = BUF(256 << 10);
		struct address_list list;
		struct str one;
		size_t count = 0;

		while (text.len < 192 << 10)
			buf_add_text(&text, words[i]);
		list = (struct address_list){ .rest = buf_str(&text) };
		while (address_list_next(&list, arena, &one) > 0)
			count++;
		assert_int_equal(count, text.len / strlen(words[i]));
	}
	/* with a look ahead for each of them it is half a minute */
	assert_true((clock() - before) / CLOCKS_PER_SEC < 8);
}

static void test_verp_puts_the_recipient_into_the_sender(void **state)
{
	(void) state;
	assert_str(verp_sender(arena, STR("owner-list@o"), STR("+="), STR("u+x@d")), "owner-list+u+x=d@o");
	assert_str(verp_sender(arena, STR("list"), STR("-+"), STR("u@d")), "list-u+d");
	assert_str(verp_sender(arena, STR("list@o"), STR("+="), STR("u")), "list+u@o");
	assert_str(verp_sender(arena, STR_NONE, STR("+="), STR("u@d")), "");
	assert_str(verp_sender(arena, STR("list@o"), STR_NONE, STR("u@d")), "list@o");
	assert_true(verp_delimiters_are_valid(STR("+="), "-=+"));
	assert_false(verp_delimiters_are_valid(STR("+x"), "-=+"));
	assert_false(verp_delimiters_are_valid(STR("+"), "-=+"));
	assert_false(verp_delimiters_are_valid(STR("+=-"), "-=+"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verp_puts_the_recipient_into_the_sender),
		cmocka_unit_test(test_lists_in_tables_are_separated_by_commas_or_blanks),
		cmocka_unit_test(test_a_lenient_list_gets_over_brackets_that_do_not_match),
		cmocka_unit_test(test_a_list_without_commas_takes_no_longer_than_one_with_them),
		cmocka_unit_test(test_paths_are_read_as_rfc_5321_has_them_and_leniently_when_allowed),
		cmocka_unit_test(test_a_nul_byte_is_refused),
		cmocka_unit_test(test_utf8_addresses_need_smtputf8_and_well_formed_text),
		cmocka_unit_test(test_overlong_parts_are_told_from_bad_syntax),
		cmocka_unit_test(test_local_parts_are_quoted_only_when_they_must_be),
		cmocka_unit_test(test_quoting_never_lets_a_line_end_through_or_leaves_half_an_address),
		cmocka_unit_test(test_what_was_parsed_prints_and_parses_to_the_same),
		cmocka_unit_test(test_extensions_are_split_at_the_first_delimiter_but_not_off_special_names),
		cmocka_unit_test(test_header_addresses_are_found_in_all_their_forms),
		cmocka_unit_test(test_unparsable_header_addresses_are_skipped_to_the_next_comma),
		cmocka_unit_test(test_half_a_million_addresses_take_no_quadratic_time),
		cmocka_unit_test(test_host_names_and_literals_are_checked),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
