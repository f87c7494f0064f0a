/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include "lib/agent/delays.h"

static void expect(int64_t us, int digits, const char *text)
{
	AUTO(buf) b = BUF(100);

	delay_add(&b, us, digits);
	assert_str(buf_str(&b), text);
}

static void delays_have_two_significant_digits(void **state)
{
	(void) state;
	expect(153000, 2, "0.15");
	expect(1250000, 2, "1.3");
	expect(12600000, 2, "13");
	expect(123400000, 2, "123");
	expect(86400000000, 2, "86400");
}

static void delays_have_no_more_decimals_than_asked_for(void **state)
{
	(void) state;
	expect(4300, 2, "0");
	expect(5000, 2, "0.01");
	expect(43000, 2, "0.04");
	expect(43210, 6, "0.043");
	expect(43, 6, "0.000043");
	expect(1500000, 0, "2");
}

static void trailing_zeros_are_left_out(void **state)
{
	(void) state;
	expect(0, 2, "0");
	expect(100000, 2, "0.1");
	expect(1000000, 2, "1");
	expect(9960000, 2, "10");
	expect(2000, 6, "0.002");
}

static void a_clock_that_was_set_back_makes_no_negative_delay(void **state)
{
	(void) state;
	expect(-5000000, 2, "0");
}

static void delays_of_a_delivery_are_told_by_station(void **state)
{
	struct stations s = { .arrival = 1000000,
			      .active = 1150000,
			      .dispatch = 1160000,
			      .connected = 2360000,
			      .done = 3360000 };
	AUTO(buf) b = BUF(200);

	(void) state;
	delays_add(&b, &s, 2);
	assert_str(buf_str(&b), "delay=2.4, delays=0.15/0.01/1.2/1");
	buf_clear(&b);
	s.connected = 0;
	delays_add(&b, &s, 2);
	assert_str(buf_str(&b), "delay=2.4, delays=0.15/0.01/0/2.2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delays_have_two_significant_digits),
		cmocka_unit_test(delays_have_no_more_decimals_than_asked_for),
		cmocka_unit_test(trailing_zeros_are_left_out),
		cmocka_unit_test(a_clock_that_was_set_back_makes_no_negative_delay),
		cmocka_unit_test(delays_of_a_delivery_are_told_by_station),
	};

	return cmocka_run_group_tests_name("delays", tests, NULL, NULL);
}
