/* SPDX-License-Identifier: ISC */
#ifndef ROAD_POSTMAP_POSTMAP_H
#define ROAD_POSTMAP_POSTMAP_H

#include "lib/base/arena.h"
#include "lib/conf/params/table.h"
#include "lib/daemon/daemon.h"
#include "lib/table/edit.h"
#include "lib/table/files_value.h"

/* What the command line asks for. */
struct job {
	bool aliases;			/* called as postalias: "name: value" */
	bool fold;			/* not -f */
	bool incremental;		/* -i */
	bool replace;			/* -r */
	bool ignore_duplicates;		/* -w */
	bool stay_root;			/* -o */
	bool default_mode;		/* -p */
	bool with_nul;			/* -N */
	bool utf8;			/* smtputf8_enable, unless -u or -U: keys and values are UTF-8 */
	const char *query, *remove;	/* -q, -d: a key, or "-" for keys on standard input */
	bool list;			/* -s */
	/* -h, -b: the keys are those of a message on standard input; -m: with its MIME structure */
	bool headers, body, mime;
	/* -F: values are lists of files, whose contents are stored, as base64 */
	bool files;
	size_t cache_bytes;
};

/* One table of the command line. */
struct target {
	const char *spec;		/* "hash:/absolute/name" */
	const char *type;
	const char *path;		/* of the source */
	const char *database;		/* path and ".db"; NULL: not a type that can be made */
};

/* Each returns true when a key was found (deleted). */
bool query_tables(const struct job *job, const struct target *targets, size_t count);
bool remove_keys(const struct job *job, const struct target *target);
void list_table(const struct job *job, const struct target *target);
void build_table(const struct job *job, const struct target *target);

/* Calls look_up() with each header and line of the message on standard input that -h and -b ask for. */
void each_line_of_message(const struct job *job, void (*look_up)(void *arg, struct str key), void *arg);
/* The keys of -q - and -d -: one per line. False at the end. */
bool next_key(struct arena *a, struct str *ret_key);
/* Works as the owner of that file (not -o, and root only); for good. NULL, or no such file: nobody else. */
void become_owner_of(const struct job *job, const char *path, const char *otherwise);
/* What makes tables of that type. Dies with words. */
const struct database_driver *driver_of(const struct target *target);
/* The key as it is stored and asked for. */
struct str fold_key(const struct job *job, struct arena *a, struct str key);

#endif
