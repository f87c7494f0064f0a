/* SPDX-License-Identifier: ISC */
/* What the files of postconf share: the options, and how a line is printed. */
#ifndef ROAD_POSTCONF_H
#define ROAD_POSTCONF_H

#include "lib/conf/review.h"

enum { POSTCONF_MOST_LINE = 8 << 20, FOLD_AT = 80 /* columns, with -f */ };

enum edit_kind { EDIT_NONE, EDIT_SET, EDIT_REMOVE, EDIT_COMMENT_OUT };	/* -e, -X, -# */

struct postconf {
	struct conf *conf;
	struct conf *empty;		/* a main.cf in which nothing is set: computed defaults */
	struct review *review;
	struct arena *arena;		/* for the whole run */
	bool defaults;			/* -d */
	bool only_set;			/* -n */
	bool expand;			/* -x */
	bool fold;			/* -f */
	bool no_names;			/* -h */
	bool no_values;			/* -H */
	unsigned classes;		/* -C: 1 << enum name_class */
	struct map *overridden;		/* names given with -o */
};

/* ---- print.c ---- */

/* Words separated by one space; with -f, lines are folded. */
void print_words(const struct postconf *p, struct str text);
/* "name = value", or what -h and -H leave of it. */
void print_assignment(const struct postconf *p, struct str name, struct str value);
/* To stderr, after what was printed so far: "postconf: warning: ...". */
__attribute__((format(printf, 1, 2))) void warn(const char *format, ...);

/* ---- main_params.c ---- */

void list_parameters(struct postconf *p);
void show_parameter(struct postconf *p, struct str name);

/* ---- master_rows.c; each argument is a pattern, none: everything ---- */

void list_rows(struct postconf *p, char **patterns, int count);		/* -M: service[/type] */
void list_columns(struct postconf *p, char **patterns, int count);	/* -F: service[/type[/column]] */
void list_overrides(struct postconf *p, char **patterns, int count);	/* -P: service[/type[/name]] */

/* ---- edit.c ---- */

/* Changes main.cf as -e (arguments are assignments), -X or -# (names) say. Dies with words when it cannot. */
void edit_main_cf(const char *dir, enum edit_kind kind, char **arguments, int count);

/* ---- man.c ---- */

void print_manual(void);		/* postconf(5) in troff, from the registry */

#endif
