/* SPDX-License-Identifier: ISC */
/* Queue ids: their shape and time, that no two are alike, and which names are none. */
#include "tests/unit.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/queue/queue.h"

static void ids_have_the_long_shape_and_tell_their_time(void **state)
{
	char id[32];
	int64_t us;

	(void) state;
	clock_set_for_test(1900000000123456, 1);
	queue_id_new(id);
	clock_set_for_test(-1, -1);
	assert_int_equal(strspn(id, "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"), strlen(id));
	assert_int_equal(strlen(id), 17);
	assert_int_equal(id[10], 'z');
	assert_null(strchr(id + 11, 'z'));
	assert_int_equal(queue_id_time(str_of(id), &us), 0);
	assert_int_equal(us, 1900000000123456);
	assert_int_equal(queue_id_time(STR("4F2A81234567"), &us), -EINVAL);
}

static void ids_differ_even_when_the_clock_stands_still_or_goes_back(void **state)
{
	char last[32] = "", id[32];

	(void) state;
	for (int i = 0; i < 10000; i++) {
		clock_set_for_test(1800000000000000 - i / 2, 1);
		queue_id_new(id);
		if (i > 0)
			assert_true(strcmp(last, id) < 0);
		memcpy(last, id, sizeof(last));
	}
	clock_set_for_test(-1, -1);
}

static void ids_of_a_forked_process_differ(void **state)
{
	char mine[32], theirs[32] = "";
	int pipes[2];
	pid_t child;

	(void) state;
	assert_int_equal(pipe(pipes), 0);
	queue_id_new(mine);
	child = fork();
	if (child == 0) {
		queue_id_new(theirs);
		_exit(write(pipes[1], theirs, sizeof(theirs)) != sizeof(theirs));
	}
	assert_int_equal(read(pipes[0], theirs, sizeof(theirs)), sizeof(theirs));
	waitpid(child, NULL, 0);
	close(pipes[0]);
	close(pipes[1]);
	assert_string_not_equal(mine + 11, theirs + 11);
}

static void only_harmless_names_are_ids(void **state)
{
	(void) state;
	assert_true(queue_id_is_valid(STR("4F2A81234")));
	assert_false(queue_id_is_valid(STR("")));
	assert_false(queue_id_is_valid(STR("short")));
	assert_false(queue_id_is_valid(STR("../../../etc")));
	assert_false(queue_id_is_valid(STR("abcdef.x")));
	assert_false(queue_id_is_valid(STR("abcdefghijabcdefghijabcdefghijab")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_have_the_long_shape_and_tell_their_time),
		cmocka_unit_test(ids_differ_even_when_the_clock_stands_still_or_goes_back),
		cmocka_unit_test(ids_of_a_forked_process_differ),
		cmocka_unit_test(only_harmless_names_are_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
