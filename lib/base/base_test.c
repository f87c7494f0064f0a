/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/arena.h"
#include "lib/base/base64.h"
#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/base/map.h"

static void test_a_number_out_of_range_is_told_from_no_number(void **state)
{
	int64_t n = 7;

	(void) state;
	assert_int_equal(str_to_int(STR("42"), 0, 100, &n), 0);
	assert_int_equal(n, 42);
	assert_int_equal(str_to_int(STR("-9223372036854775808"), INT64_MIN, INT64_MAX, &n), 0);
	assert_true(n == INT64_MIN);
	assert_int_equal(str_to_int(STR("9223372036854775808"), INT64_MIN, INT64_MAX, &n), -ERANGE);
	assert_int_equal(str_to_int(STR("101"), 0, 100, &n), -ERANGE);
	assert_int_equal(str_to_int(STR("4x"), 0, 100, &n), -EINVAL);
	assert_int_equal(str_to_int(STR(""), 0, 100, &n), -EINVAL);
	assert_int_equal(str_to_int(STR("-"), 0, 100, &n), -EINVAL);
}

static void test_cut_and_token_walk_a_string(void **state)
{
	struct str rest = STR("a=b=c"), head, token;

	(void) state;
	assert_true(str_cut(&rest, '=', &head));
	assert_str(head, "a");
	assert_str(rest, "b=c");
	assert_false(str_cut(&rest, ':', &head));
	assert_str(head, "b=c");
	assert_str(rest, "");
	rest = STR(" one, two{ x y } ");
	assert_true(str_token(&rest, ", ", &token));
	assert_str(token, "one");
	assert_int_equal(str_token_braced(&rest, ", ", &token), 1);
	assert_str(token, "two{ x y }");
	assert_int_equal(str_token_braced(&rest, ", ", &token), 0);
	rest = STR("{ open");
	assert_int_equal(str_token_braced(&rest, ", ", &token), -EINVAL);
}

static void test_a_list_has_its_words_and_no_parts_of_them(void **state)
{
	(void) state;
	assert_true(str_lists(STR(" one, two\tthree"), STR("three")));
	assert_false(str_lists(STR("one, two"), STR("tw")));
	assert_false(str_lists(STR("one, two"), STR("Two")));
	assert_true(str_lists_nocase(STR("one, two"), STR("Two")));
	assert_false(str_lists(STR(""), STR("")));
}

static void test_only_text_that_is_one_pair_of_braces_has_an_inside(void **state)
{
	static const char *const not_one[] = { "", "{", "}", "a", "{a", "a}", "{a}b", "{a}{b}", "{a}}",
					       "{{a}", "a{b}", "{a} {b}" };
	struct str inner;

	(void) state;
	assert_int_equal(str_unbrace(STR(" { a {b} {c}d } "), &inner), 0);
	assert_str(inner, "a {b} {c}d");
	assert_int_equal(str_unbrace(STR("{}"), &inner), 0);
	assert_str(inner, "");
	for (size_t i = 0; i < COUNT_OF(not_one); i++)
		assert_int_equal(str_unbrace(str_of(not_one[i]), &inner), -EINVAL);
}

static void test_utf8_is_checked_strictly(void **state)
{
	(void) state;
	assert_true(str_is_utf8(STR("gr\xc3\xbc\xc3\x9f \xf0\x9f\x93\xa7")));
	assert_false(str_is_utf8(STR("\xc0\xaf")));
	assert_false(str_is_utf8(STR("\xed\xa0\x80")));
	assert_false(str_is_utf8(STR("\xf4\x90\x80\x80")));
	assert_false(str_is_utf8(STR("abc\xe2\x82")));
}

static void test_formatted_text_of_any_length_is_added_whole(void **state)
{
	(void) state;
	for (int n = 200; n < 600; n++) {
		AUTO(buf) b = BUF(1000);

		assert_int_equal(buf_addf(&b, "<%0*d>", n, 7), 0);
		assert_int_equal(b.len, n + 2);
		assert_true(b.at[0] == '<' && b.at[n] == '7' && b.at[n + 1] == '>' && b.at[n + 2] == 0);
		assert_int_equal(buf_addf(&b, "%0*d", 1000, 1), -EMSGSIZE);
		assert_int_equal(b.len, n + 2);
	}
}

static void test_a_buffer_stops_at_its_limit_unchanged(void **state)
{
	AUTO(buf) b = BUF(5);

	(void) state;
	assert_int_equal(buf_add(&b, STR("abcde")), 0);
	assert_int_equal(buf_add_byte(&b, 'f'), -EMSGSIZE);
	assert_int_equal(buf_addf(&b, "%d", 1), -EMSGSIZE);
	assert_str(buf_str(&b), "abcde");
	buf_cut_front(&b, 2);
	assert_string_equal(buf_text(&b), "cde");
}

static void test_printable_hides_control_bytes_and_keeps_utf8(void **state)
{
	AUTO(buf) b = BUF(100);

	(void) state;
	buf_add_printable(&b, STR("a\033[b\n\xc3\xbc"));
	assert_str(buf_str(&b), "a?[b?\xc3\xbc");
	buf_clear(&b);
	buf_add_printable(&b, STR("\xc2\x9b" "x\xff"));
	assert_str(buf_str(&b), "??x?");
	buf_clear(&b);
	buf_add_printable(&b, STR("\xc2\x9b" "x"));
	assert_str(buf_str(&b), "??x");
}

static void test_base64_goes_there_and_back(void **unused)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
						{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
						{ "\xfb\xff", "+/8=" } };

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		AUTO(buf) text = BUF(100), bytes = BUF(100);

		assert_int_equal(base64_encode(str_of(pairs[i][0]), &text), 0);
		assert_str(buf_str(&text), pairs[i][1]);
		assert_int_equal(base64_decode(buf_str(&text), &bytes), 0);
		assert_str(buf_str(&bytes), pairs[i][0]);
	}
}

static void test_what_is_not_quite_base64_is_refused(void **unused)
{
	static const char *const wrong[] = { "Z", "Zg", "Zg=", "Zg===", "====", "=", "Zh==", "Zm9=",
					     "Zg==Zg==", "Zm 9", "Zm9\n", "Zm9-", "Z=9v", "Zm=v" };
	AUTO(buf) bytes = BUF(100);

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		assert_int_equal(base64_decode(str_of(wrong[i]), &bytes), -EINVAL);
		assert_int_equal(bytes.len, 0);
	}
	bytes.limit = 3;
	assert_int_equal(base64_decode(STR("Zm9vYg=="), &bytes), -EMSGSIZE);
	assert_int_equal(base64_encode(STR("a"), &bytes), -EMSGSIZE);
	assert_int_equal(bytes.len, 0);
}

static void test_an_arena_frees_its_children(void **state)
{
	struct arena *a = arena_new("test", NULL, 1 << 20);
	struct arena *child = arena_new("child", a, 1 << 20);
	VEC(int) v = { 0 };

	(void) state;
	for (int i = 0; i < 1000; i++)
		*vec_add(child, &v) = i;
	assert_int_equal(v.at[999], 999);
	assert_str(arena_fmt(a, "%s-%d", "x", 5), "x-5");
	assert_string_equal(str_c(a, str_head(STR("abcdef"), 3)), "abc");
	arena_reset(a);
	assert_int_equal(arena_used(a), 0);
	arena_free(a);
}

static void test_a_map_keeps_what_was_put_through_growth_and_removal(void **state)
{
	struct map *m = map_new();
	static int values[5000];
	size_t seen = 0;
	char key[16];

	(void) state;
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		values[i] = i;
		assert_null(map_put(m, str_of(key), &values[i]));
	}
	for (int i = 0; i < 5000; i += 2) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_ptr_equal(map_remove(m, str_of(key)), &values[i]);
	}
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_ptr_equal(map_get(m, str_of(key)), i % 2 ? &values[i] : NULL);
	}
	for (struct map_at i = { 0 }; map_next(m, &i);)
		seen++;
	assert_int_equal(seen, 2500);
	assert_int_equal(map_count(m), 2500);
	map_free(m, NULL);
}

static void test_list_each_may_remove_its_item(void **state)
{
	struct node { int n; struct list link; } nodes[4];
	struct list head = LIST_INIT(head);
	int sum = 0;

	(void) state;
	for (int i = 0; i < 4; i++) {
		nodes[i].n = i;
		list_append(&head, &nodes[i].link);
	}
	LIST_EACH(node, &head, struct node, link) {
		sum += node->n;
		list_remove(&node->link);
	}
	assert_int_equal(sum, 6);
	assert_true(list_is_empty(&head));
}

static void test_crc32c_has_the_check_value_of_the_rfc(void **state)
{
	unsigned char zeros[32] = { 0 };

	(void) state;
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
	assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aau);
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
	assert_int_equal(crc32c_portable(0, "123456789", 9), 0xe3069283u);
	assert_int_equal(crc32c_portable(0, zeros, 32), 0x8a9136aau);
	assert_int_equal(crc32c_portable(crc32c_portable(0, "1234", 4), "56789", 5), 0xe3069283u);
}

static pthread_barrier_t at_once;

static void *checks_right(void *unused)
{
	static char text[1000];

	(void) unused;
	pthread_barrier_wait(&at_once);
	/* of a thousand zeros, calculated bit by bit */
	return crc32c_portable(0, text, sizeof(text)) == 0xd84dda57u ? &at_once : NULL;
}

/* In a fresh process: the tables may be made at the first use. */
static bool first_uses_are_right(void)
{
	pthread_t threads[4];
	bool right = true;
	void *result;

	pthread_barrier_init(&at_once, NULL, COUNT_OF(threads));
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		if (pthread_create(&threads[i], NULL, checks_right, NULL) != 0)
			return false;
	for (size_t i = 0; i < COUNT_OF(threads); i++) {
		pthread_join(threads[i], &result);
		right = right && result != NULL;
	}
	return right;
}

static void test_threads_that_need_a_crc32c_first_and_at_once_all_get_the_right_one(void **state)
{
	(void) state;
	for (int n = 0; n < 100; n++) {
		const pid_t child = fork();
		int status;

		if (child == 0)
			_exit(first_uses_are_right() ? 0 : 1);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

static void test_plain_bytes_are_counted_wherever_the_odd_one_stands(void **state)
{
	char text[40];

	(void) state;
	for (size_t len = 0; len < sizeof(text); len++) {
		memset(text, 'x', sizeof(text));
		assert_int_equal(str_plain_len(str_make(text, len)), len);
		for (size_t at = 0; at < len; at++)
			for (int c = 0; c < 256; c++) {
				bool plain = c >= 32 && c < 127, control = c < 32 || c == 127;

				text[at] = (char) c;
				assert_int_equal(str_plain_len(str_make(text, len)), plain ? len : at);
				assert_int_equal(str_has_control(str_make(text, len)), control);
				text[at] = 'x';
			}
	}
}

static void test_formatted_text_grows_the_buffer_or_leaves_it_alone(void **state)
{
	AUTO(buf) b = BUF(100);

	(void) state;
	assert_int_equal(buf_addf(&b, "%s", ""), 0);
	for (int i = 0; i < 33; i++)
		assert_int_equal(buf_addf(&b, "%03d", i), 0);
	assert_int_equal(b.len, 99);
	assert_int_equal(buf_addf(&b, "%02d", 1), -EMSGSIZE);
	assert_int_equal(b.len, 99);
	assert_string_equal(b.at + 96, "032");
	assert_int_equal(buf_addf(&b, "%d", 1), 0);
	assert_string_equal(b.at + 96, "0321");
	buf_clear(&b);
	assert_int_equal(buf_add_u64(&b, 0), 0);
	assert_int_equal(buf_add_byte(&b, ' '), 0);
	assert_int_equal(buf_add_u64(&b, UINT64_MAX), 0);
	assert_str(buf_str(&b), "0 18446744073709551615");
}

static int times_asked;

static int ask(int answer)
{
	times_asked++;
	return answer;
}

static void the_smaller_and_the_larger_of_two_are_asked_for_once(void **state)
{
	(void) state;
	assert_int_equal(MIN(ask(1), ask(2)), 1);
	assert_int_equal(MAX(ask(1), ask(2)), 2);
	assert_int_equal(times_asked, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_bytes_are_counted_wherever_the_odd_one_stands),
		cmocka_unit_test(test_formatted_text_grows_the_buffer_or_leaves_it_alone),
		cmocka_unit_test(test_a_number_out_of_range_is_told_from_no_number),
		cmocka_unit_test(test_cut_and_token_walk_a_string),
		cmocka_unit_test(test_a_list_has_its_words_and_no_parts_of_them),
		cmocka_unit_test(test_only_text_that_is_one_pair_of_braces_has_an_inside),
		cmocka_unit_test(test_utf8_is_checked_strictly),
		cmocka_unit_test(test_formatted_text_of_any_length_is_added_whole),
		cmocka_unit_test(test_a_buffer_stops_at_its_limit_unchanged),
		cmocka_unit_test(test_printable_hides_control_bytes_and_keeps_utf8),
		cmocka_unit_test(test_base64_goes_there_and_back),
		cmocka_unit_test(test_what_is_not_quite_base64_is_refused),
		cmocka_unit_test(test_an_arena_frees_its_children),
		cmocka_unit_test(test_a_map_keeps_what_was_put_through_growth_and_removal),
		cmocka_unit_test(test_list_each_may_remove_its_item),
		/* before anybody has used it */
		cmocka_unit_test(test_threads_that_need_a_crc32c_first_and_at_once_all_get_the_right_one),
		cmocka_unit_test(test_crc32c_has_the_check_value_of_the_rfc),
		cmocka_unit_test(the_smaller_and_the_larger_of_two_are_asked_for_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
