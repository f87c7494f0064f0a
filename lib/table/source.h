/* SPDX-License-Identifier: ISC */
/*
 * The text that tables are made of: logical lines. A line that begins with white space continues
 * the one before (the white space stays); empty lines and lines whose first other character is # do
 * not count, wherever they stand.
 */
#ifndef ROAD_TABLE_SOURCE_H
#define ROAD_TABLE_SOURCE_H

#include "lib/base/buf.h"

struct source {
	const char *name;		/* for words: the file, or the type */
	struct str rest;
	int next_line;
	int line;			/* where the logical line at hand begins */
	struct buf joined;
};

/* name and text are not copied. */
void source_start(struct source *s, const char *name, struct str text);
void source_end(struct source *s);
/*
 * Valid until the next call. Without white space at the end. A first line that begins with white
 * space is left out with a warning.
 */
bool source_next(struct source *s, struct str *ret_line);
/* Reads a whole file, at most `most` bytes, from its beginning. */
int source_read_file(int fd, size_t most, struct buf *b);

/*
 * "key value" of postmap's sources. The key ends at the first white space outside double quotes;
 * views into line. -EINVAL with words: the entry has to be left out. A key that ends in a colon is
 * warned about: that is an alias file.
 */
int source_split_entry(struct str line, struct str *ret_key, struct str *ret_value, struct buf *why);
/*
 * "name: value, value" of aliases(5): the name without its quotes, the value in the form that
 * source_alias.c describes. Both go into the buffers, for which there must be room for four times
 * the line. -EINVAL with words.
 */
int source_split_alias(struct str line, struct buf *key, struct buf *value, struct buf *why);

#endif
