/* SPDX-License-Identifier: ISC */
/*
 * Every power cut: a random walk over a queue (walk_for_test.h) on a disk that forgets
 * (disk_for_test.h). After each call that changes the disk it is looked at as if the power had failed
 * there, or the processes had been killed: with nothing more than what is durable, with some of the
 * rest, and with all of it. What was promised must be there (promises_for_test.h), also when the
 * power fails again while the queue is opened.
 *
 *   crash_test [SEED [WALKS [LENGTH]]]      at every step, and each call fails once
 */
#include "tests/unit.h"

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/queue/walk_for_test.h"
#include "lib/queue/walks_for_test.h"

enum { MOST_DEPTH = 2, HOURS_S = 7200, WAYS = 6, FIRST_RANDOM_WAY = 3 };

/* ---- one crash ---- */

struct recovery {
	struct walk *w;
	struct disk *d;
	uint64_t until_cut;		/* so many steps */
	struct disk *after;		/* what the next crash, in the middle of it, has left */
	bool only_killed;		/* the power has not failed: what was written is known */
};

static struct disk *crash(const struct disk *d, uint64_t *dice)
{
	uint64_t how = roll(dice, 5);

	return how == 0 ? disk_copy(d) : disk_after_cut(d, how < 3 ? SOME : (enum survival) (how - 3), dice);
}

static void step_of_recovery(void *arg)
{
	struct recovery *r = arg;

	if (r->until_cut > 0 && --r->until_cut == 0)
		r->after = crash(r->d, &r->w->dice);
}

static void look(struct recovery *r)
{
	struct walk *w = r->w;
	struct keeper *k = keeper_start(calls_mount(r->d), &w->promises, &w->why);

	w->crashes++;
	if (k == NULL)
		buf_addf(&w->why, "the queue cannot be opened; ");
	else if (r->only_killed)
		promises_compare_all(&w->promises, &k->seen, &w->why);
	else
		promises_compare(&w->promises, &k->seen, &w->why);
	if (k != NULL)
		queue_keep_intake(k->q);
	keeper_free(k);
	calls_close_all(r->d);
}

/* Takes d. Opens it; again, since that must not change what is there; and after a crash in between. */
static void recover(struct walk *w, struct disk *d, int depth, bool only_killed)
{
	struct recovery r = { .w = w, .d = d, .until_cut = roll(&w->dice, 8), .only_killed = only_killed };
	struct watch before = calls_watch((struct watch){ d, step_of_recovery, &r });

	look(&r);
	calls_watch((struct watch){ 0 });
	if (w->why.len == 0 && depth < MOST_DEPTH) {
		if (r.after == NULL)
			r.after = crash(d, &w->dice);
		recover(w, r.after, depth + 1, false);
		r.after = NULL;
	}
	if (w->why.len == 0)
		look(&r);
	disk_free(r.after);
	disk_free(d);
	calls_watch(before);
}

/* Every way that there is, some of them hours later. The walk goes on as if nothing had been. */
static void crash_here(struct walk *w)
{
	const uint64_t dice = w->dice, of_calls = calls_dice;
	const struct calls_trouble trouble = calls_trouble;
	const int64_t now = wall_us();

	calls_trouble = (struct calls_trouble){ 0 };
	calls_outside_loop = true;
	w->dice ^= w->steps;
	for (int way = 0; way < WAYS && w->why.len == 0; way++) {
		enum survival how = way < FIRST_RANDOM_WAY ? (enum survival) (way - 1) : SOME;

		if (way == FIRST_RANDOM_WAY)
			clock_set_for_test(now + HOURS_S * INT64_C(1000000), now);
		recover(w, way == 0 ? disk_copy(w->d) : disk_after_cut(w->d, how, &w->dice), 0,
			way == 0 && calls_failed == 0 && !w->is_after_cut);
	}
	clock_set_for_test(now, now);
	calls_outside_loop = false;
	calls_trouble = trouble;
	calls_dice = of_calls;
	w->dice = dice;
}

/* ---- walks ---- */

static uint64_t every;			/* how many steps lie between two crashes, about */

static void crash_now_and_then(struct walk *w)
{
	uint64_t dice = w->steps ^ w->dice;

	if (roll(&dice, every) == 0)
		crash_here(w);
}

struct outcome_of_walk {
	bool is_well;
	uint64_t steps, crashes, failed_calls;
};

static bool disk_fills;

static struct outcome_of_walk walk(uint64_t seed, struct calls_trouble trouble, bool is_quiet)
{
	struct walk *w = walk_begin(seed % 2 == 0 ? DISK_ORDERED : DISK_LOGGED, seed);
	struct outcome_of_walk result;

	w->length = length;
	w->disk_fills = disk_fills;
	w->at_step = crash_now_and_then;
	calls_failed = 0;
	calls_trouble = trouble;
	loop_run(walk_run, w);
	if (w->why.len == 0)
		crash_here(w);
	calls_trouble = (struct calls_trouble){ 0 };
	result = (struct outcome_of_walk){ w->why.len == 0, w->steps, w->crashes, calls_failed };
	if (!result.is_well && !is_quiet)
		print_error("seed %llu, step %llu, failing call %llu: %s\n", (unsigned long long) seed,
			    (unsigned long long) w->steps, (unsigned long long) trouble.countdown, w->why.at);
	walk_end(w);
	return result;
}

static void test_nothing_is_lost_wherever_the_power_fails(void **unused)
{
	uint64_t crashes = 0, steps = 0;
	int failed = 0;

	(void) unused;
	every = is_long ? 1 : 4;
	for (uint64_t seed = first_seed; seed < first_seed + walks; seed++) {
		struct outcome_of_walk result = walk(seed, (struct calls_trouble){ 0 }, false);

		failed += !result.is_well;
		crashes += result.crashes;
		steps += result.steps;
	}
	print_message("%llu crashes at %llu steps\n", (unsigned long long) crashes, (unsigned long long) steps);
	assert_int_equal(failed, 0);
	assert_true(crashes > steps);
}

/*
 * One call fails, and perhaps another one some time after it: nothing that was promised before is lost,
 * and nothing is promised that is not kept.
 */
static void test_nothing_is_lost_whichever_call_fails(void **unused)
{
	const uint64_t step = is_long ? 1 : 150;
	int failed = 0;

	(void) unused;
	every = is_long ? 50 : 100;
	for (uint64_t seed = first_seed; seed < first_seed + walks; seed++) {
		struct outcome_of_walk result = { .failed_calls = 1 };

		for (uint64_t at = 1 + seed % step; result.failed_calls > 0; at += step) {
			result = walk(seed, (struct calls_trouble){ .countdown = at, .failing = 1,
								    .then = at * at % 40 }, false);
			failed += !result.is_well;
		}
	}
	assert_int_equal(failed, 0);
}

static void test_nothing_is_lost_on_a_disk_that_is_full_for_a_while(void **unused)
{
	int failed = 0;

	(void) unused;
	every = is_long ? 1 : 6;
	disk_fills = true;
	for (uint64_t seed = first_seed; seed < first_seed + walks; seed++)
		failed += !walk(seed, (struct calls_trouble){ 0 }, false).is_well;
	disk_fills = false;
	assert_int_equal(failed, 0);
}

static bool is_found(struct calls_trouble trouble, uint64_t seeds)
{
	for (uint64_t seed = 1; seed <= seeds; seed++)
		if (!walk(seed, trouble, true).is_well)
			return true;
	return false;
}

/* Else the other tests show nothing. */
static void test_syncs_that_are_left_out_are_found(void **unused)
{
	(void) unused;
	every = 4;
	assert_true(is_found((struct calls_trouble){ .lie = FSYNC_LIES }, 10));
	assert_true(is_found((struct calls_trouble){ .lie = FDATASYNC_LIES }, 10));
}

extern const char __executable_start;

/*
 * Each of those that promises stand on: of a batch in the log, of a file, of what leaves the log, of a
 * ledger. Others take more walks, and some go together: a segment's name is synced by two.
 */
static void test_a_sync_that_is_left_out_at_one_place_is_found(void **unused)
{
	int found = 0;

	(void) unused;
	if (!is_long)
		skip();			/* it takes as long as all the others */
	every = 4;
	for (int site = 1; site <= calls_sync_site_count; site++) {
		if (is_found((struct calls_trouble){ .lying_site = site }, 40))
			found++;
		else
			print_message("nobody misses the sync at 0x%tx\n",	/* addr2line -e */
				      (const char *) calls_sync_sites[site - 1] - &__executable_start);
	}
	assert_true(found >= 4);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_lost_wherever_the_power_fails),
		cmocka_unit_test(test_nothing_is_lost_whichever_call_fails),
		cmocka_unit_test(test_nothing_is_lost_on_a_disk_that_is_full_for_a_while),
		cmocka_unit_test(test_syncs_that_are_left_out_are_found),
		cmocka_unit_test(test_a_sync_that_is_left_out_at_one_place_is_found),
	};

	read_walks(argc, argv, 4, 60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
