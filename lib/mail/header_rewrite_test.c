/* SPDX-License-Identifier: ISC */
/* Exchanging addresses in headers: by example, and what must hold for any header, on random ones. */
#include "tests/unit.h"
#include "tests/arena.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/mail/header.h"
#include "lib/mail/mail_address.h"

static struct str rewritten(struct str whole, header_rewriter *f, void *arg)
{
	struct str rest = whole, result = whole;
	struct header h;

	assert_int_equal(header_next(&rest, &h), 1);
	assert_int_equal(h.whole.len, whole.len);
	header_rewrite(&h, arena, 1000, f, arg, &result);
	return result;
}

/* ---- by example ---- */

/* "old" becomes "new@n.example", a name alone gets a domain. */
static int exchange(void *arg, const struct header_mailbox *box, struct str *ret)
{
	(void) arg;
	if (str_is(box->address, STR("old@o.example")))
		*ret = STR("new one@n.example");
	else if (box->address.len > 0 && str_find(box->address, '@') < 0)
		*ret = arena_fmt(arena, "%.*s@d.example", PSTR(box->address));
	else
		return 0;
	return 1;
}

static void test_only_the_address_changes(void **state)
{
	static const struct { const char *before, *after; } cases[] = {
		{ "To: old@o.example", "To: \"new one\"@n.example" },
		{ "To:old@o.example", "To:\"new one\"@n.example" },
		{ "to :\told@o.example  ", "to :\t\"new one\"@n.example  " },
		{ "To: x@y, Old <old@o.example> (c),\n\tz@y",
		  "To: x@y, Old <\"new one\"@n.example> (c),\n\tz@y" },
		{ "To: \"old@o.example\" <old@o.example>", "To: \"old@o.example\" <\"new one\"@n.example>" },
		{ "To: (old@o.example) old@o.example", "To: (old@o.example) \"new one\"@n.example" },
		{ "To: g: old@o.example, b;, c", "To: g: \"new one\"@n.example, b@d.example;, c@d.example" },
		{ "To: < old@o.example >", "To: < \"new one\"@n.example >" },
		{ "To: <@r.example:old@o.example>", "To: <\"new one\"@n.example>" },
		{ "To: <@r.example:x@y>", "To: <@r.example:x@y>" },
		{ "To: old (a) @ (b\\) (c))\n o.example (d)", "To: \"new one\"@n.example (a) (b\\) (c)) (d)" },
		{ "To: \"ol\\d\"@o.example", "To: \"new one\"@n.example" },
		{ "To: \"a b\" (c)", "To: \"a b\"@d.example (c)" },
		{ "To: \"a b\"", "To: \"a b\"@d.example" },
		{ "To: a . b", "To: a . b@d.example" },
		{ "To: a b", "To: a b" },
		{ "To: <a, b", "To: <a, b" },
		{ "To: <>, \"\"@x, ,", "To: <>, \"\"@x, ," },
		{ "To: ((, a", "To: ((, a" },
		{ "To:", "To:" },
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_str(rewritten(str_of(cases[i].before), exchange, NULL), cases[i].after);
}

static int refuse_it(void *arg, const struct header_mailbox *box, struct str *ret)
{
	(void) box;
	(void) ret;
	++*(int *) arg;
	return -EAGAIN;
}

static void test_an_error_stops_and_many_addresses_are_too_many(void **state)
{
	struct header h;
	struct str rest = STR("To: a, b, c\n"), result = STR("untouched");
	int calls = 0;

	(void) state;
	assert_int_equal(header_next(&rest, &h), 1);
	assert_int_equal(header_rewrite(&h, arena, 10, refuse_it, &calls, &result), -EAGAIN);
	assert_int_equal(calls, 1);
	assert_str(result, "untouched");
	assert_int_equal(header_rewrite(&h, arena, 2, exchange, NULL, &result), 1);
	assert_str(result, "To: a@d.example, b@d.example, c");
}

static int to_something_unprintable(void *arg, const struct header_mailbox *box, struct str *ret)
{
	(void) arg;
	(void) box;
	*ret = STR("a\nb@c");
	return 1;
}

static void test_what_cannot_be_printed_is_not(void **state)
{
	(void) state;
	assert_str(rewritten(STR("To: a@b"), to_something_unprintable, NULL), "To: a@b");
	assert_str(rewritten(STR("To: a"), to_something_unprintable, NULL), "To: a");
}

static void test_roles_are_those_of_rfc_5322_and_its_relatives(void **state)
{
	(void) state;
	assert_int_equal(header_role(STR("FROM")), NAMES_SENDER);
	assert_int_equal(header_role(STR("resent-to")), NAMES_RECIPIENTS);
	assert_int_equal(header_role(STR("subject")), NO_ADDRESSES);
	assert_int_equal(header_role(STR("fro")), NO_ADDRESSES);
	assert_int_equal(header_role(STR_NONE), NO_ADDRESSES);
}

/* ---- for any header ---- */

static uint64_t seed;

static unsigned draw(unsigned below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned) (seed >> 33) % below;
}

static void add_one_of(struct buf *b, const char *const *list, size_t n)
{
	buf_add_text(b, list[draw((unsigned) n)]);
}

#define ADD_ONE_OF(b, list) add_one_of(b, list, COUNT_OF(list))

static void add_blank(struct buf *b)
{
	static const char *const blanks[] = { "", "", "", " ", "  ", "\t", "\n ", " (c)", "(a (b) \\) \"x)",
					      "\n\t(c,d)\n " };

	ADD_ONE_OF(b, blanks);
}

static void add_mailbox(struct buf *b)
{
	static const char *const locals[] = { "a", "user", "x.y", "a!b", "a%b", "\"a b\"", "\"a\\\"b\"",
					      "\"a@b\"", "\"\"", "o'x+y", "\"x.y\"",
					      "\303\274", "a.\"b c\"", "-", "a..b", "" };
	static const char *const domains[] = { "@h", "@a.example", "@[192.0.2.1]", "@[IPv6:::1]",
					       "@a.example.", "@", "", "", "@b\303\274", "@x..y" };
	static const char *const before[] = { "", "", "John ", "\"Doe, J\" ", "=?utf-8?q?x?= ", "g: ",
					      "<@r:", "<@r,@s.t:", "(x) " };
	bool angle = draw(2) == 0;

	ADD_ONE_OF(b, before);
	add_blank(b);
	if (angle)
		buf_add_byte(b, '<');
	add_blank(b);
	ADD_ONE_OF(b, locals);
	add_blank(b);
	ADD_ONE_OF(b, domains);
	add_blank(b);
	if (angle || draw(8) == 0)
		buf_add_byte(b, '>');
	add_blank(b);
}

/* Sometimes a header as people write it, sometimes one with bytes knocked out of it. */
static struct str random_header(void)
{
	AUTO(buf) b = BUF(1 << 16);

	buf_add_text(&b, "To:");
	for (unsigned n = draw(5); n-- > 0;) {
		add_mailbox(&b);
		buf_add_text(&b, draw(6) == 0 ? ";" : ",");
	}
	add_mailbox(&b);
	if (b.len > 3 && draw(3) == 0)
		b.at[3 + draw((unsigned) b.len - 3)] = ",;:<>()[]\"\\@. x"[draw(15)];
	/* one logical header: every line after the first begins with a blank */
	for (size_t i = 0; i + 1 < b.len; i++)
		if (b.at[i] == '\n' && b.at[i + 1] != ' ' && b.at[i + 1] != '\t')
			b.at[i + 1] = ' ';
	if (b.at[b.len - 1] == '\n')
		b.at[b.len - 1] = ' ';
	return arena_copy(arena, buf_str(&b));
}

struct seen { struct str at[64]; size_t len; };

static int note(void *arg, const struct header_mailbox *box, struct str *ret)
{
	struct seen *seen = arg;

	(void) ret;
	assert_true(seen->len < COUNT_OF(seen->at));
	seen->at[seen->len++] = box->address;
	return 0;
}

static int print_anew(void *arg, const struct header_mailbox *box, struct str *ret)
{
	(void) arg;
	*ret = box->address;
	return 1;
}

static int complete(void *arg, const struct header_mailbox *box, struct str *ret)
{
	(void) arg;
	if (box->address.len == 0 || str_find(box->address, '@') >= 0)
		return 0;
	*ret = arena_fmt(arena, "%.*s@d.example", PSTR(box->address));
	return 1;
}

static struct seen addresses_of(struct str whole)
{
	struct seen seen = { .len = 0 };

	assert_str(rewritten(whole, note, &seen), str_c(arena, whole));
	return seen;
}

static void expect_same(struct str whole, struct seen before, struct seen after)
{
	if (before.len != after.len)
		fail_msg("%zu addresses became %zu in: %.*s", before.len, after.len, PSTR(whole));
	for (size_t i = 0; i < before.len; i++)
		if (!str_is(before.at[i], after.at[i]))
			fail_msg("<%.*s> became <%.*s> in: %.*s", PSTR(before.at[i]),
				 PSTR(after.at[i]), PSTR(whole));
}

static void test_what_is_printed_is_read_as_the_same_and_completing_twice_is_completing_once(void **state)
{
	const char *given = getenv("POSTROAD_SEED");
	uint64_t first = given != NULL ? strtoull(given, NULL, 0) : 20261123;

	(void) state;
	print_message("POSTROAD_SEED=%llu\n", (unsigned long long) first);
	seed = first;
	for (int i = 0; i < 20000; i++) {
		struct str whole = random_header(), once, twice;
		struct seen before = addresses_of(whole), after;

		expect_same(whole, before, addresses_of(rewritten(whole, print_anew, NULL)));
		once = rewritten(whole, complete, NULL);
		twice = rewritten(once, complete, NULL);
		assert_str(twice, str_c(arena, once));
		after = addresses_of(once);
		for (size_t k = 0; k < before.len; k++)
			if (before.at[k].len > 0 && str_find(before.at[k], '@') < 0)
				before.at[k] = arena_fmt(arena, "%.*s@d.example", PSTR(before.at[k]));
		expect_same(whole, before, after);
		arena_reset(arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_the_address_changes),
		cmocka_unit_test(test_an_error_stops_and_many_addresses_are_too_many),
		cmocka_unit_test(test_what_cannot_be_printed_is_not),
		cmocka_unit_test(test_roles_are_those_of_rfc_5322_and_its_relatives),
		cmocka_unit_test(test_what_is_printed_is_read_as_the_same_and_completing_twice_is_completing_once),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
