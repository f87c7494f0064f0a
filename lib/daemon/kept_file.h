/* SPDX-License-Identifier: ISC */
/*
 * What a service has learnt, in a file of data_directory: written some seconds after it has changed
 * and when the process ends, read when the next one starts. Not being able to read or write it
 * costs the memory and a warning, never the service.
 */
#ifndef ROAD_DAEMON_KEPT_FILE_H
#define ROAD_DAEMON_KEPT_FILE_H

#include "lib/base/buf.h"
#include "lib/co/co.h"

struct kept_file {
	const char *name;		/* in data_directory */
	void (*print)(struct buf *b);	/* all that is known */
	/* how many lines were malformed, and left out; -EINVAL: it is no such file */
	int (*parse)(struct str text);
	bool is_dirty;			/* set by whoever changes what is known */
	when_t not_before;		/* the next time that it is written */
};

/* In start(), with data_directory in the jail's paths for later ('w'). most: a larger file is not read. */
void kept_file_load(struct kept_file *f, size_t most);
/* Call often: writes what is dirty, once in ten seconds. */
void kept_file_tend(struct kept_file *f) MAY_YIELD;
/* At the end of run(). */
void kept_file_leave(struct kept_file *f) MAY_YIELD;

#endif
