/* SPDX-License-Identifier: ISC */
/*
 * Policies in memory and in the file: how long they hold, how much they cost, and what a damaged
 * file does.
 */
#include "tests/unit.h"

#include <errno.h>

#include "lib/base/clock.h"
#include "services/mtasts/store.h"

static void at(int64_t s)
{
	clock_set_for_test(s * 1000000, s * 1000000);
}

static struct known *add(const char *domain, enum sts_mode mode, int64_t max_age, const char *mx)
{
	const struct policy p = { .mode = mode, .max_age = max_age, .mx = str_of(mx) };
	struct known *k = cache_get(str_of(domain));

	cache_set_policy(k, &p, STR("id1"), wall_s());
	cache_touch(k);
	return k;
}

static void a_policy_holds_for_its_max_age(void **state)
{
	struct known *k;

	(void) state;
	at(1000);
	k = add("a.example", STS_ENFORCE, 100, "mx.a.example\n");
	at(1099);
	assert_true(policy_is_live(k));
	assert_str(k->policy.mx, "mx.a.example\n");
	at(1100);
	assert_false(policy_is_live(k));
	assert_int_equal(k->policy.mode, STS_NO_POLICY);
	assert_ptr_equal(cache_find(STR("a.example")), k);
}

static void what_was_not_asked_for_longest_goes_first_and_who_is_busy_stays(void **state)
{
	static char mx[20002];
	struct known *busy;
	char name[30];

	(void) state;
	at(1000);
	memset(mx, 'x', 20000);
	busy = add("busy.example", STS_ENFORCE, 100, mx);
	busy->users = 1;
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		add(name, STS_ENFORCE, 100, mx);
		cache_touch(cache_find(STR("d0.example")));
		cache_shrink();
	}
	assert_non_null(cache_find(STR("busy.example")));
	assert_non_null(cache_find(STR("d0.example")));
	assert_non_null(cache_find(STR("d19.example")));
	assert_null(cache_find(STR("d1.example")));
	assert_null(cache_find(STR("d17.example")));
}

static void what_is_written_is_read_again(void **state)
{
	AUTO(buf) text = BUF(1 << 20), again = BUF(1 << 20);
	struct known *k;

	(void) state;
	at(5000);
	add("b.example", STS_TESTING, 600, "mx.b.example\n*.b.example\n");
	add("a.example", STS_NONE, 700, "");
	add("expired.example", STS_ENFORCE, 0, "mx\n");
	cache_get(STR("unknown.example"))->failure = "sts-policy-fetch-error";
	store_print(&text);
	cache_close();
	cache_open(100000);
	assert_int_equal(store_parse(buf_str(&text)), 0);
	k = cache_find(STR("b.example"));
	assert_non_null(k);
	assert_int_equal(k->policy.mode, STS_TESTING);
	assert_int_equal(k->policy.max_age, 600);
	assert_int_equal(k->fetched_s, 5000);
	assert_str(k->id, "id1");
	assert_str(k->policy.mx, "mx.b.example\n*.b.example\n");
	assert_int_equal(cache_find(STR("a.example"))->policy.mode, STS_NONE);
	assert_null(cache_find(STR("expired.example")));
	assert_null(cache_find(STR("unknown.example")));
	store_print(&again);
	assert_str(buf_str(&again), buf_text(&text));
}

static void malformed_lines_are_left_out_and_other_files_refused(void **state)
{
	(void) state;
	at(5000);
	assert_int_equal(store_parse(STR("")), -EINVAL);
	assert_int_equal(store_parse(STR("something else\n")), -EINVAL);
	assert_int_equal(store_parse(STR("postroad-mtasts 1\n"
					 "good.example\t1\tenforce\t600\t5000\t5000\tmx.good.example\n"
					 "bad name.example\t1\tenforce\t600\t5000\t5000\tmx\n"
					 "m.example\t1\tsometimes\t600\t5000\t5000\tmx\n"
					 "n.example\t1\tenforce\t600\t5000\tx\tmx\n"
					 "o.example\t1\tenforce\t-1\t5000\t5000\tmx\n"
					 "p.example\t1\tenforce\t600\t5000\t5000\tm/x\n"
					 "q.example\n\n")), 7);
	assert_non_null(cache_find(STR("good.example")));
	assert_null(cache_find(STR("p.example")));
}

static void a_policy_from_the_future_is_as_old_as_now(void **state)
{
	struct known *k;

	(void) state;
	at(5000);
	assert_int_equal(store_parse(STR("postroad-mtasts 1\nf.example\t1\tenforce\t600\t99999999\t5000\tmx\n")), 0);
	k = cache_find(STR("f.example"));
	assert_int_equal(k->fetched_s, 5000);
}

static int setup(void **state)
{
	(void) state;
	cache_open(100000);
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	cache_close();
	clock_set_for_test(-1, -1);
	return 0;
}

#define CACHE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CACHE_TEST(a_policy_holds_for_its_max_age),
		CACHE_TEST(what_was_not_asked_for_longest_goes_first_and_who_is_busy_stays),
		CACHE_TEST(what_is_written_is_read_again),
		CACHE_TEST(malformed_lines_are_left_out_and_other_files_refused),
		CACHE_TEST(a_policy_from_the_future_is_as_old_as_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
