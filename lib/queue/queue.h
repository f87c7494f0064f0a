/* SPDX-License-Identifier: ISC */
/*
 * The mail queue on disk. Nobody else knows where and how a message lies.
 *
 * Directories under queue_directory: incoming/ (new), deferred/ (hashed, mtime = next attempt),
 * hold/, corrupt/, maildrop/ (same file format, written by postdrop), intake/. "Active" is a state
 * in qmgr's memory.
 *
 * A new message is in incoming/ as a file of its own, or, when it is small, in the intake log: a
 * segment in intake/ into which whatever became ready during one sync is written for the next
 * (segment.h). The calls below find it in either; as QUEUE_INCOMING. It gets a file of its own when
 * it moves to another queue, and when its segment has to be freed.
 *
 * A file has: head (fixed size, ASCII, with checksums), body, headers, envelope (found by offset),
 * and an append-only journal. It is created under its final name, written, and then synced once:
 * the commit point. A file without a valid head is debris of a crash, by definition never
 * acknowledged.
 */
#ifndef ROAD_QUEUE_QUEUE_H
#define ROAD_QUEUE_QUEUE_H

#include "lib/co/co.h"
#include "lib/queue/envelope.h"
#include "lib/queue/outcome.h"

/* the age from which a file without a head is what a crash left */
enum { SEGMENT_NAME_SIZE = 17, QUEUE_DEBRIS_AGE_S = 3600 };

enum queue_name { QUEUE_INCOMING, QUEUE_DEFERRED, QUEUE_HOLD, QUEUE_CORRUPT, QUEUE_MAILDROP, QUEUE_COUNT };
const char *queue_name_text(enum queue_name q);			/* the name of its directory, "incoming" */
int queue_name_parse(struct str text, enum queue_name *ret);	/* 0, or -EINVAL: no such queue */

/*
 * A new long queue id: base-52 time, 'z', and a part that makes it unique across workers and
 * restarts (Postfix's long shape: [0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}). text has room for 32.
 */
void queue_id_new(char text[32]);
bool queue_id_is_valid(struct str id);	/* 6 to 31 letters and digits: a harmless file name */
int queue_id_time(struct str id, int64_t *ret_us);	/* when it was made; -EINVAL: not a long id */

struct segment;
struct queue;			/* the directories, opened once: before the jail closes */
/* dir: descriptor of queue_directory. depth: hash_queue_depth for deferred. Directories missing: -ENOENT. */
int queue_open(int dir, int depth, unsigned which /* 1 << QUEUE_x ... */, struct queue **ret, struct buf *why);
void queue_close(struct queue *q);				/* NULL is fine */

/*
 * Looks at the intake log too, if there is one under dir: what lies there is then found as
 * QUEUE_INCOMING. writable: for whoever finishes or moves messages. verify: checksums of what was
 * not announced are checked (qmgr); what does not hold goes to corrupt/. 0, -errno.
 */
int queue_open_intake(struct queue *q, int dir, bool writable, bool verify);
void queue_refresh(struct queue *q);	/* for whoever only looks: what came into the log and left it since */
/*
 * New messages that are small enough are appended to the intake log (cleanup). The directory is
 * opened here; -errno.
 */
struct intake_limits {
	uint64_t segment_size;		/* bytes */
	int segments;			/* when so many are in use, messages get files of their own */
};
int queue_append_to_intake(struct queue *q, int dir, const struct intake_limits *limits);
/*
 * Called with words about what lies in the queue and is no message (links, directories, odd names).
 * At first: nobody.
 */
void queue_set_say(struct queue *q, void (*say)(const char *words));
/* on the queue's file system, for queue_minfree; -errno */
int64_t queue_free_bytes(const struct queue *q);

/* ---- writing: cleanup, postdrop ---- */

struct queue_writer;
/*
 * The file appears under its final name when the body outgrows 64 KiB, or at the commit: a small
 * message is one job on a pool thread (open, pwritev, fsync, close).
 */
int queue_create(struct queue *q, enum queue_name where, struct str id, struct queue_writer **ret);
/* -errno (-ENOSPC, -EDQUOT, -EFBIG, -EEXIST: that id is taken, ...) is sticky: the commit returns it too. */
int queue_write_body(struct queue_writer *w, struct str bytes) MAY_YIELD;
struct queue_parts {
	/*
	 * of the message: headers, empty line, body; the same as headers_len: not even an empty
	 * line follows
	 */
	uint64_t size;
	uint64_t headers_at, headers_len, body_at, body_len;	/* body starts after the empty line */
};
/* Where a message lies in the intake log. Its parts' offsets count from `at`. */
struct queue_place {
	char segment[SEGMENT_NAME_SIZE];	/* "": it has a file of its own */
	uint64_t at, len;
};
/*
 * Headers (whole lines, LF at the end of each; no empty line), envelope, head; then one sync. After
 * success the promise may be given, and the writer is closed. After failure no file is left. packed
 * is envelope_pack() of e, which whoever announces the message needs too. ret_place NULL: in a file
 * of its own, whatever its size.
 */
int queue_commit(struct queue_writer *w, const struct envelope *e, struct str packed, struct str headers,
		 struct queue_parts *ret, struct queue_place *ret_place) MAY_YIELD;
/* The body of a message that went into the intake log; lives as long as the writer. */
struct str queue_small_body(const struct queue_writer *w);
/* The content ended with its headers, without an empty line: then there is no body either. */
void queue_no_empty_line(struct queue_writer *w);
/* Before the commit: it shall lie in another queue. -errno: it is where it was. */
int queue_place_in(struct queue_writer *w, enum queue_name where);
uint64_t queue_written(const struct queue_writer *w);	/* body bytes so far */
void queue_writer_free(struct queue_writer *w);		/* not committed: the file is removed. NULL is fine */

/* ---- reading: qmgr, postcat, pickup, showq ---- */

struct queue_file {
	int fd;
	enum queue_name where;
	char id[32];
	struct queue_parts parts;
	int64_t arrival_us;
	uint32_t recipient_count;
	int64_t mtime_s;
	/* private to the room */
	struct resident *resident;	/* in the intake log: fd is the segment's, and not ours to close */
	uint64_t base;			/* where its head is */
	uint64_t envelope_at, envelope_len, journal_at, file_size;
	uint32_t envelope_crc, headers_crc, body_crc;
	bool journal_is_clean;
};
/*
 * -ENOENT; -ENODATA: debris of a crash or still being written (look at its age); -EBADMSG: damaged,
 * whoever wrote it is done; -ENOTSUP: made by a newer version; -EMLINK: more than one link (see
 * queue_mend); -EBADF, -ELOOP: not a regular file. writable: for the journal. check_all: also
 * verifies the checksums of headers, body and envelope.
 */
int queue_file_open(struct queue *q, enum queue_name where, struct str id, bool writable, bool check_all,
		    struct queue_file *ret);
/* looks in all queues that are open */
int queue_file_find(struct queue *q, struct str id, bool writable, struct queue_file *ret);
/* Reads of the file, offsets as in the parts: bytes (short at its end) or -errno. */
ssize_t queue_file_read(const struct queue_file *f, uint64_t at, void *to, size_t n);
/*
 * The content for whoever knows the parts already (qmgr, for the agent): a descriptor of its file,
 * nothing is read; or -EISNAM: it is in the intake log, and *ret_content, emptied before, holds
 * headers, empty line and body. -ENOENT, -errno.
 */
int queue_content_open(struct queue *q, enum queue_name where, struct str id, struct buf *ret_content);
/*
 * What lies in the intake log, written to fd as the file that it would be in, journal included: for
 * postcat. fd is at its beginning.
 */
int queue_copy_from_log(struct queue *q, struct str id, int fd);
/*
 * A lock on one message that dies with the process, for a successor to see. lock: zero-initialised.
 * queue_unlock() on one that never was locked is fine.
 */
struct queue_lock {
	int fd_plus_1;			/* 0: not locked */
	uint64_t at;
	bool is_in_log;
};
int queue_lock(struct queue *q, enum queue_name where, struct str id, struct queue_lock *lock);
void queue_unlock(struct queue *q, struct str id, struct queue_lock *lock);
int queue_file_is_locked(const struct queue_file *f);		/* by another process: 1, 0, -errno */
/*
 * Another process may have finished or moved it since it was found here, or written to its journal;
 * to be asked after its lock was seen to be free, before its journal is read. -ENOENT: it is not here
 * any more. f is closed then if it is in the intake log.
 */
int queue_file_is_current(struct queue *q, struct queue_file *f);
/* one that is open already; owns fd on success */
int queue_file_take(int fd, enum queue_name where, bool check_all, struct queue_file *ret);
/* checksums of headers, body and envelope: 0, -EBADMSG, -errno. Reads all of it */
int queue_file_check(struct queue_file *f);
void queue_file_close(struct queue_file *f);
void queue_file_auto(struct queue_file *f);
/* checks its checksum: -EBADMSG; the arena too small: -EMSGSIZE */
int queue_file_envelope(struct queue_file *f, struct arena *a, struct envelope *ret);

/* ---- the journal ---- */

enum journal_kind {
	JOURNAL_OUTCOME,		/* an outcome: delivered, deferred, bounced (told or not yet told) */
	JOURNAL_TOLD,			/* the sender was told of recipient index's bounce */
	JOURNAL_DELAY_WARNED,		/* a delay notice went out */
	JOURNAL_EXPIRE,			/* forced expiry (postsuper -e) */
	/* what becomes of it when its delivery ends (postsuper -h, -r); RELEASED takes that back */
	JOURNAL_HELD, JOURNAL_REQUEUED, JOURNAL_RELEASED,
	JOURNAL_DONE,			/* it is through; in a ledger also: moved to a file of its own */
};
struct journal_record {
	enum journal_kind kind;
	struct outcome outcome;		/* JOURNAL_OUTCOME; index for TOLD */
};
/*
 * One write; not synced. On failure nothing was recorded. It changes the mtime:
 * queue_set_next_attempt comes after it. In the intake log it is written at the end of the loop's
 * turn, with what else became of that segment's messages.
 */
int journal_append(struct queue_file *f, const struct journal_record *records, size_t n);
/*
 * Hands out, in order, all records whose checksum holds; the record's views are valid during the
 * call only. Returns how many lines did not count (a crash tears the last one), or -errno.
 */
int journal_read(struct queue_file *f, void (*each)(void *arg, const struct journal_record *r), void *arg);

/* ---- moving and ending ---- */

/*
 * It is through, and waits for queue_finish(): whoever reads the file before knows. Not synced. -errno
 */
int queue_mark_done(struct queue *q, enum queue_name where, struct str id);
/* unlink */
int queue_finish(struct queue *q, enum queue_name where, struct str id);
/*
 * Rename, never over another file (-EEXIST); hash directories are made when needed. mtime stays.
 * From the intake log, also to incoming: written to a file of its own and synced.
 */
int queue_move(struct queue *q, enum queue_name from, enum queue_name to, struct str id) MAY_YIELD;
/* Is it in the intake log? Then moving takes time, and many are better moved with queue_exit_*. */
bool queue_is_in_log(const struct queue *q, enum queue_name where, struct str id);
/*
 * queue_move() from the intake log in three steps, for many at once: begin and end on the loop,
 * write and then sync on a pool thread. begin: -ENOENT it is not there, -EBUSY it is being moved
 * already. end takes what write or sync returned, and must be called.
 */
struct queue_exit {
	struct queue *q;
	char id[32], path[64], log_name[SEGMENT_NAME_SIZE];
	enum queue_name to;
	int dir, log_fd, fd;
	struct segment *segment;	/* kept until the end */
	uint64_t at;
	struct buf journal;		/* what became of it so far, as it will stand in the file */
	unsigned notes;			/* when that was read */
	_Atomic bool is_pointless;	/* it is finished meanwhile */
};
int queue_exit_begin(struct queue *q, struct str id, enum queue_name to, struct queue_exit *x);
int queue_exit_write(struct queue_exit *x);
int queue_exit_sync(struct queue_exit *x);
int queue_exit_end(struct queue_exit *x, int result);
/* mtime; in deferred the next attempt */
int queue_last_written(struct queue *q, enum queue_name where, struct str id, int64_t *ret_s);
/* mtime */
int queue_set_next_attempt(struct queue *q, enum queue_name where, struct str id, int64_t at_s);
/*
 * For a file that has more than one link, or whose id turned up twice: when both names are one file
 * (a rename that a power cut caught half-way), one name is removed: 0 it was the other, -ENOENT it
 * was this. -EEXIST: another file has the same id. -EMLINK: linked from elsewhere.
 */
int queue_mend(struct queue *q, enum queue_name where, struct str id);
/*
 * Walks all messages of one queue: name and mtime. Not ordered. -errno. The callback returns < 0 to
 * stop, and may finish or move what it is shown. In deferred, a file in the wrong hash directory is
 * moved to the right one. What is in the intake log comes first in incoming, with an mtime of 0.
 */
int queue_scan(struct queue *q, enum queue_name where, int (*each)(void *arg, struct str id,
								   int64_t mtime_s), void *arg);

/* ---- the intake log as qmgr keeps it ---- */

/*
 * cleanup announced a message there. 1: so it is. 0: it was found and finished before its
 * announcement came. -errno: no such segment, or nothing of it can be read. *ret_missed: messages
 * were found whose announcements were lost; queue_scan() shows them.
 */
int queue_announced(struct queue *q, const struct queue_place *place, struct str id, bool *ret_missed);
/* From now on what becomes of messages is written to the ledgers at once, because a successor reads them. */
void queue_write_through(struct queue *q);
/*
 * Records of the intake log that only this process knows, because the ledgers take nothing: a full
 * disk, say. flush: tries again. How many there are (left).
 */
size_t queue_unwritten(const struct queue *q);
size_t queue_flush_ledgers(struct queue *q);
/*
 * What has to be done now and then, from one coroutine: syncs the ledgers, so that a power cut
 * makes duplicates only of the last moments, and frees segments in which nothing is left. Returns
 * how many messages are in the log, and records unwritten.
 */
size_t queue_keep_intake(struct queue *q) MAY_YIELD;
/*
 * When many segments are in use: the messages in the sealed one with the fewest, to be moved to
 * files of their own.
 */
void queue_crowding(struct queue *q, int most_segments, void (*each)(void *arg, struct str id), void *arg);

#endif
