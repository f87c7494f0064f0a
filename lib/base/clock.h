/* SPDX-License-Identifier: ISC */
/* The two clocks. Tests replace both with clock_set_for_test(). */
#ifndef ROAD_BASE_CLOCK_H
#define ROAD_BASE_CLOCK_H

#include <stdint.h>

int64_t wall_us(void);		/* microseconds since 1970; may jump */
int64_t wall_s(void);
int64_t mono_ms(void);		/* milliseconds on a clock that never goes back; for deadlines */
int64_t mono_us(void);
int64_t process_us(void);	/* of processor time that this process has used, all threads together */
void clock_set_for_test(int64_t wall_us_value, int64_t mono_us_value);	/* both < 0: the real ones again */

#endif
