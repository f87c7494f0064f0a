/* SPDX-License-Identifier: ISC */
/* Sessions of all processes: counted together, gone with their process, and never more names than fit. */
#include "tests/unit.h"

#include "lib/base/buf.h"
#include "services/anvil/sessions.h"

static void sessions_of_all_processes_count_together_until_one_ends(void **state)
{
	struct map *one = map_new(), *two = map_new();

	(void) state;
	assert_int_equal(sessions_note(one, STR("a"), 2), 2);
	assert_int_equal(sessions_note(two, STR("a"), 3), 5);
	assert_int_equal(sessions_note(one, STR("a"), 1), 4);
	assert_int_equal(sessions_note(one, STR("b"), 0), 0);
	sessions_forget(two);
	assert_int_equal(sessions_note(one, STR("a"), 2), 2);
	sessions_forget(one);
}

static void a_process_that_names_clients_without_end_is_not_remembered_without_end(void **state)
{
	struct map *honest = map_new(), *other = map_new(), *endless = map_new();
	AUTO(buf) name = BUF(100);

	(void) state;
	assert_int_equal(sessions_note(honest, STR("early"), 1), 1);
	for (int i = 0; i < MOST_SESSION_NAMES + 10; i++) {
		buf_clear(&name);
		buf_addf(&name, "%d", i);
		assert_int_equal(sessions_note(endless, buf_str(&name), 1), 1);
	}
	assert_int_equal(map_count(endless), MOST_SESSION_NAMES - 1);
	/* who is known counts as ever; of who is not each process knows its own sessions */
	assert_int_equal(sessions_note(honest, STR("early"), 2), 2);
	assert_int_equal(sessions_note(other, STR("early"), 1), 3);
	assert_int_equal(sessions_note(honest, STR("late"), 7), 7);
	assert_int_equal(sessions_note(honest, STR("late"), 0), 0);
	sessions_forget(endless);
	assert_int_equal(sessions_note(honest, STR("late"), 1), 1);
	assert_int_equal(sessions_note(other, STR("late"), 1), 2);
	sessions_forget(honest);
	sessions_forget(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_of_all_processes_count_together_until_one_ends),
		cmocka_unit_test(a_process_that_names_clients_without_end_is_not_remembered_without_end),
	};

	sessions_begin();
	return cmocka_run_group_tests_name("anvil's sessions", tests, NULL, NULL);
}
