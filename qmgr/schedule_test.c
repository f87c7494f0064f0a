/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <errno.h>

#include "lib/base/die.h"
#include "qmgr/schedule.h"

static const struct transport_rules plain = {
	.process_limit = 100,
	.recipient_limit = 50,
	.dead_ms = 300000,
	.transport_dead_ms = 60000,
	.window = { .initial = 5,
		    .limit = 20,
		    .positive = { 1, FEEDBACK_FIXED },
		    .negative = { 1, FEEDBACK_FIXED },
		    .cohort_limit = 1 },
	.slot_cost = 5,
	.slot_loan = 3,
	.slot_discount = 50,
	.minimum_slots = 3,
};

static void give_rules(void *arg, struct str transport, struct transport_rules *ret)
{
	(void) transport;
	*ret = *(const struct transport_rules *) arg;
}

struct world {
	struct transport_rules rules;
	struct schedule *s;
	struct transport *t;
	struct list jobs;
	int64_t now;
};

static struct world *start(const struct transport_rules *rules)
{
	struct world *w = get_memory(sizeof(*w));

	w->rules = *rules;
	list_init(&w->jobs);
	w->s = schedule_new(give_rules, &w->rules);
	w->t = schedule_transport(w->s, STR("smtp"));
	w->now = 1000000;
	return w;
}

static void end(struct world *w)
{
	struct entry *e;

	while ((e = transport_waiting(w->t)) != NULL)
		entry_drop(e);
	assert_int_equal(w->t->busy, 0);
	assert_true(list_is_empty(&w->jobs));
	schedule_free(w->s);
	free(w);
}

/* A message whose owner pointer is its name: n recipients, each at "site<i % sites>" + suffix. */
static void message(struct world *w, const char *name, enum urgency u, const char *site, int sites, int n)
{
	struct job *j = job_open(w->t, (void *) (uintptr_t) name, &w->jobs, u, w->now);

	for (int i = 0; i < n; i++) {
		AUTO(buf) key = BUF(100);

		buf_addf(&key, "%s%d", site, i % sites);
		job_add(j, schedule_destination(w->t, buf_str(&key), buf_str(&key), w->now), (uint32_t) i);
	}
	job_close(j);
}

static const char *owner(const struct entry *e)
{
	return e->job->owner;
}

static struct entry *take(struct world *w)
{
	return schedule_take(w->t, w->now);
}

static void expect_next(struct world *w, const char *name)
{
	struct entry *e = take(w);

	assert_non_null(e);
	assert_string_equal(owner(e), name);
	entry_succeeded(e, w->now);
}

static void recipients_of_one_destination_go_together_up_to_the_limit(void **state)
{
	struct world *w = start(&plain);
	struct entry *e;

	(void) state;
	message(w, "a", NEW_MAIL, "x", 1, 120);
	e = take(w);
	assert_int_equal(e->count, 50);
	assert_int_equal(e->recipients[49], 49);
	entry_forget(e);
	e = take(w);
	assert_int_equal(e->count, 50);
	entry_forget(e);
	e = take(w);
	assert_int_equal(e->count, 20);
	entry_forget(e);
	assert_null(take(w));
	end(w);
}

static void recipients_of_several_destinations_are_told_apart(void **state)
{
	struct world *w = start(&plain);

	(void) state;
	message(w, "a", NEW_MAIL, "x", 3, 9);
	for (int i = 0; i < 3; i++) {
		struct entry *e = take(w);

		assert_int_equal(e->count, 3);
		entry_forget(e);
	}
	assert_null(take(w));
	end(w);
}

static void messages_go_in_the_order_of_their_coming(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	struct world *w = start(&plain);

	(void) state;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		message(w, names[i], NEW_MAIL, i % 2 ? "y" : "x", 1, 1);
	for (size_t i = 0; i < COUNT_OF(names); i++)
		expect_next(w, names[i]);
	end(w);
}

static void a_destination_starts_with_the_initial_concurrency_and_grows_to_the_limit(void **state)
{
	struct world *w = start(&plain);
	struct entry *busy[100];
	int n = 0;

	(void) state;
	w->rules.recipient_limit = w->t->rules.recipient_limit = 1;
	message(w, "a", NEW_MAIL, "x", 1, 500);
	while ((busy[n] = take(w)) != NULL)
		n++;
	assert_int_equal(n, 5);
	for (int round = 0; round < 30; round++) {
		entry_succeeded(busy[--n], w->now);
		while ((busy[n] = take(w)) != NULL)
			n++;
	}
	assert_int_equal(n, 20);
	while (n > 0)
		entry_succeeded(busy[--n], w->now);
	end(w);
}

static void a_transport_takes_no_more_than_it_has_processes(void **state)
{
	struct transport_rules few = plain;
	struct world *w;
	struct entry *busy[10];
	int n = 0;

	(void) state;
	few.process_limit = 3;
	w = start(&few);
	message(w, "a", NEW_MAIL, "x", 10, 10);
	while ((busy[n] = take(w)) != NULL)
		n++;
	assert_int_equal(n, 3);
	while (n > 0)
		entry_forget(busy[--n]);
	end(w);
}

static void a_dead_destination_holds_up_nobody_else_and_lives_again_after_its_time(void **state)
{
	struct transport_rules one = plain;
	struct world *w;
	struct entry *e;
	struct destination *d;
	struct schedule *s;

	(void) state;
	one.window.initial = 1;
	w = start(&one);
	s = w->s;
	message(w, "a", NEW_MAIL, "x", 1, 1);
	message(w, "b", NEW_MAIL, "x", 1, 1);
	message(w, "c", NEW_MAIL, "y", 1, 1);
	e = take(w);
	d = e->destination;
	assert_true(entry_failed(e, STR("4.4.1 connection refused"), w->now));
	assert_string_equal(d->reason, "4.4.1 connection refused");
	expect_next(w, "c");
	assert_null(take(w));
	assert_ptr_equal(destination_waiting(d)->job->owner, "b");
	w->now += 299999;
	assert_int_equal(schedule_wake(s, w->now, NULL, NULL), 1300000);
	assert_null(take(w));
	schedule_revive_all(s);
	expect_next(w, "b");
	end(w);
}

static int times_woken;

static void count_woken(void *arg, struct transport *t)
{
	assert_ptr_equal(((struct world *) arg)->t, t);
	times_woken++;
}

static void one_failure_of_many_at_once_does_not_make_a_destination_dead(void **state)
{
	struct world *w = start(&plain);
	struct entry *busy[5];

	(void) state;
	w->t->rules.recipient_limit = 1;
	message(w, "a", NEW_MAIL, "x", 1, 20);
	for (int i = 0; i < 5; i++)
		busy[i] = take(w);
	assert_false(entry_failed(busy[0], STR("4.4.2 lost"), w->now));
	assert_false(entry_failed(busy[1], STR("4.4.2 lost"), w->now));
	entry_succeeded(busy[2], w->now);
	entry_succeeded(busy[3], w->now);
	entry_succeeded(busy[4], w->now);
	assert_non_null(busy[0] = take(w));
	entry_forget(busy[0]);
	end(w);
}

static void the_dead_are_woken_after_their_time(void **state)
{
	struct transport_rules one = plain;
	struct world *w;
	struct entry *e;

	(void) state;
	one.window.initial = 1;
	w = start(&one);
	message(w, "a", NEW_MAIL, "x", 1, 1);
	message(w, "b", NEW_MAIL, "x", 1, 1);
	e = take(w);
	assert_true(entry_failed(e, STR("4.4.1 no"), w->now));
	times_woken = 0;
	assert_int_equal(schedule_wake(w->s, w->now + 299999, count_woken, w), w->now + 300000);
	assert_int_equal(times_woken, 0);
	assert_int_equal(schedule_wake(w->s, w->now + 300000, count_woken, w), INT64_MAX);
	assert_int_equal(times_woken, 1);
	expect_next(w, "b");
	end(w);
}

static void a_rate_delay_spaces_the_deliveries_to_one_destination(void **state)
{
	struct transport_rules slow = plain;
	struct world *w;

	(void) state;
	slow.rate_delay_ms = 2000;
	slow.window.initial = slow.window.limit = 1;
	w = start(&slow);
	message(w, "a", NEW_MAIL, "x", 1, 1);
	message(w, "b", NEW_MAIL, "x", 1, 1);
	message(w, "c", NEW_MAIL, "y", 1, 1);
	expect_next(w, "a");
	expect_next(w, "c");
	assert_null(take(w));
	schedule_wake(w->s, w->now + 1999, count_woken, w);
	assert_null(take(w));
	w->now += 2000;
	assert_int_equal(schedule_wake(w->s, w->now, count_woken, w), INT64_MAX);
	expect_next(w, "b");
	schedule_wake(w->s, w->now + 2000, count_woken, w);
	end(w);
}

static void a_flush_does_not_end_the_pause_of_a_rate_delay(void **state)
{
	struct transport_rules slow = plain;
	struct world *w;

	(void) state;
	slow.rate_delay_ms = 2000;
	slow.window.initial = slow.window.limit = 1;
	w = start(&slow);
	message(w, "a", NEW_MAIL, "x", 1, 1);
	message(w, "b", NEW_MAIL, "x", 1, 1);
	expect_next(w, "a");
	schedule_revive_all(w->s);
	assert_null(take(w));
	w->t->rules.transport_rate_delay_ms = 3000;
	message(w, "c", NEW_MAIL, "y", 1, 1);
	expect_next(w, "c");
	w->now += 2000;
	schedule_wake(w->s, w->now, count_woken, w);
	schedule_revive_all(w->s);
	assert_null(take(w));
	w->now += 1000;
	schedule_wake(w->s, w->now, count_woken, w);
	expect_next(w, "b");
	end(w);
}

static void a_transport_rate_delay_spaces_all_deliveries(void **state)
{
	struct transport_rules slow = plain;
	struct world *w;

	(void) state;
	slow.transport_rate_delay_ms = 1000;
	w = start(&slow);
	message(w, "a", NEW_MAIL, "x", 1, 1);
	message(w, "b", NEW_MAIL, "y", 1, 1);
	expect_next(w, "a");
	assert_null(take(w));
	w->now += 1000;
	schedule_wake(w->s, w->now, count_woken, w);
	expect_next(w, "b");
	end(w);
}

/*
 * One delivery at a time; a list of 1,000 sites, then one short message. How many of the list's went before
 * it.
 */
static int deliveries_before_the_short_one(const struct transport_rules *rules)
{
	struct transport_rules narrow = *rules;
	struct world *w;
	int before = 0;

	narrow.process_limit = 1;
	w = start(&narrow);
	message(w, "list", NEW_MAIL, "x", 1000, 1000);
	for (int i = 0; i < 20; i++) {
		w->now += 10;
		expect_next(w, "list");
	}
	message(w, "short", NEW_MAIL, "y", 2, 2);
	for (bool seen = false; !seen; before++) {
		struct entry *e = take(w);

		assert_non_null(e);
		seen = strcmp(owner(e), "short") == 0;
		w->now += 10;
		entry_succeeded(e, w->now);
	}
	end(w);
	return before - 1;
}

static void a_mailing_list_lets_a_short_message_pass(void **state)
{
	struct transport_rules no_passing = plain;

	(void) state;
	no_passing.slot_cost = 0;
	assert_int_equal(deliveries_before_the_short_one(&plain), 0);
	assert_int_equal(deliveries_before_the_short_one(&no_passing), 980);
}

static void short_messages_do_not_starve_a_mailing_list(void **state)
{
	struct transport_rules narrow = plain;
	struct world *w;
	int list = 0;

	(void) state;
	narrow.process_limit = 1;
	w = start(&narrow);
	message(w, "list", NEW_MAIL, "x", 1000, 1000);
	for (int i = 0; i < 600; i++) {
		struct entry *e;

		message(w, "short", NEW_MAIL, "y", 1, 1);
		e = take(w);
		list += strcmp(owner(e), "list") == 0;
		w->now += 10;
		entry_succeeded(e, w->now);
	}
	assert_in_range(list, 450, 520);	/* five of six deliveries */
	end(w);
}

static void retries_leave_a_fifth_of_the_agents_to_new_mail(void **state)
{
	struct transport_rules ten = plain;
	struct world *w;
	struct entry *busy[10];
	int n = 0;

	(void) state;
	ten.process_limit = 10;
	w = start(&ten);
	message(w, "old", RETRY, "x", 100, 100);
	w->now += 10 * RETRY_STEPS_BACK_MS;
	while ((busy[n] = take(w)) != NULL)
		n++;
	assert_int_equal(n, 8);
	message(w, "new", NEW_MAIL, "y", 2, 2);
	assert_string_equal(owner(busy[n++] = take(w)), "new");
	assert_string_equal(owner(busy[n++] = take(w)), "new");
	while (n > 0)
		entry_forget(busy[--n]);
	end(w);
}

/* How many of these the transport takes now; they stay under way. */
static int take_all(struct world *w, struct entry **busy, int n)
{
	while ((busy[n] = take(w)) != NULL)
		n++;
	return n;
}

static void strangers_leave_a_fifth_of_the_agents_to_known_destinations(void **state)
{
	struct world *w = start(&plain);
	struct entry *busy[101], *e;
	int n;

	(void) state;
	message(w, "first", NEW_MAIL, "alive", 30, 30);
	while ((e = take(w)) != NULL)
		entry_succeeded(e, w->now);
	message(w, "dead", NEW_MAIL, "dead", 500, 500);
	n = take_all(w, busy, 0);
	assert_int_equal(n, 80);
	message(w, "again", NEW_MAIL, "alive", 30, 30);
	assert_int_equal(take_all(w, busy, n), 100);
	for (int i = n; i < 100; i++)
		assert_string_equal(owner(busy[i]), "again");
	/* now a stranger, as after an hour without success */
	entry_failed(busy[99], STR("4.4.1 it too"), w->now);
	busy[99] = take(w);
	assert_string_equal(owner(busy[99]), "again");
	for (int i = 0; i < 100; i++)
		entry_forget(busy[i]);
	end(w);
}

static void strangers_are_in_a_hurry_when_they_are_many(void **state)
{
	struct world *w = start(&plain);
	struct entry *busy[101], *e;
	int n;

	(void) state;
	message(w, "many", NEW_MAIL, "dead", 200, 200);
	n = take_all(w, busy, 0);
	for (int i = 0; i < n; i++)
		assert_int_equal(busy[i]->in_a_hurry, i >= 40);
	entry_succeeded(busy[0], w->now);
	message(w, "again", NEW_MAIL, "dead", 1, 1);
	e = take(w);			/* short, so it passes the long one */
	assert_string_equal(owner(e), "again");
	assert_false(e->in_a_hurry);
	entry_forget(e);
	busy[0] = take(w);
	assert_true(busy[0]->in_a_hurry);
	for (int i = 0; i < n; i++)
		entry_forget(busy[i]);
	end(w);
}

static void known_destinations_find_an_agent_between_retries_and_strangers(void **state)
{
	struct world *w = start(&plain);
	struct entry *busy[101], *e;
	int n;

	(void) state;
	message(w, "first", NEW_MAIL, "alive", 30, 30);
	while ((e = take(w)) != NULL)
		entry_succeeded(e, w->now);
	message(w, "old", RETRY, "gone", 500, 500);
	w->now += 10 * RETRY_STEPS_BACK_MS;
	assert_int_equal(n = take_all(w, busy, 0), 80);
	message(w, "new", NEW_MAIL, "dead", 500, 500);
	assert_int_equal(n = take_all(w, busy, n), 95);
	message(w, "again", NEW_MAIL, "alive", 30, 30);
	assert_int_equal(take_all(w, busy, n), 100);
	for (int i = 0; i < 100; i++)
		entry_forget(busy[i]);
	end(w);
}

static void acquaintance_ends_after_an_hour_without_success(void **state)
{
	struct world *w = start(&plain);
	struct entry *busy[101], *e;

	(void) state;
	message(w, "first", NEW_MAIL, "alive", 90, 90);
	while ((e = take(w)) != NULL)
		entry_succeeded(e, w->now);
	w->now += 3590 * 1000;
	message(w, "again", NEW_MAIL, "alive", 90, 90);
	assert_int_equal(take_all(w, busy, 0), 90);
	for (int i = 0; i < 90; i++)
		entry_forget(busy[i]);
	w->now += 20 * 1000;
	message(w, "late", NEW_MAIL, "alive", 90, 90);
	assert_int_equal(take_all(w, busy, 0), 80);
	for (int i = 0; i < 80; i++)
		entry_forget(busy[i]);
	end(w);
}

static void new_mail_goes_before_retries_until_they_have_waited_long(void **state)
{
	struct world *w = start(&plain);

	(void) state;
	message(w, "old", RETRY, "x", 1, 1);
	message(w, "old", RETRY, "z", 1, 1);
	w->now += 1000;
	message(w, "new", NEW_MAIL, "y", 1, 1);
	expect_next(w, "new");
	expect_next(w, "old");
	w->now += RETRY_STEPS_BACK_MS;
	message(w, "new", NEW_MAIL, "y", 1, 1);
	expect_next(w, "old");
	expect_next(w, "new");
	end(w);
}

static void what_was_not_tried_keeps_its_place(void **state)
{
	struct world *w = start(&plain);
	struct entry *e;

	(void) state;
	message(w, "a", NEW_MAIL, "x", 1, 1);
	message(w, "b", NEW_MAIL, "x", 1, 1);
	e = take(w);
	assert_string_equal(owner(e), "a");
	entry_return(e);
	expect_next(w, "a");
	expect_next(w, "b");
	end(w);
}

static void feedback_is_read_as_postconf_describes_it(void **state)
{
	struct feedback f;
	AUTO(buf) why = BUF_WORDS;

	(void) state;
	assert_int_equal(feedback_parse(STR("1"), &f, &why), 0);
	assert_true(f.kind == FEEDBACK_FIXED && f.amount == 1);
	assert_int_equal(feedback_parse(STR("0.25"), &f, &why), 0);
	assert_true(f.amount == 0.25);
	assert_int_equal(feedback_parse(STR("1/concurrency"), &f, &why), 0);
	assert_true(f.kind == FEEDBACK_PER_CONCURRENCY);
	assert_int_equal(feedback_parse(STR("0.5 / sqrt_concurrency"), &f, &why), 0);
	assert_true(f.kind == FEEDBACK_PER_SQRT);
	assert_int_equal(feedback_parse(STR("2 / 8"), &f, &why), 0);
	assert_true(f.kind == FEEDBACK_FIXED && f.amount == 0.25);
	assert_int_equal(why.len, 0);
	assert_int_equal(feedback_parse(STR("2"), &f, &why), -EINVAL);
	assert_int_equal(feedback_parse(STR("2/1.5"), &f, &why), -EINVAL);
	assert_int_equal(feedback_parse(STR("0/0"), &f, &why), -EINVAL);
	assert_int_equal(feedback_parse(STR("1/"), &f, &why), -EINVAL);
	assert_int_equal(feedback_parse(STR("1/x"), &f, &why), -EINVAL);
	assert_int_equal(feedback_parse(STR("-1"), &f, &why), -EINVAL);
	assert_int_equal(feedback_parse(STR("."), &f, &why), -EINVAL);
	assert_true(why.len > 0);
}

static void gentle_feedback_takes_a_whole_window_for_a_step(void **state)
{
	const struct window_rules r = { .initial = 5,
					.limit = 20,
					.positive = { 1, FEEDBACK_PER_CONCURRENCY },
					.negative = { 1, FEEDBACK_PER_CONCURRENCY },
					.cohort_limit = 10 };
	struct window w;

	(void) state;
	window_reset(&w, &r);
	for (int i = 0; i < 4; i++)
		window_success(&w, &r, 5);
	assert_int_equal(w.size, 5);
	window_success(&w, &r, 5);
	assert_int_equal(w.size, 6);
	assert_false(window_failure(&w, &r));	/* the first failure after success counts at once */
	assert_int_equal(w.size, 5);
	for (int i = 0; i < 4; i++)
		assert_false(window_failure(&w, &r));
	assert_int_equal(w.size, 5);
}

static void a_cohort_of_failures_makes_a_destination_dead(void **state)
{
	const struct window_rules r = { .initial = 5,
					.limit = 20,
					.positive = { 1, FEEDBACK_FIXED },
					.negative = { 0, FEEDBACK_FIXED },
					.cohort_limit = 2 };
	struct window w;

	(void) state;
	window_reset(&w, &r);
	for (int i = 0; i < 9; i++)
		assert_false(window_failure(&w, &r));
	assert_true(window_failure(&w, &r));
	assert_int_equal(w.size, 0);
}

static void the_heap_gives_the_smallest_first_whatever_happens_in_between(void **state)
{
	enum { N = 500 };
	struct heap h = { 0 };
	static struct heap_node nodes[N];
	int64_t last = INT64_MIN;
	unsigned seed = 1;

	(void) state;
	for (int i = 0; i < 20 * N; i++) {
		struct heap_node *n;

		seed = seed * 1103515245 + 12345;
		n = &nodes[(seed >> 8) % N];
		if (seed % 3 == 0)
			heap_remove(&h, n);
		else
			heap_set(&h, n, (int64_t) (seed >> 4) % 1000);
	}
	while (heap_first(&h) != NULL) {
		assert_true(heap_first(&h)->key >= last);
		last = heap_first(&h)->key;
		heap_remove(&h, heap_first(&h));
	}
	for (int i = 0; i < N; i++)
		assert_false(heap_has(&nodes[i]));
	heap_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recipients_of_one_destination_go_together_up_to_the_limit),
		cmocka_unit_test(recipients_of_several_destinations_are_told_apart),
		cmocka_unit_test(messages_go_in_the_order_of_their_coming),
		cmocka_unit_test(a_destination_starts_with_the_initial_concurrency_and_grows_to_the_limit),
		cmocka_unit_test(a_transport_takes_no_more_than_it_has_processes),
		cmocka_unit_test(a_dead_destination_holds_up_nobody_else_and_lives_again_after_its_time),
		cmocka_unit_test(one_failure_of_many_at_once_does_not_make_a_destination_dead),
		cmocka_unit_test(the_dead_are_woken_after_their_time),
		cmocka_unit_test(a_rate_delay_spaces_the_deliveries_to_one_destination),
		cmocka_unit_test(a_flush_does_not_end_the_pause_of_a_rate_delay),
		cmocka_unit_test(a_transport_rate_delay_spaces_all_deliveries),
		cmocka_unit_test(a_mailing_list_lets_a_short_message_pass),
		cmocka_unit_test(short_messages_do_not_starve_a_mailing_list),
		cmocka_unit_test(retries_leave_a_fifth_of_the_agents_to_new_mail),
		cmocka_unit_test(strangers_leave_a_fifth_of_the_agents_to_known_destinations),
		cmocka_unit_test(strangers_are_in_a_hurry_when_they_are_many),
		cmocka_unit_test(known_destinations_find_an_agent_between_retries_and_strangers),
		cmocka_unit_test(acquaintance_ends_after_an_hour_without_success),
		cmocka_unit_test(new_mail_goes_before_retries_until_they_have_waited_long),
		cmocka_unit_test(what_was_not_tried_keeps_its_place),
		cmocka_unit_test(feedback_is_read_as_postconf_describes_it),
		cmocka_unit_test(gentle_feedback_takes_a_whole_window_for_a_step),
		cmocka_unit_test(a_cohort_of_failures_makes_a_destination_dead),
		cmocka_unit_test(the_heap_gives_the_smallest_first_whatever_happens_in_between),
	};

	return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
