/* SPDX-License-Identifier: ISC */
/*
 * Queue ids: SSSSSSUUUUzPPPPPP. S: seconds and U: microseconds since 1970 in base 52; P in base 51:
 * process id and twelve random bits. Within a process the time always moves forward by at least one
 * microsecond, even when the clock does not, so two ids of one process differ; two processes that
 * live at the same time differ by their process id; and a process that gets a dead one's number
 * would need the same microsecond, after a clock step, and the same random bits.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/queue/queue.h"

static const char digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

enum { BASE = 52, UNIQUE_BASE = 51, SECOND_DIGITS = 6, MICRO_DIGITS = 4, RANDOM_BITS = 12 };

static uint64_t process_part;		/* 0: not made yet in this process */

static void forget_process_part(void)
{
	process_part = 0;
}

static void make_process_part(void)
{
	static bool registered;
	uint16_t random;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t) sizeof(random))
		die(EX_OSERR, "the kernel gives no random bytes");
	process_part = (uint64_t) getpid() << RANDOM_BITS | (random & ((1u << RANDOM_BITS) - 1));
	if (!registered) {
		pthread_atfork(NULL, NULL, forget_process_part);
		registered = true;
	}
}

/* At least `least` digits, most significant first; returns the end. */
static char *print_number(char *to, uint64_t value, unsigned base, int least)
{
	char reversed[16];
	int n = 0;

	while (value > 0 || n < least) {
		reversed[n++] = digits[value % base];
		value /= base;
	}
	while (n > 0)
		*to++ = reversed[--n];
	return to;
}

void queue_id_new(char text[32])
{
	static int64_t last;
	int64_t now = wall_us();
	char *at = text;

	if (process_part == 0)
		make_process_part();
	last = now > last ? now : last + 1;
	at = print_number(at, (uint64_t) (last / 1000000), BASE, SECOND_DIGITS);
	at = print_number(at, (uint64_t) (last % 1000000), BASE, MICRO_DIGITS);
	*at++ = 'z';
	at = print_number(at, process_part, UNIQUE_BASE, 6);
	*at = '\0';
}

/* Ids that an older system made (hex) are taken too: what matters is that an id is a harmless file name. */
bool queue_id_is_valid(struct str id)
{
	if (id.len < 6 || id.len > 31)
		return false;
	for (size_t i = 0; i < id.len; i++)
		if (!is_alnum(id.at[i]))
			return false;
	return true;
}

static int digit_value(char c)
{
	const char *at = c == '\0' ? NULL : strchr(digits, c);

	return at == NULL ? -1 : (int) (at - digits);
}

int queue_id_time(struct str id, int64_t *ret_us)
{
	ssize_t end;
	int64_t seconds = 0, micros = 0;

	/*
	 * the time's own digits may contain z: the separator is the first one behind the ten digits
	 * that there are at least
	 */
	end = id.len <= SECOND_DIGITS + MICRO_DIGITS ? -1
	      : str_find(str_skip(id, SECOND_DIGITS + MICRO_DIGITS), 'z');
	if (end < 0)
		return -EINVAL;
	end += SECOND_DIGITS + MICRO_DIGITS;
	for (ssize_t i = 0; i < end; i++) {
		int value = digit_value(id.at[i]);

		if (value < 0 || end > SECOND_DIGITS + MICRO_DIGITS + 2)
			return -EINVAL;
		if (i < end - MICRO_DIGITS)
			seconds = seconds * BASE + value;
		else
			micros = micros * BASE + value;
	}
	if (micros >= 1000000)
		return -EINVAL;
	*ret_us = seconds * 1000000 + micros;
	return 0;
}
