/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <limits.h>

#include "lib/base/format.h"

/* The same bytes, the same length, whatever room there is. */
#define SAME(...) do { \
	for (size_t size = 0; size <= 80; size++) { \
		char a[80], b[80]; \
		memset(a, '#', sizeof(a)); \
		memset(b, '#', sizeof(b)); \
		assert_int_equal(format_text(size == 0 ? NULL : a, size, __VA_ARGS__), snprintf(size == 0 ? NULL : b, size, __VA_ARGS__)); \
		assert_memory_equal(a, b, sizeof(a)); \
	} \
} while (0)

static void what_is_made_here_is_what_libc_makes(void **state)
{
	const char not_ended[] = { 'a', 'b', 'c' };

	(void) state;
	SAME("plain");
	SAME("%s", "");
	SAME("<%s> and <%s>, 100%%", "user@example.com", "x");
	SAME("%.*s|%.0s|%.2s", 2, "abcdef", "abc", "abc");
	SAME("%.*s", 3, not_ended);
	SAME("%c%c", 'a', '\n');
	SAME("%d %d %d %d", 0, -1, INT_MAX, INT_MIN);
	SAME("%ld %lld %zd", LONG_MIN, LLONG_MIN, (ssize_t) -5);
	SAME("%u %lu %llu %zu", UINT_MAX, ULONG_MAX, ULLONG_MAX, SIZE_MAX);
	SAME("%x %lx %02x", 0xdeadbeefU, 0xfeedUL, 7U);
	SAME("%02d:%02d:%06d %02d", 1, 23, -456, 1234);
	SAME("%020d", -1);
}

static void what_is_not_made_here_is_left_to_libc_as_a_whole(void **state)
{
	(void) state;
	SAME("%s %-6s|%6s|", "a", "b", "c");
	SAME("%d %5d %+d % d", 1, 2, 3, 4);
	SAME("%d %.3d %021d", 1, 2, 3);
	SAME("%s %.2f %g", "a", 1.005, 1e9);
	SAME("%s %X %o %08X", "a", 0xABCU, 8U, 0xABCU);
	SAME("%.*s", -1, "a negative precision is none");
	SAME("%hhd %hd", 'a', (short) 300);
	SAME("%*d", 5, 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_made_here_is_what_libc_makes),
		cmocka_unit_test(what_is_not_made_here_is_left_to_libc_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
