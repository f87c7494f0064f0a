/* SPDX-License-Identifier: ISC */
/* The date of headers (RFC 5322 3.3). English whatever the locale. */
#include <stdlib.h>

#include "lib/base/format.h"
#include "lib/mail/header.h"

static void zone_print(const struct tm *tm, char *text, size_t size)
{
	const char *zone = tm->tm_zone;
	size_t n = 0;

	if (zone == NULL || size < 8)
		return;
	text[n++] = ' ';
	text[n++] = '(';
	for (; *zone != 0 && n + 2 < size; zone++)
		/* TZ is the environment's: no comment may be closed early */
		if (is_alnum(*zone) || *zone == '+' || *zone == '-')
			text[n++] = *zone;
	text[n++] = ')';
	text[n] = 0;
	if (n == 3)
		text[0] = 0;
}

void date_print(int64_t at_s, char text[64])
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
					    "Oct", "Nov", "Dec" };
	time_t at = (time_t) at_s;
	struct tm tm = { 0 };
	long minutes;
	int n;

	if (localtime_r(&at, &tm) == NULL) {
		at = 0;
		localtime_r(&at, &tm);
	}
	minutes = tm.tm_gmtoff / 60;
	n = format_text(text, 64, "%s, %02d %s %d %02d:%02d:%02d %c%02ld%02ld", days[tm.tm_wday % 7],
			tm.tm_mday, months[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
			tm.tm_sec, minutes < 0 ? '-' : '+', labs(minutes) / 60, labs(minutes) % 60);
	if (n > 0 && n < 64)
		zone_print(&tm, text + n, 64 - (size_t) n);
}
