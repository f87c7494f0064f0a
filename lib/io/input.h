/* SPDX-License-Identifier: ISC */
/*
 * Buffered reading with plain blocking calls, for commands: standard input belongs to whoever
 * started us, so it is not made non-blocking as struct stream would.
 */
#ifndef ROAD_IO_INPUT_H
#define ROAD_IO_INPUT_H

#include "lib/base/str.h"

enum { INPUT_SIZE = 64 << 10 };

struct input {
	int fd;
	char *at;
	size_t start, end;
	bool ended;
	int error;			/* sticky -errno of a failed read */
};

void input_begin(struct input *in, int fd);	/* the descriptor stays the caller's */
void input_free(struct input *in);
/*
 * The next line, with its LF. At most INPUT_SIZE bytes: the rest of a longer line comes with the
 * next call, so a view without LF at its end is a piece of a line or the last line. Valid until the
 * next call. False: at the end, or after an error (see error).
 */
bool input_line(struct input *in, struct str *ret_line);
/* The next bytes, at least one and at most `most`. As above. */
bool input_bytes(struct input *in, size_t most, struct str *ret_bytes);
/* the last n bytes of the last view were not wanted yet */
void input_give_back(struct input *in, size_t n);

#endif
