/* SPDX-License-Identifier: ISC */
#include "lib/base/clock.h"

static int64_t test_wall = -1, test_mono = -1;

static int64_t read_clock(clockid_t id, int64_t replaced)
{
	struct timespec t;

	if (replaced >= 0)
		return replaced;
	clock_gettime(id, &t);
	return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t wall_us(void) { return read_clock(CLOCK_REALTIME, test_wall); }
int64_t wall_s(void) { return wall_us() / 1000000; }
int64_t mono_us(void) { return read_clock(CLOCK_MONOTONIC, test_mono); }
int64_t mono_ms(void) { return mono_us() / 1000; }
int64_t process_us(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID, -1); }

void clock_set_for_test(int64_t wall_us_value, int64_t mono_us_value)
{
	test_wall = wall_us_value;
	test_mono = mono_us_value;
}
