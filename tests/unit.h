/* SPDX-License-Identifier: ISC */
/* What every cmocka test includes, in the order that cmocka wants. */
#ifndef ROAD_TESTS_UNIT_H
#define ROAD_TESTS_UNIT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "lib/base/str.h"

#define assert_str(actual, expected) do { \
	struct str actual_ = (actual), expected_ = str_of(expected); \
	if (!str_is(actual_, expected_)) \
		fail_msg("got \"%.*s\", expected \"%.*s\"", PSTR(actual_), PSTR(expected_)); \
} while (0)

#endif
