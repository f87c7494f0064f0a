/* SPDX-License-Identifier: ISC */
/* See input.h. */
#include "lib/io/input.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/die.h"

void input_begin(struct input *in, int fd)
{
	*in = (struct input){ .fd = fd, .at = get_memory(INPUT_SIZE) };
}

void input_free(struct input *in)
{
	free(in->at);
	in->at = NULL;
}

/* Reads more behind what is there. False: nothing more came, or the buffer is full. */
static bool read_more(struct input *in)
{
	ssize_t n;

	if (in->start > 0) {
		memmove(in->at, in->at + in->start, in->end - in->start);
		in->end -= in->start;
		in->start = 0;
	}
	if (in->end == INPUT_SIZE || in->ended)
		return false;
	do {
		n = read(in->fd, in->at + in->end, INPUT_SIZE - in->end);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		in->error = -errno;
	if (n <= 0) {
		in->ended = true;
		return false;
	}
	in->end += (size_t) n;
	return true;
}

static struct str at_hand(const struct input *in)
{
	return str_make(in->at + in->start, in->end - in->start);
}

static bool take(struct input *in, size_t n, struct str *ret)
{
	*ret = str_make(in->at + in->start, n);
	in->start += n;
	return n > 0;
}

bool input_line(struct input *in, struct str *ret_line)
{
	size_t searched = 0;

	for (;;) {
		ssize_t lf = str_find(str_skip(at_hand(in), searched), '\n');

		if (lf >= 0)
			return take(in, searched + (size_t) lf + 1, ret_line);
		searched = at_hand(in).len;
		if (!read_more(in))
			return take(in, at_hand(in).len, ret_line);
	}
}

bool input_bytes(struct input *in, size_t most, struct str *ret_bytes)
{
	if (at_hand(in).len == 0)
		read_more(in);
	return take(in, MIN(at_hand(in).len, most), ret_bytes);
}

void input_give_back(struct input *in, size_t n)
{
	BUG_UNLESS(n <= in->start);
	in->start -= n;
}
