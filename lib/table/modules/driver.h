/* SPDX-License-Identifier: ISC */
/*
 * What a loadable module offers: a file in shlib_directory (lib/table/module.c says which) with one
 * exported object, table_module. It uses the C library and its own, and of ours the type struct str
 * only, so that it can be a package of its own, built against this header.
 *
 * There are three kinds of drivers. Where a function has words for a failure, it writes them to `why`.
 */
#ifndef ROAD_TABLE_DRIVER_H
#define ROAD_TABLE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/str.h"

enum { TABLE_MODULE_VERSION = 3 };

struct driver_words { char *at; size_t size; };	/* room for a message */

/* ---- servers: pgsql mysql sqlite ldap redis ---- */

/*
 * All functions run in threads of lib/table/helpers.c and may block, each for at most the time that
 * it is given. A connection is used by one thread at a time. The question is put together by
 * lib/table/server.c, a driver only carries it: nothing of what is asked ever becomes part of a
 * statement, values are passed beside it, or come quoted (LDAP filters).
 */
enum driver_result {
	DRIVER_ANSWERED = 0,
	DRIVER_FAILED = -1,		/* the server says no; asking another one is of no use */
	DRIVER_GONE = -2,		/* the connection is of no use any more */
};

/* The parameters of the table's file. */
struct driver_settings {
	const char *(*get)(const struct driver_settings *s, const char *name);	/* NULL: not set */
};

struct driver_question {
	const char *statement;		/* with placeholders; NULL: the arguments are all there is */
	const char *const *arguments;	/* without NUL bytes in them, none NULL */
	size_t argument_count;
	int timeout_ms;
	bool (*found)(void *arg, const char *value, size_t len);	/* for each value; false: enough */
	void *arg;
};

struct server_driver {
	const char *type;
	/*
	 * Looks at the parameters when the table is opened: 0, or -1 with words for what no server
	 * could ever mend. May be NULL.
	 */
	int (*check)(const struct driver_settings *s, struct driver_words why);
	/*
	 * host: one of `hosts`. timeout_ms: this host's share of the time; question_ms: what a
	 * question may take on the connection. NULL with words.
	 */
	void *(*connect)(const struct driver_settings *s, const char *host, int timeout_ms,
			 int question_ms, struct driver_words why);
	enum driver_result (*ask)(void *connection, const struct driver_question *q, struct driver_words why);
	void (*close)(void *connection);
};

/* ---- database files: hash btree lmdb (and cdb, which is built in) ---- */

/* < 0 stops with that. */
typedef int driver_entry(void *arg, struct str key, struct str value);

/*
 * All functions return -errno on failure. Reading and writing may go on at once in different
 * threads, on different files. Files come as descriptors, which are not owned; `path`, for words
 * and for libraries that open files themselves, stays good until the end.
 */
struct database_driver {
	const char *type;
	/* For reading. -EAGAIN: try again. */
	int (*open)(const char *path, int fd, void **ret_db, struct driver_words why);
	/* 1 found, 0 not there. The value is good until the next call. */
	int (*get)(void *db, struct str key, struct str *ret_value, struct driver_words why);
	void (*close)(void *db);
	/*
	 * Others write the file in place, and lock it meanwhile, with flock(). It is read in pieces
	 * that are whole, so what is found is true all the same.
	 */
	bool written_in_place;

	/*
	 * For writing: an empty file (fresh), or one that has entries. Others are never told of a
	 * file before finish() has returned.
	 */
	bool can_change;		/* false: only fresh files */
	int (*edit)(const char *path, int fd, bool fresh, size_t cache_bytes, void **ret_db,
		    struct driver_words why);
	bool (*has_nul)(void *db);	/* Do the entries there end with a NUL? NULL: never */
	/* 1, 0 it is there already */
	int (*put)(void *db, struct str key, struct str value, bool replace, struct driver_words why);
	/* 1, 0 it was not there */
	int (*remove)(void *db, struct str key, struct driver_words why);
	/* Ends the writing in any case; with `keep` everything is in the file then. */
	int (*finish)(void *db, bool keep, struct driver_words why);

	/* Every entry, as stored, in the database's order. */
	int (*each)(const char *path, int fd, driver_entry *say, void *arg, struct driver_words why);
};

/* ---- patterns: pcre ---- */

struct span { size_t from, to; };	/* of the key; from SIZE_MAX: the group took no part */

struct pattern_driver {
	const char *type;
	/* flags: the letters behind the pattern. *ret_groups: how many groups it has. -EINVAL with words. */
	int (*compile)(struct str text, struct str flags, void **ret_pattern, size_t *ret_groups,
		       struct driver_words why);
	void (*discard)(void *pattern);
	/*
	 * 1, with the whole match in groups[0] and group n in groups[n]; 0; -errno with words: it
	 * cannot be told.
	 */
	int (*match)(const void *pattern, struct str key, struct span *groups, size_t group_count,
		     struct driver_words why);
};

/* ---- the module ---- */

/* Lists that end with a row without type; NULL: none of the kind. */
struct table_module {
	int version;
	const struct server_driver *servers;
	const struct database_driver *databases;
	const struct pattern_driver *patterns;
};

extern const struct table_module table_module;

#endif
