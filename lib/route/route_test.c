/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <errno.h>

#include "lib/mail/mail_address.h"
#include "lib/route/route_for_test.h"
#include "lib/route/route_cases.h"

/* ---- against the answers of another mail system ---- */

static struct str rewrite_external(const char *external, bool local)
{
	AUTO(buf) b = BUF(1000);
	struct str address;

	assert_int_equal(address_unquote(str_of(external), arena, &address), 0);
	assert_int_equal(address_quote_822(&b, rewrite_address(route, arena, address, local)), 0);
	return arena_copy(arena, buf_str(&b));
}

static void test_addresses_are_rewritten_as_trivial_rewrite_does(void **state)
{
	(void) state;
	for (size_t i = 0; i < COUNT_OF(rewrite_cases); i++) {
		const struct rewrite_case *c = &rewrite_cases[i];
		const char *nothing = "\"\"";

		if (c->configuration != NULL)
			use(c->configuration);
		assert_str(rewrite_external(c->in, true), strcmp(c->local, nothing) == 0 ? "" : c->local);
		assert_str(rewrite_external(c->in, false), strcmp(c->remote, nothing) == 0 ? "" : c->remote);
	}
}

static void check_resolve(const struct resolve_case *c)
{
	struct resolution res;

	if (resolve_address(route, arena, str_of(c->sender), str_of(c->recipient), &res) != 0)
		fail_msg("%s: %s", c->recipient, route_why(route));
	if (!str_is(res.transport, str_of(c->transport)) || !str_is(res.nexthop, str_of(c->nexthop))
	    || (c->result != NULL && !str_is(res.recipient, str_of(c->result))) || res.class != c->class
	    || (c->result != NULL && res.is_routed != c->is_routed))
		fail_msg("<%s> from <%s>: %.*s %.*s %.*s class %d routed %d, expected %s %s %s class %d routed %d",
			 c->recipient, c->sender, PSTR(res.transport), PSTR(res.nexthop), PSTR(res.recipient),
			 res.class, res.is_routed, c->transport, c->nexthop, c->result, c->class,
			 c->is_routed);
}

static void test_recipients_are_resolved_as_trivial_rewrite_does(void **state)
{
	(void) state;
	for (size_t i = 0; i < COUNT_OF(resolve_cases); i++) {
		if (resolve_cases[i].configuration != NULL)
			use(resolve_cases[i].configuration);
		check_resolve(&resolve_cases[i]);
	}
}

/* ---- the rest ---- */

static void test_a_failing_table_or_list_is_never_an_answer(void **state)
{
	static const char *const settings[] = {
		"mydestination = fail:x", "virtual_alias_domains = fail:x",
		"virtual_mailbox_domains = fail:x", "relay_domains = fail:x",
		"transport_maps = fail:x", "relocated_maps = fail:x",
		"sender_dependent_relayhost_maps = fail:x",
		"sender_dependent_default_transport_maps = fail:x",
		"transport_maps = inline:{ {x = y} } fail:x",
	};
	struct resolution res;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(settings); i++) {
		use(settings[i]);
		assert_true(resolve_address(route, arena, STR("s@s.example"), STR("a@b.example"), &res) < 0);
		assert_true(strlen(route_why(route)) > 5);
	}
}

static void check_next_hop(const char *configuration, const char *nexthop)
{
	struct resolution res;

	use(configuration);
	assert_int_equal(resolve_address(route, arena, STR("[192.0.2.9]:26@s.example"),
					 STR("[192.0.2.9]:25@far.example"), &res), 0);
	assert_str(res.nexthop, nexthop);
}

/* "/(.*)@/ smtp:$1" would send mail wherever a stranger's address says. */
static void test_what_stands_in_an_address_does_not_become_a_next_hop(void **state)
{
	(void) state;
	check_next_hop("transport_maps = regexp:{ { /([^\"]*)\"?@far/ smtp:$$1 } { /far/ smtp:[hub] } }", "[hub]");
	check_next_hop("sender_dependent_relayhost_maps = regexp:{ { /^\"?(.*)@/ $$1 } { /./ [hub] } }", "[hub]");
	check_next_hop("sender_dependent_default_transport_maps = regexp:{ { /^\"?(.*)@/ smtp:$$1 } { /./ smtp:[hub] } }",
		       "[hub]");
}

static void check_exists(const char *address, int expected, const char *text)
{
	struct resolution res;
	struct str why = STR_NONE;
	int r;

	assert_int_equal(resolve_address(route, arena, STR_NONE, str_of(address), &res), 0);
	r = recipient_exists(route, arena, str_of(address), &res, &why);
	if (r != expected)
		fail_msg("%s: %d, expected %d", address, r, expected);
	if (r == 0)
		assert_str(why, text);
}

static void test_recipients_are_looked_up_in_the_table_of_their_class(void **state)
{
	(void) state;
	use("recipient_delimiter = +\n"
	    "local_recipient_maps = inline:{ {joe = x} {ann@mail.example.com = x} }\n"
	    "relay_domains = relay.example\n" "relay_recipient_maps = inline:{ {r@relay.example = x} }\n"
	    "virtual_mailbox_domains = box.example open.example\n"
	    "virtual_mailbox_maps = inline:{ {b@box.example = x} {@open.example = x} }\n"
	    "virtual_alias_domains = alias.example\n"
	    "virtual_alias_maps = inline:{ {v@alias.example = x} {vlocal@mail.example.com = x} }\n"
	    "canonical_maps = inline:{ {old@mail.example.com = joe} }\n"
	    "transport_maps = inline:{ {closed.example = error:5.7.1 closed} }\n");
	check_exists("joe", 1, NULL);
	check_exists("joe@mail.example.com", 1, NULL);
	check_exists("joe+x@localhost", 1, NULL);
	check_exists("JOE@[127.0.0.1]", 1, NULL);
	check_exists("ann@mail.example.com", 1, NULL);
	check_exists("ann@localhost", 0, "User unknown in local recipient table");
	check_exists("nobody", 0, "User unknown in local recipient table");
	check_exists("Postmaster", 1, NULL);
	check_exists("postmaster@mail.example.com", 1, NULL);
	check_exists("double-bounce@mail.example.com", 1, NULL);
	check_exists("vlocal@mail.example.com", 1, NULL);
	check_exists("old@mail.example.com", 1, NULL);
	check_exists("r@relay.example", 1, NULL);
	check_exists("x@relay.example", 0, "User unknown in relay recipient table");
	check_exists("postmaster@relay.example", 0, "User unknown in relay recipient table");
	check_exists("b+x@box.example", 1, NULL);
	check_exists("x@box.example", 0, "User unknown in virtual mailbox table");
	check_exists("x@open.example", 1, NULL);
	check_exists("v+x@alias.example", 1, NULL);
	check_exists("x@alias.example", 0, "5.1.1 User unknown in virtual alias table");
	check_exists("x@closed.example", 0, "5.7.1 closed");
	check_exists("x@elsewhere.example", 1, NULL);
	use("show_user_unknown_table_name = no\n" "local_recipient_maps = inline:{ {joe = x} }\n");
	check_exists("nobody", 0, "User unknown");
	use("local_recipient_maps =\n");
	check_exists("nobody", 1, NULL);
}

static void test_existence_that_cannot_be_told_is_an_error(void **state)
{
	struct resolution res;
	struct str text;

	(void) state;
	use("local_recipient_maps = fail:x\n");
	assert_int_equal(resolve_address(route, arena, STR_NONE, STR("joe"), &res), 0);
	assert_true(recipient_exists(route, arena, STR("joe"), &res, &text) < 0);
	use("virtual_alias_maps = fail:x\n" "virtual_alias_domains =\n");
	assert_int_equal(resolve_address(route, arena, STR_NONE, STR("joe"), &res), 0);
	assert_true(recipient_exists(route, arena, STR("joe"), &res, &text) < 0);
}

static void check_expansion(const char *address, int error, const char *expected)
{
	AUTO(buf) b = BUF(100000);
	struct str_list list;
	int r = expand_virtual_alias(route, arena, str_of(address), &list);

	if (r != error)
		fail_msg("%s: %d (%s), expected %d", address, r, route_why(route), error);
	if (r < 0) {
		assert_true(strlen(route_why(route)) > 5);
		return;
	}
	for (size_t i = 0; i < list.count; i++)
		buf_addf(&b, "%s%.*s", i == 0 ? "" : " ", PSTR(list.at[i]));
	assert_str(buf_str(&b), expected);
}

#define ALIASES \
	"virtual_alias_maps = inline:{ {one@v.example = two@v.example} {two@v.example = three@x.example, four} " \
	"{four@mail.example.com = five@x.example} {self@v.example = self@v.example, other@x.example} {@old.example = @new.example} " \
	"{loop1@v.example = loop2@v.example} {loop2@v.example = loop1@v.example} {@catch.example = all@x.example} " \
	"{grow@v.example = grow@v.example.x} {quoted@v.example = \"a b\"@x.example} {bad@v.example = two words} {worse@v.example = <two} " \
	"{local = user} {case@v.example = Case@V.Example} {list@v.example = a@x.example b} " \
	"{both@v.example = @x.example, other@y.example} {same@v.example = @x.example} {chain@v.example = one@v.example} }\n"

static void test_virtual_aliases_are_expanded_to_the_end(void **state)
{
	(void) state;
	use("recipient_delimiter = +\n" ALIASES);
	check_expansion("nobody@v.example", 0, "nobody@v.example");
	check_expansion("", 0, "");
	check_expansion("one@v.example", 0, "three@x.example five@x.example");
	check_expansion("ONE@V.example", 0, "three@x.example five@x.example");
	check_expansion("one+ext@v.example", 0, "three+ext@x.example five+ext@x.example");
	check_expansion("self@v.example", 0, "self@v.example other@x.example");
	check_expansion("case@v.example", 0, "Case@V.Example");
	check_expansion("joe@old.example", 0, "joe@new.example");
	check_expansion("joe+ext@old.example", 0, "joe+ext@new.example");
	check_expansion("joe+ext@catch.example", 0, "all@x.example");
	check_expansion("local@mail.example.com", 0, "user@mail.example.com");
	check_expansion("local@elsewhere.example", 0, "local@elsewhere.example");
	check_expansion("quoted@v.example", 0, "a b@x.example");
	check_expansion("bad@v.example", 0, "two@mail.example.com words@mail.example.com");
	check_expansion("list@v.example", 0, "a@x.example b@mail.example.com");
	check_expansion("worse@v.example", -EBADMSG, NULL);
	check_expansion("both@v.example", 0, "both@x.example other@y.example");
	check_expansion("both+ext@v.example", 0, "both+ext@x.example other+ext@y.example");
	check_expansion("two words@old.example", 0, "two words@new.example");
	use("recipient_delimiter = +\n" "propagate_unmatched_extensions = canonical\n" ALIASES);
	check_expansion("one+ext@v.example", 0, "three@x.example five@x.example");
	check_expansion("joe+ext@old.example", 0, "joe+ext@new.example");
	check_expansion("same+ext@v.example", 0, "same@x.example");
}

static void test_alias_loops_and_floods_end_at_the_limits(void **state)
{
	AUTO(buf) text = BUF(1 << 20);

	(void) state;
	use(ALIASES);
	check_expansion("loop1@v.example", -ELOOP, NULL);
	/* so many look-ups, the last of which must find nothing */
	use("virtual_alias_recursion_limit = 2\n" ALIASES);
	check_expansion("one@v.example", -ELOOP, NULL);
	check_expansion("two@v.example", 0, "three@x.example five@x.example");
	check_expansion("catch@catch.example", 0, "all@x.example");
	check_expansion("self@v.example", 0, "self@v.example other@x.example");
	buf_add_text(&text, "virtual_alias_expansion_limit = 10\nvirtual_alias_maps = inline:{ {list@v.example = ");
	for (int i = 0; i < 10; i++)
		buf_addf(&text, "%suser%d@x.example", i == 0 ? "" : ", ", i);
	buf_add_text(&text, "} {more@v.example = list@v.example, one@x.example} {tree@v.example = tree@v.example., tree@v.example} }\n");
	use(buf_text(&text));
	check_expansion("list@v.example", 0,
			"user0@x.example user1@x.example user2@x.example user3@x.example user4@x.example user5@x.example "
			"user6@x.example user7@x.example user8@x.example user9@x.example");
	check_expansion("more@v.example", -E2BIG, NULL);
	use("virtual_alias_address_length_limit = 20\nvirtual_alias_maps = inline:{ {a@b.example = a123456789@b123456789.example} }\n");
	check_expansion("a@b.example", -E2BIG, NULL);
	use("virtual_alias_maps = fail:x\nvirtual_alias_domains =\n");
	check_expansion("a@b.example", -EIO, NULL);
}

static void test_a_result_of_a_million_addresses_is_refused_within_the_memory_there_is(void **state)
{
	char path[] = "/tmp/route_test.XXXXXX", settings[100];
	int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");

	(void) state;
	assert_non_null(file);
	fputs("many@v.example ", file);
	for (int i = 0; i < 1000000; i++)
		fputs("a,", file);
	fputs("a\n", file);
	fclose(file);
	snprintf(settings, sizeof(settings), "virtual_alias_maps = texthash:%s\n", path);
	use(settings);
	check_expansion("many@v.example", -E2BIG, NULL);
	unlink(path);
}

static void test_a_domain_that_cannot_be_one_is_refused_within_the_memory_there_is(void **state)
{
	AUTO(buf) text = BUF(1 << 20);
	struct arena *small = arena_new("test", NULL, 1500000);
	struct str_list list;

	(void) state;
	buf_add_byte(&text, '@');
	while (text.len < 1000000)
		buf_add_byte(&text, 'a');
	use("");
	assert_int_equal(route_map_result(route, small, STR("a@b.example"), buf_str(&text), STR_NONE, false,
					  &list), -EBADMSG);
	assert_non_null(strstr(route_why(route),
			       "the result for a@b.example is no list of addresses: @aaaa"));
	arena_free(small);
}

static void test_own_addresses_are_known(void **state)
{
	struct address_ip ip;

	(void) state;
	use("proxy_interfaces = 192.0.2.99\n");
	assert_int_equal(ip_parse(STR("127.0.0.1"), &ip), 0);
	assert_true(is_own_address(route, &ip));
	assert_int_equal(ip_parse(STR("192.0.2.99"), &ip), 0);
	assert_true(is_own_address(route, &ip));
	assert_int_equal(ip_parse(STR("192.0.2.98"), &ip), 0);
	assert_false(is_own_address(route, &ip));
	assert_int_equal(domain_class(route, arena, STR("[192.0.2.99]")), CLASS_LOCAL);
	assert_int_equal(domain_class(route, arena, STR("Mail.Example.Com.")), CLASS_LOCAL);
	assert_int_equal(domain_class(route, arena, STR("x.example")), CLASS_OTHER);
}

static void test_an_international_domain_is_the_same_in_both_forms(void **state)
{
	(void) state;
	use("mydestination = b\xc3\xbc"
	    "cher.example\nrelay_domains = xn--mnchen-3ya.example\nvirtual_alias_domains = inline:{ {f\xc3\xbc" "r.example = x} }\n");
	assert_int_equal(domain_class(route, arena, STR("b\xc3\xbc" "cher.example")), CLASS_LOCAL);
	assert_int_equal(domain_class(route, arena, STR("B\xc3\x9c" "CHER.Example.")), CLASS_LOCAL);
	assert_int_equal(domain_class(route, arena, STR("xn--bcher-kva.example")), CLASS_LOCAL);
	assert_int_equal(domain_class(route, arena, STR("m\xc3\xbcnchen.example")), CLASS_RELAY);
	assert_int_equal(domain_class(route, arena, STR("XN--MNCHEN-3YA.example")), CLASS_RELAY);
	assert_int_equal(domain_class(route, arena, STR("xn--fr-xka.example")), CLASS_VIRTUAL_ALIAS);
	assert_int_equal(domain_class(route, arena, STR("xn--bchr-kva.example")), CLASS_OTHER);
	assert_int_equal(domain_class(route, arena, STR("xn--\xff.example")), CLASS_OTHER);
	use("mydestination = fail:x\n");
	assert_true(domain_class(route, arena, STR("b\xc3\xbc" "cher.example")) < 0);
}

/*
 * The road of an ordinary message must not cost memory: a thousand resolutions with the default
 * configuration stay small.
 */
static void test_resolving_costs_little_memory(void **state)
{
	struct arena *small = arena_new("small", NULL, 1 << 20);
	struct resolution res;

	(void) state;
	use("");
	for (int i = 0; i < 1000; i++) {
		struct str full = rewrite_address(route, small, STR("user@remote.example"), true);

		assert_int_equal(resolve_address(route, small, STR("a@b.example"), full, &res), 0);
	}
	assert_int_equal(arena_used(small), 0);
	assert_int_equal(resolve_address(route, small, STR_NONE, STR("user@mail.example.com"), &res), 0);
	assert_true(arena_used(small) < 200);
	arena_free(small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_are_rewritten_as_trivial_rewrite_does),
		cmocka_unit_test(test_recipients_are_resolved_as_trivial_rewrite_does),
		cmocka_unit_test(test_a_failing_table_or_list_is_never_an_answer),
		cmocka_unit_test(test_what_stands_in_an_address_does_not_become_a_next_hop),
		cmocka_unit_test(test_recipients_are_looked_up_in_the_table_of_their_class),
		cmocka_unit_test(test_existence_that_cannot_be_told_is_an_error),
		cmocka_unit_test(test_virtual_aliases_are_expanded_to_the_end),
		cmocka_unit_test(test_alias_loops_and_floods_end_at_the_limits),
		cmocka_unit_test(test_a_result_of_a_million_addresses_is_refused_within_the_memory_there_is),
		cmocka_unit_test(test_a_domain_that_cannot_be_one_is_refused_within_the_memory_there_is),
		cmocka_unit_test(test_own_addresses_are_known),
		cmocka_unit_test(test_an_international_domain_is_the_same_in_both_forms),
		cmocka_unit_test(test_resolving_costs_little_memory),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
