/* SPDX-License-Identifier: ISC */
/*
 * A disk in memory that remembers what of it is durable, for crash_test. It promises what ext4, xfs and
 * btrfs all promise for an ordinary mount, and no more:
 *
 *   data       Of what was written to a file since its last sync any sector of 512 bytes may be there or
 *              not, in any order and in any version that it had; the size may be any that it had. What
 *              was never written reads as zeros.
 *   fsync      of a file: its data and size, its names as they are now, and new directories above it.
 *              ext4 commits the transaction, xfs writes its log, that the file was last changed in; btrfs
 *              logs the inode with its names and new ancestors. So a new file needs no fsync of its
 *              directory, and neither does one that was renamed before the fsync.
 *   fdatasync  of a file: its data and size, and, since a new file's inode has to be written, the name
 *              under which it was created; no later rename (xfs: only a time stamp changed).
 *   fsync      of a directory: the names in it. An unlink needs it, or time.
 *   failed     sync: what was to be written is there or dropped, and no later sync will write it (Linux
 *              marks the pages clean); who reads the file may see either.
 *   names      Creating, renaming and removing become durable by themselves some time later (5 to 30
 *              seconds). DISK_ORDERED (ext4, xfs: one journal): in order, so whoever syncs the newest
 *              makes the older ones durable too. DISK_LOGGED (btrfs: an fsync writes only what
 *              concerns it): what was synced, and of the others all before some moment; so a file that
 *              is renamed from one directory to another may be found in both.
 */
#ifndef ROAD_QUEUE_DISK_FOR_TEST_H
#define ROAD_QUEUE_DISK_FOR_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum disk_kind { DISK_ORDERED, DISK_LOGGED };
enum survival { NOTHING_MORE, EVERYTHING, SOME };	/* of what is not durable */
enum { DISK_ROOT = 0 };

struct disk;
struct disk *disk_new(enum disk_kind kind);
struct disk *disk_copy(const struct disk *d);	/* with what is not durable yet: the machine goes on */
struct disk *disk_after_cut(const struct disk *d, enum survival how, uint64_t *dice);
void disk_free(struct disk *d);

/* Files and directories are numbers. dir: of a directory; path: below it. -ENOENT, -ENOTDIR. */
int disk_find(const struct disk *d, int dir, const char *path);
int disk_make(struct disk *d, int dir, const char *path, bool is_directory);		/* -EEXIST */
int disk_rename(struct disk *d, int from_dir, const char *from, int to_dir, const char *to);
int disk_unlink(struct disk *d, int dir, const char *path);
bool disk_is_directory(const struct disk *d, int node);
int disk_links(const struct disk *d, int node);
const char *disk_name_at(const struct disk *d, int dir, size_t position);		/* NULL: no more */

uint64_t disk_size(const struct disk *d, int node);
int64_t disk_mtime(const struct disk *d, int node);
void disk_set_mtime(struct disk *d, int node, int64_t to_s);
size_t disk_read(const struct disk *d, int node, uint64_t at, void *to, size_t len);
void disk_write(struct disk *d, int node, uint64_t at, const void *data, size_t len);
void disk_truncate(struct disk *d, int node, uint64_t size);

void disk_sync(struct disk *d, int node, bool data_only);
void disk_fail_sync(struct disk *d, int node, uint64_t *dice);
void disk_settle(struct disk *d);			/* time has passed: all of it is durable */

/* A number below n; the same dice make the same numbers. */
uint64_t roll(uint64_t *dice, uint64_t n);

#endif
