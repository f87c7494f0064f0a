/* SPDX-License-Identifier: ISC */
/*
 * Files that must survive. The order that matters: on ext4, xfs and btrfs one fsync *after* the
 * final name exists makes both name and content durable; fsync first and rename or link afterwards
 * loses the file in a power cut. A failed fsync is never retried on the same data.
 */
#ifndef ROAD_DISK_DISK_H
#define ROAD_DISK_DISK_H

#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/co/co.h"

/*
 * All *at functions: dir is a descriptor (or AT_FDCWD); symlinks in the last component are followed
 * by file_read_whole() only.
 */
int file_create(int dir, const char *name, mode_t mode);		/* O_EXCL; fd or -errno */
/* regular files only, else -EBADF; fd or -errno */
int file_open_read(int dir, const char *name);
/* the same, for reading and appending */
int file_open_append(int dir, const char *name);
/* O_PATH: for *at calls; fd or -errno */
int directory_handle(int dir, const char *name);
int file_sync(int fd) MAY_YIELD;					/* fsync on the pool; 0 or -errno */
int write_all(int fd, const void *data, size_t len);			/* blocking; 0 or -errno */
struct iovec;
int pwritev_all(int fd, struct iovec *pieces, int n, off_t at);		/* modifies pieces; 0 or -errno */
/* bytes (short at end of file) or -errno */
ssize_t pread_all(int fd, void *at, size_t len, off_t offset);
/*
 * The whole file into b (its limit holds: -EMSGSIZE). Waits like a blocking read: for configuration
 * at start.
 */
int file_read_whole(int dir, const char *name, struct buf *b);
/*
 * What is behind an open descriptor, to its end: for files that were looked at first, so that
 * another one under their name is not read instead.
 */
int file_read_opened(int fd, struct buf *b);
/* Writes beside, renames, then syncs file and directory: readers see old or new, never half. */
int file_replace(int dir, const char *name, struct str content, mode_t mode) MAY_YIELD;
int make_directory(int dir, const char *name, mode_t mode);		/* there already: 0 */

/* An exclusive lock that dies with the process (fcntl OFD lock). -EAGAIN: somebody else has it. */
int lock_try(int fd);
/* Does somebody else hold it? fd may be open for reading only. 1, 0, -errno. */
int lock_is_taken(int fd);
/* The same for one byte of the file (which need not exist), so that its parts are locked one by one. */
int lock_try_at(int fd, off_t at);
int lock_is_taken_at(int fd, off_t at);
void lock_release_at(int fd, off_t at);
/* for unprivileged users; or -errno */
int64_t disk_free_bytes(int fd);

/* Walks names of one directory ("." and ".." left out). */
struct directory;
int directory_open(int dir, const char *name, struct directory **ret_d);
bool directory_next(struct directory *d, const char **ret_name, unsigned char *ret_type /* DT_* */);
void directory_close(struct directory *d);				/* NULL is fine */

#endif
