/* SPDX-License-Identifier: ISC */
#include "lib/base/format.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/str.h"

struct target {
	char *at;
	size_t size;
	size_t len;			/* of all that should be there; more than `size`: not all is */
};

static void put(struct target *t, const char *text, size_t len)
{
	if (t->len < t->size)
		memcpy(t->at + t->len, text, MIN(len, t->size - t->len));
	t->len += len;
}

struct conversion {
	bool zeros, bounded;		/* "0" is there; a precision is there */
	int width, precision;		/* of numbers; of texts */
	int longs;			/* 0: int; 1: long, size_t and the like; 2: long long */
	char letter;
};

static int read_digits(const char **at)
{
	int n = 0;

	while (**at >= '0' && **at <= '9' && n < 1000)
		n = n * 10 + (*(*at)++ - '0');
	return n;
}

/* What follows the '%'. Asterisks take their argument. */
static struct conversion read_conversion(const char **at, va_list *arguments)
{
	struct conversion c = {0};

	if (**at == '0') {
		c.zeros = true;
		(*at)++;
	}
	c.width = read_digits(at);
	if (**at == '.') {
		(*at)++;
		c.bounded = true;
		if (**at == '*') {
			(*at)++;
			c.precision = va_arg(*arguments, int);
		} else {
			c.precision = read_digits(at);
		}
	}
	for (; **at == 'l' || **at == 'z'; (*at)++)
		c.longs++;
	c.letter = **at;
	if (c.letter != 0)
		(*at)++;
	return c;
}

static void put_number(struct target *t, const struct conversion *c, bool negative, unsigned long long n)
{
	static const char digits[] = "0123456789abcdef";
	char text[24];
	size_t at = sizeof(text);
	size_t width = (size_t) MIN(c->width, 20);

	if (c->letter == 'x')
		do
			text[--at] = digits[n % 16];
		while ((n /= 16) > 0);
	else		/* dividing by a constant is a multiplication */
		do
			text[--at] = digits[n % 10];
		while ((n /= 10) > 0);
	width = width > negative ? width - negative : 0;
	if (c->zeros)
		while (sizeof(text) - at < width)
			text[--at] = '0';
	if (negative)
		text[--at] = '-';
	put(t, text + at, sizeof(text) - at);
}

static bool convert(struct target *t, const struct conversion *c, va_list *arguments)
{
	bool is_number = c->letter == 'd' || c->letter == 'u' || c->letter == 'x';
	long long n;
	const char *text;
	char one;

	if (is_number && (c->bounded || c->width > 20 || (c->width > 0 && !c->zeros)))
		return false;
	if (!is_number && (c->width > 0 || c->zeros || c->longs > 0))
		return false;
	switch (c->letter) {
	case 's':
		text = va_arg(*arguments, const char *);
		if (text == NULL || (c->bounded && c->precision < 0))
			return false;
		put(t, text, c->bounded ? strnlen(text, (size_t) c->precision) : strlen(text));
		return true;
	case 'd':
		n = c->longs == 0 ? va_arg(*arguments, int) : c->longs == 1 ? va_arg(*arguments,
				long) : va_arg(*arguments, long long);
		put_number(t, c, n < 0, n < 0 ? 0 - (unsigned long long) n : (unsigned long long) n);
		return true;
	case 'u':
	case 'x':
		put_number(t, c, false, c->longs == 0 ? va_arg(*arguments, unsigned) : c->longs == 1
			   ? va_arg(*arguments, unsigned long)
			: va_arg(*arguments, unsigned long long));
		return true;
	case 'c':
		one = (char) va_arg(*arguments, int);
		if (c->bounded)
			return false;
		put(t, &one, 1);
		return true;
	case '%':
		put(t, "%", 1);
		return true;
	default:
		return false;
	}
}

static bool format_quickly(struct target *t, const char *format, va_list *arguments)
{
	for (;;) {
		const char *percent = strchrnul(format, '%');
		struct conversion c;

		put(t, format, (size_t) (percent - format));
		if (*percent == 0)
			return t->len <= INT_MAX;
		format = percent + 1;
		c = read_conversion(&format, arguments);
		if (!convert(t, &c, arguments))
			return false;
	}
}

int format_textv(char *at, size_t size, const char *format, va_list arguments)
{
	struct target t = { .at = at, .size = size > 0 ? size - 1 : 0 };
	va_list again;
	bool done;

	va_copy(again, arguments);
	done = format_quickly(&t, format, &again);
	va_end(again);
	if (!done)
		return vsnprintf(at, size, format, arguments);
	if (size > 0)
		at[MIN(t.len, t.size)] = 0;
	return (int) t.len;
}

int format_text(char *at, size_t size, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = format_textv(at, size, format, arguments);
	va_end(arguments);
	return n;
}
