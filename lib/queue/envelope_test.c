/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <errno.h>

#include "lib/queue/queue.h"

static struct envelope sample(struct recipient *to, size_t n)
{
	return (struct envelope){ .sender = STR("alice@example.org"), .arrival_us = 1700000000123456,
				  .flags = ENVELOPE_8BITMIME,
				  .ret = RETURN_HEADERS, .envid = STR("id 1"), .full_name = STR("Alice"),
				  .client_name = STR("unknown"), .client_address = STR("192.0.2.1"),
				  .client_port = STR("4711"),
				  .client_helo = STR("x"), .client_protocol = STR("ESMTP"),
				  .reverse_name = STR("r.example"),
				  .sasl_method = STR("PLAIN"), .sasl_username = STR("al"),
				  .sasl_sender = STR("s@x"),
				  .message_id = STR("<1@x>"), .filter_transport = STR("smtp:[f]"),
				  .uid = 1000, .notify = NOTIFY_NEVER,
				  .recipient_count = n, .recipients = to };
}

static void an_envelope_survives_packing_with_all_its_attributes(void **state)
{
	struct recipient to[] = {
		{ .index = 0, .address = STR("bob@example.net"), .original = STR_NONE, .orcpt = STR_NONE },
		{ .index = 7, .address = STR("r\xc3\xa9" "mi@example.net"), .original = STR("rem@alias"),
		  .notify = NOTIFY_SUCCESS | NOTIFY_DELAY, .orcpt = STR("rfc822;rem@alias") },
	};
	struct envelope e = sample(to, 2), back;
	struct arena *a = arena_new("test", NULL, 1 << 20);
	AUTO(buf) packed = BUF(4096);
	AUTO(buf) again = BUF(4096);

	(void) state;
	assert_int_equal(envelope_pack(&e, &packed), 0);
	assert_int_equal(envelope_unpack(buf_str(&packed), a, &back), 0);
	assert_str(back.sender, "alice@example.org");
	assert_int_equal(back.arrival_us, 1700000000123456);
	assert_int_equal(back.ret, RETURN_HEADERS);
	assert_int_equal(back.uid, 1000);
	assert_int_equal(back.notify, NOTIFY_NEVER);
	assert_str(back.full_name, "Alice");
	assert_int_equal(back.recipient_count, 2);
	assert_int_equal(back.recipients[1].index, 7);
	assert_str(back.recipients[1].address, "r\xc3\xa9mi@example.net");
	assert_str(back.recipients[1].original, "rem@alias");
	assert_int_equal(back.recipients[1].notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
	assert_str(back.recipients[1].orcpt, "rfc822;rem@alias");
	assert_int_equal(envelope_pack(&back, &again), 0);
	assert_str(buf_str(&again), buf_text(&packed));
	arena_free(a);
}

static void a_control_character_in_any_attribute_is_refused(void **state)
{
	static const char *const bad[] = { "a\nto\t0\tevil@x\t\t0\t", "a\tb", "a\x7f", "\r" };
	AUTO(buf) packed = BUF(4096);

	(void) state;
	buf_add_text(&packed, "before");
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct recipient to = { .address = STR("b@x"), .original = STR_NONE, .orcpt = STR_NONE };
		struct envelope e = sample(&to, 1);

		e.sender = str_of(bad[i]);
		assert_int_equal(envelope_pack(&e, &packed), -EINVAL);
		e = sample(&to, 1);
		e.client_helo = str_of(bad[i]);
		assert_int_equal(envelope_pack(&e, &packed), -EINVAL);
		e = sample(&to, 1);
		to.address = str_of(bad[i]);
		assert_int_equal(envelope_pack(&e, &packed), -EINVAL);
		to.address = STR("b@x");
		to.orcpt = str_of(bad[i]);
		assert_int_equal(envelope_pack(&e, &packed), -EINVAL);
	}
	assert_str(buf_str(&packed), "before");
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
	struct recipient to = { .address = STR("b@x"), .original = STR_NONE, .orcpt = STR_NONE };
	struct envelope e = sample(&to, 1);
	AUTO(buf) packed = BUF(60);

	(void) state;
	assert_int_equal(envelope_pack(&e, &packed), -EMSGSIZE);
	assert_int_equal(packed.len, 0);
}

static void what_is_no_envelope_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "sender", "sender\ta@b", "to\t0\tb@x\t\t0\t\n", "sender\t\nto\t0\tb@x\n",
		"sender\t\nto\t-1\tb@x\t\t0\t\n",
		"sender\t\nto\t0\tb@x\t\t16\t\n", "sender\t\narrival\tsoon\n",
		"sender\t\nuid\t99999999999999999999\n",
		"sender\ta\rb\n", "sender\t\nto\t0\tb@x\t\t0\tx\x01\n", "sender\t\njunk\n",
	};
	struct arena *a = arena_new("test", NULL, 1 << 20);
	struct envelope e;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(envelope_unpack(str_of(bad[i]), a, &e), -EBADMSG);
	arena_free(a);
}

static void attributes_of_a_later_version_are_skipped(void **state)
{
	struct arena *a = arena_new("test", NULL, 1 << 20);
	struct envelope e;

	(void) state;
	assert_int_equal(envelope_unpack(STR("sender\t\ncolour\tblue\n"), a, &e), 0);
	assert_int_equal(e.sender.len, 0);
	assert_int_equal(e.recipient_count, 0);
	arena_free(a);
}

static void more_recipients_than_the_arena_holds_are_an_error_not_the_end(void **state)
{
	struct arena *a = arena_new("test", NULL, 1 << 16);
	AUTO(buf) packed = BUF(1 << 20);
	struct envelope e;

	(void) state;
	buf_add_text(&packed, "sender\t\n");
	for (int i = 0; i < 10000; i++)
		buf_addf(&packed, "to\t%d\tx\t\t0\t\n", i);
	assert_int_equal(envelope_unpack(buf_str(&packed), a, &e), -EMSGSIZE);
	arena_free(a);
}

static void outcomes_survive_packing_and_lose_their_control_characters(void **state)
{
	struct outcome o = { .index = 3, .status = OUTCOME_BOUNCED, .dsn = STR("5.1.1"),
			     .relay = STR("mx[192.0.2.1]:25"),
			     .remote_mta = STR("mx"), .diagnostic = STR("smtp; 550 no"),
			     .text = STR("said:\r\n550\tno"),
			     .at_us = 99, .address = STR("a@b"), .original = STR("c@d") };
	struct outcome back;
	AUTO(buf) packed = BUF(4096);
	struct str rest;

	(void) state;
	assert_int_equal(outcome_pack(&o, &packed), 0);
	o.index = 4;
	o.text = STR_NONE;
	assert_int_equal(outcome_pack(&o, &packed), 0);
	rest = buf_str(&packed);
	assert_int_equal(outcome_unpack(&rest, &back), 1);
	assert_int_equal(back.index, 3);
	assert_int_equal(back.status, OUTCOME_BOUNCED);
	assert_str(back.text, "said:??550?no");
	assert_str(back.original, "c@d");
	assert_int_equal(outcome_unpack(&rest, &back), 1);
	assert_int_equal(back.index, 4);
	assert_int_equal(back.at_us, 99);
	assert_int_equal(outcome_unpack(&rest, &back), 0);
	rest = STR("1\tlost\t0\t\t\t\t\t\t\t\n");
	assert_int_equal(outcome_unpack(&rest, &back), -EBADMSG);
	rest = STR("1\tdeferred\t0\t\t\t\n");
	assert_int_equal(outcome_unpack(&rest, &back), -EBADMSG);
}

static void who_has_got_it_has_got_it_whatever_a_journal_says_later(void **state)
{
	static const enum outcome_status delivered[] = { OUTCOME_DELIVERED, OUTCOME_EXPANDED, OUTCOME_RELAYED,
							 OUTCOME_HANDED_ON };

	(void) state;
	for (size_t i = 0; i < COUNT_OF(delivered); i++) {
		assert_true(outcome_counts_after(OUTCOME_PENDING, delivered[i]));
		assert_true(outcome_counts_after(OUTCOME_DEFERRED, delivered[i]));
		assert_true(outcome_counts_after(OUTCOME_BOUNCED, delivered[i]));
		assert_false(outcome_counts_after(delivered[i], OUTCOME_DEFERRED));
		assert_false(outcome_counts_after(delivered[i], OUTCOME_BOUNCED));
	}
	assert_true(outcome_counts_after(OUTCOME_DEFERRED, OUTCOME_DEFERRED));		/* other words */
	assert_true(outcome_counts_after(OUTCOME_DEFERRED, OUTCOME_BOUNCED));
	assert_false(outcome_counts_after(OUTCOME_BOUNCED, OUTCOME_DEFERRED));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_envelope_survives_packing_with_all_its_attributes),
		cmocka_unit_test(a_control_character_in_any_attribute_is_refused),
		cmocka_unit_test(a_full_buffer_is_left_as_it_was),
		cmocka_unit_test(what_is_no_envelope_is_refused),
		cmocka_unit_test(attributes_of_a_later_version_are_skipped),
		cmocka_unit_test(more_recipients_than_the_arena_holds_are_an_error_not_the_end),
		cmocka_unit_test(outcomes_survive_packing_and_lose_their_control_characters),
		cmocka_unit_test(who_has_got_it_has_got_it_whatever_a_journal_says_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
