/* SPDX-License-Identifier: ISC */
/* What the files of postconf share: the options, and how a line is printed. */
#ifndef ROAD_POSTCONF_H
#define ROAD_POSTCONF_H

#include "lib/conf/review.h"

enum {
	POSTCONF_MOST_LINE = 8 << 20,
	POSTCONF_MOST_FILE = 64 << 20,
	FOLD_AT = 80,			/* columns, with -f */
	POSTCONF_FAILURE = 1,		/* the exit status of whatever goes wrong, as scripts know it */
};

enum edit_kind { EDIT_NONE, EDIT_SET, EDIT_REMOVE, EDIT_COMMENT_OUT, EDIT_RESTORE };	/* -e, -X, -#, -r */

enum postconf_mode {
	MAIN_CF, ROWS, COLUMNS, OVERRIDES, LOCK_TYPES, SASL_SERVER_TYPES, SASL_CLIENT_TYPES,
		TABLE_TYPES, TLS_FEATURE,
	BOUNCE_TEXT, BOUNCE_TEMPLATES, MANUAL, DIFFERENCES, EXPLANATION,
};

/*
 * Which of the parameters that are set: -n all, -D those with another value than the default, -N
 * those with the default's.
 */
enum set_filter { SET_OR_NOT, SET_AT_ALL, SET_DIFFERENTLY, SET_NEEDLESSLY };

/* What the command line asks for (options.c). */
struct request {
	const char *dir;
	enum postconf_mode mode;
	enum edit_kind edit;
	bool check_values;		/* -E: an edit that would leave a value out of bounds is refused */
	const char *tls_feature;	/* -T */
	const char *other_dir;		/* --diff */
	const char *overrides[256];	/* -o */
	size_t override_count;
};

struct postconf {
	struct conf *conf;
	struct conf *empty;		/* a main.cf in which nothing is set: computed defaults */
	struct review *review;
	struct arena *arena;		/* for the whole run */
	enum set_filter filter;		/* -n, -D, -N */
	bool defaults;			/* -d */
	bool expand;			/* -x */
	bool fold;			/* -f */
	bool no_names;			/* -h */
	bool no_values;			/* -H */
	bool json;			/* -j */
	bool quiet;			/* -q: no word about unused and unsupported parameters */
	unsigned classes;		/* -C: 1 << enum name_class */
	struct map *overridden;		/* names given with -o */
	bool failed;			/* a value could not be expanded: said, and for the exit status */
};

/* ---- options.c ---- */

/*
 * Reads the options; dies with words when they contradict each other. Returns the index of the
 * first argument.
 */
int take_options(struct postconf *p, struct request *q, int argc, char **argv);

/* ---- print.c: text, or one JSON object or list per answer ---- */

void answer_begin(const struct postconf *p, char bracket);	/* { or [: nothing unless -j */
void answer_end(const struct postconf *p, char bracket);
/* Words separated by one space; with -f, lines are folded. */
void print_words(const struct postconf *p, struct str text);
/* "name = value", or what -h and -H leave of it; with -j a member of the object. */
void print_assignment(const struct postconf *p, struct str name, struct str value);
void print_item(const struct postconf *p, struct str text);	/* of a list */
/* -j: the comma between two of what the caller prints itself */
void print_separator(const struct postconf *p);
void print_json_text(struct str text);				/* quoted and escaped */
/* To stderr, after what was printed so far: "postconf: warning: ...". */
__attribute__((format(printf, 1, 2))) void warn(const char *format, ...);

/* ---- main_params.c ---- */

struct names {
	struct str *at;
	size_t len, cap;
};
void list_parameters(struct postconf *p);
void show_parameter(struct postconf *p, struct str name);
/* Every name that list_parameters() would show, in order, each once. */
void collect_parameters(struct postconf *p, struct names *ret);
bool value_of(struct postconf *p, struct str name, struct str *ret);

/* ---- explain.c ---- */

/* --explain; none: all that main.cf sets */
void explain_parameters(struct postconf *p, char **names, int count);

/* ---- diff.c ---- */

int list_differences(struct postconf *p, const char *other_dir);	/* --diff; 1 if there are any */

/* ---- pieces.c: a configuration file as it stands, so that it can be written back with its comments ---- */

struct piece {
	bool is_entry;			/* else a line of nothing: a comment, or blank */
	struct str text;		/* its physical lines, line ends included */
	struct str comments;		/* lines of nothing between those of an entry */
	struct str logical;		/* of an entry: its lines joined, without comments */
	int line;
};
struct pieces {
	struct piece *at;
	size_t len, cap;
};
struct pieces split_pieces(struct arena *a, struct str text);
bool is_continuation(struct str line);		/* an entry that starts so belongs to nothing */
void add_commented_out(struct buf *b, const struct piece *e);	/* each line that counts with # in front */

/* ---- master_file.c: rows of master.cf, read with few demands: postconf shows what is there ---- */

struct row {
	struct str column[MASTER_CF_COLUMNS];	/* the last is the command without arguments */
	VEC(struct str) argv;			/* braces removed, "-ox=y" as "-o" "x=y" */
	int line;
};
struct rows {
	struct row *at;
	size_t len, cap;
};
extern const char *const column_names[MASTER_CF_COLUMNS];

int column_by_name(struct str name);		/* -1: no such column */
/* A row from a logical line. False, with words: too few columns, or one that cannot be. */
bool parse_row(struct arena *a, struct str line, struct row *ret, struct buf *why);
/* The same for one column (set_column) or the command with its arguments. */
bool set_column(struct arena *a, struct row *r, int column, struct str value, struct buf *why);
/* False, with words: the file cannot be read, or a row is wrong. */
bool read_rows(struct arena *a, const char *dir, struct rows *ret, struct buf *why);
/* The next -o NAME=VALUE among the arguments; *at starts at 0 and is left behind it. */
bool next_override(const struct row *r, size_t *at, struct str *ret_name, struct str *ret_value);
/* "service/type/rest": parts that are missing, empty or "*" match everything. */
struct pattern {
	struct str service, type, rest;
	int parts;
};
struct pattern parse_pattern(struct str text);
bool part_matches(struct str part, struct str name);
bool row_matches(const struct pattern *p, const struct row *r);
/* The row as -M prints it, with its line end; fold as with -f. */
void add_row(struct buf *b, const struct row *r, bool fold);
void add_command(struct buf *b, const struct row *r, bool fold);

/* ---- master_rows.c; each argument is a pattern, none: everything ---- */

void list_rows(struct postconf *p, char **patterns, int count);		/* -M: service[/type] */
void list_columns(struct postconf *p, char **patterns, int count);	/* -F: service[/type[/column]] */
void list_overrides(struct postconf *p, char **patterns, int count);	/* -P: service[/type[/name]] */

/* ---- edit_file.c ---- */

/*
 * A file under edit: opened under a lock, replaced as a whole. A reader sees the old file or the
 * new one, two editors do not undo each other's work, owner and mode stay, and so does a symbolic
 * link to it. Every failure dies with words.
 */
struct edit_file {
	struct arena *arena;
	const char *path, *temporary;
	struct str text;		/* as it is */
	struct buf out;			/* as it will be */
	int fd;				/* of the temporary file, locked */
};
void edit_open(struct edit_file *f, const char *dir, const char *name);
void edit_commit(struct edit_file *f);	/* nothing is written when nothing changed; frees all */

/* "name = value" of -e: no second line, no comment. What is in the way, or NULL. */
const char *bad_argument(struct str text);

/* ---- edit.c, edit_master.c ---- */

/*
 * Changes main.cf as -e (arguments are assignments), -X, -# or -r (names) say. Dies with words when
 * it cannot.
 */
void edit_main_cf(const struct request *q, char **arguments, int count);
void edit_master_cf(const struct request *q, char **arguments, int count);	/* with -M, -F or -P */

/* ---- man.c ---- */

void print_manual(void);		/* postconf(5) in troff, from the registry */

#endif
