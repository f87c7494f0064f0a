/* SPDX-License-Identifier: ISC */
/* The parts of smtpd that stand by themselves; the whole of it is tested by dialogues (tests/system). */
#include "tests/unit.h"
#include "tests/arena.h"

#include <errno.h>

#include "smtpd/client_count.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

static struct smtpd smtpd;
const struct smtpd *const the_smtpd = &smtpd;
static void a_refusal_fits_its_enhanced_code_to_its_reply_code(void **state)
{
	struct verdict v = reject(arena, 450, STR("5.7.25"), "cannot find %s", "you");

	(void) state;
	assert_int_equal(v.act, REJECT);
	assert_str(v.dsn, "4.7.25");
	assert_str(v.text, "cannot find you");
	assert_str(reject(arena, 554, STR("5.7.1"), "x").dsn, "5.7.1");
	assert_str(reject(arena, 554, STR("4.7.1"), "x").dsn, "5.7.1");
}

static void an_absurdly_long_refusal_is_replaced(void **state)
{
	char text[2000];

	(void) state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_str(reject(arena, 554, STR("5.7.1"), "%s", text).text, "Access denied");
}

static void names_with_an_inner_dot_and_literals_are_fully_qualified(void **state)
{
	(void) state;
	assert_true(is_fqdn(STR("host.example")));
	assert_true(is_fqdn(STR("host.example.")));
	assert_true(is_fqdn(STR("[192.0.2.1]")));
	assert_false(is_fqdn(STR("host")));
	assert_false(is_fqdn(STR("host.")));
	assert_false(is_fqdn(STR(".host")));
	assert_false(is_fqdn(STR("")));
}

static void filters_of_blocklists_are_four_numbers_or_sets(void **state)
{
	static const char *const good[] = { "list.example", "list.example=127.0.0.2",
					    "list.example=127.0.0.[2..11;100]",
					    "list.example=127.0.[0..255].[1;3]" };
	static const char *const bad[] = { "", "=127.0.0.1", "list.example=", "list.example=127.0.0",
					   "list.example=127.0.0.256",
					   "list.example=127.0.0.[2..]", "list.example=127.0.0.[9..2]",
					   "list.example=127.0.0.[1",
					   "list.example=127.0.0.1.1", "list.example=127.0.0.[1;;2]",
					   "list.example=127.0.0.-1", "list_ example" };
	struct dns_list *l;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_int_equal(dns_list_parse(arena, str_of(good[i]), &l), 0);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(dns_list_parse(arena, str_of(bad[i]), &l), -EINVAL);
}

static void ehlo_keywords_are_known_or_refused(void **state)
{
	AUTO(buf) why = BUF_WORDS;
	unsigned bits = 0;

	(void) state;
	assert_int_equal(ehlo_keywords_parse(STR("chunking, DSN\tsilent-discard starttls"), &bits, &why), 0);
	assert_int_equal(bits, EHLO_CHUNKING | EHLO_DSN | EHLO_SILENT | EHLO_STARTTLS);
	assert_int_equal(ehlo_keywords_parse(STR("dsn fast"), &bits, &why), -EINVAL);
	assert_string_equal(buf_text(&why), "unknown EHLO keyword \"fast\"");
}

/* ---- is it closed? ---- */

static const struct restriction *row(const char *name)
{
	for (const struct restriction *r = restrictions; r->name != NULL; r++)
		if (strcmp(r->name, name) == 0)
			return r;
	fail_msg("no restriction %s", name);
	return NULL;
}

static bool closes(const char *first, bool first_warns, const char *second)
{
	struct rule rules[2] = { { .row = row(first), .warn_only = first_warns }, { .row = row(second) } };
	struct rule_list list = { .name = "test", .count = 2, .rules = rules };

	return refuses_strangers(&list);
}

static void a_list_refuses_strangers_only_if_nothing_lets_them_through_before(void **state)
{
	(void) state;
	assert_true(closes("permit_mynetworks", false, "reject_unauth_destination"));
	assert_true(closes("permit_mynetworks", false, "defer_unauth_destination"));
	assert_true(closes("permit_mynetworks", false, "reject"));
	assert_true(closes("check_recipient_access", false, "defer"));
	assert_false(closes("permit", false, "reject_unauth_destination"));
	assert_false(closes("permit_mynetworks", false, "permit_auth_destination"));
	assert_false(closes("reject_unauth_destination", true, "permit_mynetworks"));
	assert_true(closes("reject_unauth_destination", true, "reject"));
}

static void every_restriction_has_its_function_and_stands_once(void **state)
{
	(void) state;
	for (const struct restriction *r = restrictions; r->name != NULL; r++) {
		assert_non_null(r->ask);
		assert_ptr_equal(row(r->name), r);
	}
}

/* ---- counting ---- */

static struct arena *names;

static struct str client(const char *text)
{
	struct address_ip ip;

	assert_int_equal(ip_parse(str_of(text), &ip), 0);
	return client_counted_as(names, &ip);
}

static void sessions_are_counted_by_network(void **state)
{
	struct str a, b, six, near, far;

	(void) state;
	names = arena_new("names", NULL, 1 << 16);
	smtpd.conf.smtpd_client_ipv4_prefix_length = 32;
	smtpd.conf.smtpd_client_ipv6_prefix_length = 84;
	a = client("192.0.2.1");
	b = client("192.0.2.2");
	six = client("2001:db8:0:0:0:f::1");
	near = client("2001:db8:0:0:0:1::2");
	far = client("2001:db8:0:0:1::1");
	assert_str(a, "192.0.2.1");
	assert_str(six, "2001:db8::/84");
	assert_int_equal(client_enters(a), 1);
	assert_int_equal(client_enters(a), 2);
	assert_int_equal(client_enters(b), 1);
	assert_int_equal(client_enters(six), 1);
	assert_int_equal(client_enters(near), 2);	/* the first 84 bits are the same */
	assert_int_equal(client_enters(far), 1);
	client_leaves(a);
	assert_int_equal(client_enters(a), 2);
	client_leaves(a);
	client_leaves(a);
	assert_int_equal(client_enters(a), 1);
	client_leaves(a);
	client_leaves(b);
	client_leaves(six);
	client_leaves(near);
	client_leaves(far);
	arena_free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refusal_fits_its_enhanced_code_to_its_reply_code),
		cmocka_unit_test(an_absurdly_long_refusal_is_replaced),
		cmocka_unit_test(names_with_an_inner_dot_and_literals_are_fully_qualified),
		cmocka_unit_test(filters_of_blocklists_are_four_numbers_or_sets),
		cmocka_unit_test(ehlo_keywords_are_known_or_refused),
		cmocka_unit_test(a_list_refuses_strangers_only_if_nothing_lets_them_through_before),
		cmocka_unit_test(every_restriction_has_its_function_and_stands_once),
		cmocka_unit_test(sessions_are_counted_by_network),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
