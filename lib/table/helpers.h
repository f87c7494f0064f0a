/* SPDX-License-Identifier: ISC */
/*
 * Threads that ask a database on behalf of coroutines: each has one connection, made when it is
 * needed and kept while it is used. The libraries of databases block; a pool of its own for each
 * table keeps a slow one from holding up anything else. Whatever happens to a thread, who waits for
 * it gets an answer in time: a thread that does not return is given up, and ends when it does.
 */
#ifndef ROAD_TABLE_HELPERS_H
#define ROAD_TABLE_HELPERS_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/co/co.h"
#include "lib/table/modules/driver.h"

struct helpers;

struct helper_settings {
	const struct server_driver *driver;
	const struct driver_settings *settings;		/* lives as long as the pool */
	struct str hosts;		/* separated by commas or white space */
	int most;			/* connections at once */
	/* of one question, connecting included, which each host gets its share of the time for */
	int timeout_ms;
	int idle_ms;			/* a connection that is not used for so long is closed */
	/* a host that failed is passed over for so long if there is another one */
	int retry_ms;
};

struct helpers *helpers_new(const struct helper_settings *settings);
/*
 * Nobody may be asking any more. Threads that were given up end when they are through; `released`
 * is called, in any thread, when the last one has: the settings may go then.
 */
void helpers_release(struct helpers *h, void (*released)(void *arg), void *arg);

/* The answer to one question, in the asker's hands: a list of values, none of them empty. */
struct helper_answer {
	struct buf bytes;
	size_t *lengths;
	size_t count;
};
void helper_answer_auto(struct helper_answer *a);

/*
 * Asks: statement (NULL: none; lives as long as the pool) and arguments (copied). More than
 * most_values (0: no limit) or most_bytes of values are an error. 0 or -errno with words; also when
 * no connection gets free until then.
 */
int helpers_ask(struct helpers *h, const char *statement, const struct str *arguments, size_t argument_count,
		size_t most_values, struct helper_answer *ret_answer, struct buf *why) MAY_YIELD;

#endif
