/* SPDX-License-Identifier: ISC */
/* What a row of master.cf says about a pipe service: "flags=R user=news argv=/path/program $sender". */
#ifndef ROAD_PIPE_ATTRIBUTES_H
#define ROAD_PIPE_ATTRIBUTES_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

enum pipe_flags {
	PIPE_EMPTY_LINE = 1,		/* B */
	PIPE_DELIVERED_TO = 2,		/* D */
	PIPE_FROM = 4,			/* F */
	PIPE_ORIGINAL_TO = 8,		/* O */
	PIPE_RETURN_PATH = 16,		/* R */
	PIPE_FINAL = 32,		/* X */
	PIPE_LOWER_DOMAIN = 64,		/* h */
	PIPE_QUOTE_LOCAL = 128,		/* q */
	PIPE_LOWER_LOCAL = 256,		/* u */
	PIPE_DOTS = 512,		/* . */
	PIPE_QUOTE_FROM = 1024,		/* > */
};

struct attributes {
	struct str user, group;		/* group empty: the user's own */
	unsigned flags;
	int64_t size;			/* the most bytes of a message; 0: no limit */
	struct str eol;			/* decoded */
	struct str null_sender;
	const char *directory, *chroot;	/* NULL: not said */
	const struct str *argv;		/* not expanded yet; at least one */
	size_t argc;
};
/* -EINVAL with words. Everything is copied or points into words. */
int attributes_parse(const struct str *words, size_t n, struct arena *a, struct attributes *ret,
		     struct buf *why);

#endif
