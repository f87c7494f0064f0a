/* SPDX-License-Identifier: ISC */
/* Canonical mapping, masquerading, and what must hold for any address that is rewritten. */
#include "tests/unit.h"

#include <errno.h>

#include "lib/mail/mail_address.h"
#include "lib/route/route_for_test.h"

static void expect(unsigned use_, const char *address, const char *expected)
{
	struct str result = STR_NONE;
	int r = route_canonical(route, arena, use_, str_of(address), &result);

	if (r < 0)
		fail_msg("%s: %d: %s", address, r, route_why(route));
	assert_int_equal(r, strcmp(address, expected) != 0);
	if (r > 0)
		assert_str(result, expected);
}

static void expect_error(const char *address, int error, const char *words)
{
	struct str result = STR("untouched");

	assert_int_equal(route_canonical(route, arena, USE_HEADER_SENDER, str_of(address), &result), error);
	assert_str(result, "untouched");
	if (strstr(route_why(route), words) == NULL)
		fail_msg("%s", route_why(route));
}

#define MAPS \
	"recipient_delimiter = +\n" "canonical_maps = inline:{ {a@x.example = b@y.example} {b@y.example = c} {c@mail.example.com = d@y.example}" \
	" {@whole.example = @other.example} {@all.example = one@y.example} {self@x.example = Self@x.example} {two@x.example = 1@y.example, 2@y.example}" \
	" {joe = Joe.User@y.example} {\"q r\"@x.example = \"s t\"@y.example} }\n" \
	"sender_canonical_maps = inline:{ {s@x.example = a@x.example} }\n" \
	"recipient_canonical_maps = inline:{ {r@x.example = a@x.example} }\n"

static void test_addresses_are_mapped_until_nothing_is_found(void **state)
{
	(void) state;
	use(MAPS);
	for (unsigned use_ = USE_ENVELOPE_SENDER; use_ <= USE_HEADER_RECIPIENT; use_ <<= 1) {
		expect(use_, "a@x.example", "d@y.example");
		expect(use_, "A+ext@X.example", "d+ext@y.example");
		expect(use_, "user+ext@whole.example", "user+ext@other.example");
		expect(use_, "user+ext@all.example", "one@y.example");
		expect(use_, "self@x.example", "Self@x.example");
		expect(use_, "two@x.example", "1@y.example");
		expect(use_, "joe@mail.example.com", "Joe.User@y.example");
		expect(use_, "joe@elsewhere.example", "joe@elsewhere.example");
		expect(use_, "q r@x.example", "s t@y.example");
		expect(use_, "", "");
		expect(use_, "unknown", "unknown");
	}
	expect(USE_HEADER_SENDER, "s@x.example", "d@y.example");
	expect(USE_HEADER_RECIPIENT, "s@x.example", "s@x.example");
	expect(USE_ENVELOPE_RECIPIENT, "r@x.example", "d@y.example");
	expect(USE_ENVELOPE_SENDER, "r@x.example", "r@x.example");
}

static void test_classes_say_where(void **state)
{
	AUTO(buf) why = BUF_WORDS;

	(void) state;
	use(MAPS "canonical_classes = header_recipient\nsender_canonical_classes = header_sender\npropagate_unmatched_extensions = virtual\n");
	expect(USE_ENVELOPE_RECIPIENT, "a@x.example", "a@x.example");
	expect(USE_HEADER_RECIPIENT, "a+ext@x.example", "d@y.example");
	expect(USE_ENVELOPE_SENDER, "s@x.example", "s@x.example");
	expect(USE_HEADER_SENDER, "s@x.example", "a@x.example");
	expect(USE_HEADER_RECIPIENT, "user+ext@whole.example", "user+ext@other.example");
	assert_int_equal(open_with("masquerade_classes = header_sender, headers", &why), -EINVAL);
	assert_str(buf_str(&why), "masquerade_classes: unknown class \"headers\"");
	buf_clear(&why);
	assert_int_equal(open_with("propagate_unmatched_extensions = virtual, headers", &why), -EINVAL);
	assert_str(buf_str(&why), "propagate_unmatched_extensions: unknown class \"headers\"");
}

static void test_loops_and_failing_tables_are_errors(void **state)
{
	(void) state;
	use("canonical_maps = inline:{ {a@x.example = b@x.example} {b@x.example = a@x.example} {n@x.example = two, <words} }\n");
	expect_error("a@x.example", -ELOOP, "unreasonable canonical_maps map nesting for a@x.example");
	expect_error("n@x.example", -EBADMSG, "two, <words");
	use("canonical_maps = fail:broken\n");
	expect_error("a@x.example", -EIO, "canonical_maps");
	use("masquerade_domains = x.example\nmasquerade_exceptions = fail:broken\n");
	expect_error("a@b.x.example", -EIO, "masquerade_exceptions");
}

static void test_hosts_are_masqueraded(void **state)
{
	(void) state;
	use("masquerade_domains = !keep.example.com !!Foo.example.com example.com, x.example.org\nmasquerade_exceptions = root, Daemon\n");
	expect(USE_HEADER_SENDER, "user@host.example.com", "user@example.com");
	expect(USE_HEADER_SENDER, "user@A.B.EXAMPLE.COM", "user@example.com");
	expect(USE_HEADER_SENDER, "user@example.com", "user@example.com");
	expect(USE_HEADER_SENDER, "user@Example.Com", "user@Example.Com");
	expect(USE_HEADER_SENDER, "user@a.keep.example.com", "user@a.keep.example.com");
	expect(USE_HEADER_SENDER, "user@keep.example.com", "user@keep.example.com");
	expect(USE_HEADER_SENDER, "user@x.foo.example.com", "user@Foo.example.com");
	expect(USE_HEADER_SENDER, "user@notexample.com", "user@notexample.com");
	expect(USE_HEADER_SENDER, "user@.example.com", "user@example.com");
	expect(USE_HEADER_SENDER, "root@host.example.com", "root@host.example.com");
	expect(USE_HEADER_SENDER, "Root@host.example.com", "Root@host.example.com");
	expect(USE_HEADER_SENDER, "user@host.x.example.org", "user@x.example.org");
	expect(USE_HEADER_SENDER, "user", "user");
	expect(USE_HEADER_RECIPIENT, "user@host.example.com", "user@example.com");
	expect(USE_ENVELOPE_SENDER, "user@host.example.com", "user@example.com");
	expect(USE_ENVELOPE_RECIPIENT, "user@host.example.com", "user@host.example.com");
}

/* ---- for any address ---- */

static uint64_t seed;

static unsigned draw(unsigned below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned) (seed >> 33) % below;
}

static struct str random_address(void)
{
	static const char *const words[] = { "a", "user", "host", "b.example", "mail.example.com", "@", "!",
					     "%", "+", ".", " ", "\"", "\\", "x@y",
					     "example.com", "[192.0.2.1]", "\303\274", "-" };
	AUTO(buf) b = BUF(1000);

	for (unsigned n = 1 + draw(7); n-- > 0;)
		buf_add_text(&b, words[draw(COUNT_OF(words))]);
	if (draw(2) == 0)
		buf_add_text(&b, "@host");
	return arena_copy(arena, buf_str(&b));
}

static void expect_standard_form(struct str address, bool local)
{
	struct str once = rewrite_address(route, arena, address, local);
	struct str twice = rewrite_address(route, arena, once, local);

	/*
	 * A dot at the end says that the domain is complete, and goes; only then it may seem
	 * incomplete afterwards.
	 */
	if (str_ends(address, STR(".")) || str_find_str(address, STR(".!")) >= 0 || str_ends(once, STR(".")))
		return;
	/* "!" and "%": nobody nowhere, which is the empty address */
	if (!str_is(once, twice) && !str_is(once, STR("@")))
		fail_msg("<%.*s> becomes <%.*s>, that becomes <%.*s>", PSTR(address), PSTR(once), PSTR(twice));
}

static void test_standard_form_stays_as_it_is(void **state)
{
	static const char *const configurations[] = {
		"recipient_delimiter = +\n",
		"append_dot_mydomain = yes\nmyorigin = origin.example\nremote_header_rewrite_domain = domain.invalid\n",
		"swap_bangpath = no\nallow_percent_hack = no\n",
		"masquerade_domains = example.com\ncanonical_maps = inline:{ {@b.example = @c.example} {user@host = x@y} {@y = user@mail.example.com} }\n",
	};
	const char *given = getenv("POSTROAD_SEED");
	uint64_t first = given != NULL ? strtoull(given, NULL, 0) : 20261123;

	(void) state;
	print_message("POSTROAD_SEED=%llu\n", (unsigned long long) first);
	seed = first;
	for (size_t i = 0; i < COUNT_OF(configurations); i++) {
		use(configurations[i]);
		for (int n = 0; n < 5000; n++) {
			struct str address = random_address(), mapped;

			expect_standard_form(address, true);
			expect_standard_form(address, false);
			mapped = rewrite_address(route, arena, address, true);
			if (route_canonical(route, arena, USE_HEADER_SENDER, mapped, &mapped) < 0)
				fail_msg("<%.*s>: %s", PSTR(mapped), route_why(route));
			assert_int_equal(route_canonical(route, arena, USE_HEADER_SENDER, mapped, &mapped),
					 0);
			arena_reset(arena);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_are_mapped_until_nothing_is_found),
		cmocka_unit_test(test_classes_say_where),
		cmocka_unit_test(test_loops_and_failing_tables_are_errors),
		cmocka_unit_test(test_hosts_are_masqueraded),
		cmocka_unit_test(test_standard_form_stays_as_it_is),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
