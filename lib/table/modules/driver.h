/* SPDX-License-Identifier: ISC */
/*
 * What a loadable module for a database offers: TYPE.so in shlib_directory, with one exported object, table_driver. It uses the C library and its own, nothing of
 * ours: lib/table/server.c puts the question together, a module only carries it.
 *
 * All functions run in threads of lib/table/helpers.c and may block, each for at most the time that it is given. A connection is used by one thread
 * at a time. Nothing of what is asked ever becomes part of a statement: values are passed beside it, or come quoted (LDAP filters).
 */
#ifndef ROAD_TABLE_DRIVER_H
#define ROAD_TABLE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>

enum { TABLE_DRIVER_VERSION = 1 };

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

struct driver_words { char *at; size_t size; };	/* room for a message */

struct table_driver {
	int version;
	const char *type;
	/* Looks at the parameters when the table is opened: 0, or -1 with words for what no server could ever mend. May be NULL. */
	int (*check)(const struct driver_settings *s, struct driver_words why);
	/* host: one of `hosts`. NULL with words. */
	void *(*connect)(const struct driver_settings *s, const char *host, int timeout_ms, struct driver_words why);
	enum driver_result (*ask)(void *connection, const struct driver_question *q, struct driver_words why);
	void (*close)(void *connection);
};

extern const struct table_driver table_driver;

#endif
