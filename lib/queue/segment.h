/* SPDX-License-Identifier: ISC */
/*
 * The intake log on disk: queue_directory/intake/ holds
 *
 *   log-NAME    a segment: messages laid end to end in the queue file's form, each on a multiple of SEGMENT_ALIGN
 *   done-NAME   its ledger, one line per thing that happened: see ledger.h
 *   free-NAME   a segment that nobody needs any more, to be used again: its blocks are allocated, so that a sync writes data only
 *
 * NAME is 64 random bits, new for every use of the file. Every message's head repeats it: what is
 * left of a former use has another name, and no remote party can write a body that looks like a
 * message, because none ever sees a name.
 *
 * Life of a segment:
 *   free-   taken by one cleanup process: locks the owner's byte, renames it to log-, syncs the directory
 *   log-    the owner appends; one sync makes a batch durable. It is sealed when the owner lets go of the lock, or dies
 *   log-    sealed, and every message done or moved to a file of its own: qmgr renames it to free- and removes the ledger
 */
#ifndef ROAD_QUEUE_SEGMENT_H
#define ROAD_QUEUE_SEGMENT_H

#include "lib/queue/format.h"

enum { SEGMENT_ALIGN = QUEUE_HEAD_SIZE, SEGMENT_PATH_SIZE = 32 };

enum segment_file { SEGMENT_LOG, SEGMENT_DONE, SEGMENT_FREE };
/* "log-NAME" */
void segment_path(char path[SEGMENT_PATH_SIZE], enum segment_file kind, const char *name);
/* false: no file of ours; the name is part of path */
bool segment_path_parse(const char *path, enum segment_file *ret_kind, const char **ret_name);
/* 64 random bits, in hexadecimal */
void segment_name_new(char name[SEGMENT_NAME_SIZE]);

uint64_t segment_align(uint64_t at);		/* the next multiple of SEGMENT_ALIGN */
int segment_own(int fd);			/* 0, -EAGAIN: has an owner, -errno */
bool segment_has_owner(int fd);

/*
 * The message at `at`. -ENODATA: none of this use of the segment is there; -EBADMSG: there was one,
 * and it is damaged; -errno.
 */
int segment_head(int fd, const char *name, uint64_t at, uint64_t size, struct queue_head *ret);
/* Do the checksums of all its parts hold? 0, -EBADMSG, -errno. Reads all of it. */
int segment_check(int fd, const struct queue_head *h);
uint64_t segment_record_len(const struct queue_head *h);	/* with what fills it up to the next */
/*
 * The first place at or behind `at` where a head of this use of the segment stands. -ENODATA: none;
 * -errno.
 */
int segment_next_head(int fd, const char *name, uint64_t at, uint64_t size, uint64_t *ret_at);

#endif
