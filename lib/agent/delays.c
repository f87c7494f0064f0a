/* SPDX-License-Identifier: ISC */
/* See delays.h. Log analysers read these numbers: the shape is Postfix's. */
#include "lib/agent/delays.h"

static const int64_t tens[] = { 1, 10, 100, 1000, 10000, 100000, 1000000 };

/* How many decimals leave two significant digits. */
static int decimals_of(int64_t us)
{
	int decimals = 0;

	for (int64_t rest = us; rest < 10000000 && decimals < 6; rest *= 10)
		decimals++;
	return decimals;
}

void delay_add(struct buf *b, int64_t us, int digits)
{
	int decimals;
	int64_t step, fraction;

	us = MAX(us, 0);
	decimals = MIN(decimals_of(us), digits);
	step = tens[6 - decimals];
	us = (us + step / 2) / step * step;
	buf_add_u64(b, (uint64_t) us / 1000000);
	fraction = us % 1000000 / step;
	while (fraction > 0 && fraction % 10 == 0) {
		fraction /= 10;
		decimals--;
	}
	if (fraction == 0)
		return;
	buf_add_byte(b, '.');
	while (--decimals > 0 && fraction < tens[decimals])
		buf_add_byte(b, '0');
	buf_add_u64(b, (uint64_t) fraction);
}

void delays_add(struct buf *b, const struct stations *s, int digits)
{
	int64_t connected = s->connected > 0 ? s->connected : s->dispatch;
	const int64_t spans[] = { s->active - s->arrival, s->dispatch - s->active, connected - s->dispatch,
				  s->done - connected };

	buf_add_text(b, "delay=");
	delay_add(b, s->done - s->arrival, digits);
	buf_add_text(b, ", delays=");
	for (size_t i = 0; i < COUNT_OF(spans); i++) {
		if (i > 0)
			buf_add_byte(b, '/');
		delay_add(b, spans[i], digits);
	}
}
