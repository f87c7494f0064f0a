/* SPDX-License-Identifier: ISC */
/* What the files of this room share: where settings are kept, and the reader of logical lines. */
#ifndef ROAD_CONF_PRIVATE_H
#define ROAD_CONF_PRIVATE_H

#include "lib/base/map.h"
#include "lib/conf/conf.h"

enum {
	CONF_MOST_FILE = 16 << 20,	/* bytes of main.cf or master.cf */
	CONF_MOST_VALUE = 4 << 20,	/* bytes of one expanded value */
	CONF_MOST_DEPTH = 50,		/* of $name within $name */
	CONF_MOST_STEPS = 200000,	/* $names in one expansion: stops exponential ones */
	CONF_MOST_MEMORY = 256 << 20,
};

enum setting_source { SET_IN_MAIN_CF, SET_BY_OVERRIDE, SET_BY_COMPUTING };

struct setting {
	struct str name;
	struct str value;		/* as written, not expanded */
	enum setting_source source;
	int line;			/* of main.cf; 0: set elsewhere */
};

struct conf {
	struct arena *arena;		/* everything below; lives until conf_free */
	const char *dir;
	const char *path;		/* DIR/main.cf */
	struct map *settings;		/* name -> struct setting */
	VEC(struct setting *) in_order;	/* those of main.cf, as they first appeared */
	VEC(struct str) notes;		/* oddities met while reading, for conf_review() */
	bool computing_domain;		/* $mydomain is being derived from $myhostname right now */
};

/* ---- registered defaults (defaults.c) ---- */

struct param_default {
	const char *name;
	enum param_type type;
	const char *text;		/* NULL: computed */
};
extern const struct param_default param_defaults[];
extern const size_t param_default_count;
const struct param_default *param_default_by_name(struct str name);	/* NULL: not registered */

/* The default of a name that nothing sets, by computing (computed.c). False: there is none. */
bool conf_computed_default(struct conf *c, struct str name, struct str *ret_value);

/* ---- values as written (conf.c) ---- */

struct setting *conf_setting(const struct conf *c, struct str name);	/* NULL: not set */
void conf_put(struct conf *c, struct str name, struct str value, enum setting_source source, int line);
bool conf_is_name(struct str name);		/* what may stand before "=" */
bool param_is_raw(struct str name);		/* registered as RAW */

/* ---- files (logical_line.c) ---- */

/* As conf_read_file(), of a file that is open; path is for the words. */
int conf_read_open(struct arena *a, int fd, const char *path, struct str *ret_text, struct buf *why);

/*
 * main.cf and master.cf consist of logical lines: a line that starts with white space continues the
 * one before it; empty lines and lines whose first character (white space apart) is # count for
 * nothing, even between a line and its continuation.
 */
struct logical_lines {
	struct str rest;
	int next_line;			/* number of the first line of rest; start with 1 */
};
/*
 * The next logical line in the arena, its parts joined by one space, without white space at its
 * end. *ret_line: number of its first line. A continuation of nothing comes back as it is, with its
 * white space in front. False at the end.
 */
bool logical_line_next(struct logical_lines *l, struct arena *a, struct str *ret_text, int *ret_line);

#endif
