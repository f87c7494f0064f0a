/* SPDX-License-Identifier: ISC */
/*
 * The mail queue on disk. Nobody else knows where and how a message lies (a second storage, the intake log, comes behind the
 * same calls).
 *
 * Directories under queue_directory: incoming/ (new), deferred/ (hashed, mtime = next attempt), hold/, corrupt/, maildrop/
 * (same file format, written by postdrop). "Active" is a state in qmgr's memory.
 *
 * A file has: head (fixed size, ASCII, with checksums), body, headers, envelope (found by offset), and an append-only journal.
 * It is created under its final name, written, and then synced once: the commit point. A file without a valid head is debris of a
 * crash, by definition never acknowledged.
 */
#ifndef ROAD_QUEUE_QUEUE_H
#define ROAD_QUEUE_QUEUE_H

#include "lib/co/co.h"
#include "lib/queue/envelope.h"
#include "lib/queue/outcome.h"

enum queue_name { QUEUE_INCOMING, QUEUE_DEFERRED, QUEUE_HOLD, QUEUE_CORRUPT, QUEUE_MAILDROP, QUEUE_COUNT };
const char *queue_name_text(enum queue_name q);
int queue_name_parse(struct str text, enum queue_name *ret);

/*
 * A new long queue id: base-52 time, 'z', and a part that makes it unique across workers and restarts (Postfix's long shape:
 * [0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}). text has room for 32.
 */
void queue_id_new(char text[32]);
bool queue_id_is_valid(struct str id);	/* 6 to 31 letters and digits: a harmless file name */
int queue_id_time(struct str id, int64_t *ret_us);	/* when it was made; -EINVAL: not a long id */

struct queue;			/* the directories, opened once: before the jail closes */
/* dir: descriptor of queue_directory. depth: hash_queue_depth for deferred. Directories missing: -ENOENT. */
int queue_open(int dir, int depth, unsigned which /* 1 << QUEUE_x ... */, struct queue **ret, struct buf *why);
void queue_close(struct queue *q);				/* NULL is fine */
/* Called with words about what lies in the queue and is no message (links, directories, odd names). At first: nobody. */
void queue_set_say(struct queue *q, void (*say)(const char *words));
int64_t queue_free_bytes(const struct queue *q);		/* on the queue's file system, for queue_minfree; -errno */

/* ---- writing: cleanup, postdrop ---- */

struct queue_writer;
/*
 * The file appears under its final name when the body outgrows 64 KiB, or at the commit: a small message is one job on a pool
 * thread (open, pwritev, fsync, close).
 */
int queue_create(struct queue *q, enum queue_name where, struct str id, struct queue_writer **ret);
/* -errno (-ENOSPC, -EDQUOT, -EFBIG, -EEXIST: that id is taken, ...) is sticky: the commit returns it too. */
int queue_write_body(struct queue_writer *w, struct str bytes) MAY_YIELD;
struct queue_parts {
	uint64_t size;			/* of the message: headers, empty line, body; the same as headers_len: not even an empty line follows */
	uint64_t headers_at, headers_len, body_at, body_len;	/* body starts after the empty line */
};
/*
 * Headers (whole lines, LF at the end of each; no empty line), envelope, head; then one sync. After success the promise may be given, and the
 * writer is closed. After failure no file is left. packed is envelope_pack() of e, which whoever announces the message needs too.
 */
int queue_commit(struct queue_writer *w, const struct envelope *e, struct str packed, struct str headers,
		 struct queue_parts *ret) MAY_YIELD;
/* The content ended with its headers, without an empty line: then there is no body either. */
void queue_no_empty_line(struct queue_writer *w);
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
	uint64_t envelope_at, envelope_len, journal_at, file_size;
	uint32_t envelope_crc, headers_crc, body_crc;
	bool journal_is_clean;
};
/*
 * -ENOENT; -ENODATA: debris of a crash or still being written (look at its age); -EBADMSG: damaged; -ENOTSUP: made by a newer version;
 * -EMLINK: more than one link (see queue_mend); -EBADF, -ELOOP: not a regular file. writable: for the journal.
 * check_all: also verifies the checksums of headers and body.
 */
int queue_file_open(struct queue *q, enum queue_name where, struct str id, bool writable, bool check_all, struct queue_file *ret);
int queue_file_find(struct queue *q, struct str id, bool writable, struct queue_file *ret);	/* looks in all queues that are open */
/* Only a descriptor for whoever knows the parts already (qmgr, for the agent): nothing is read. fd, -ENOENT, -errno. */
int queue_content_open(struct queue *q, enum queue_name where, struct str id);
int queue_file_take(int fd, enum queue_name where, bool check_all, struct queue_file *ret);	/* one that is open already; owns fd on success */
int queue_file_check(struct queue_file *f);		/* checksums of headers and body: 0, -EBADMSG, -errno. Reads all of it */
void queue_file_close(struct queue_file *f);
void queue_file_auto(struct queue_file *f);
int queue_file_envelope(struct queue_file *f, struct arena *a, struct envelope *ret);	/* checks its checksum: -EBADMSG; the arena too small: -EMSGSIZE */

/* ---- the journal ---- */

enum journal_kind {
	JOURNAL_OUTCOME,		/* an outcome: delivered, deferred, bounced (told or not yet told) */
	JOURNAL_TOLD,			/* the sender was told of recipient index's bounce */
	JOURNAL_DELAY_WARNED,		/* a delay notice went out */
	JOURNAL_ADD_RECIPIENT,		/* expansion: text is a packed recipient line */
	JOURNAL_EXPIRE,			/* forced expiry (postsuper -e) */
	JOURNAL_REQUEUED,
};
struct journal_record {
	enum journal_kind kind;
	struct outcome outcome;		/* JOURNAL_OUTCOME; index for TOLD */
	struct str text;
};
/* One write; not synced. On failure nothing was recorded. It changes the mtime: queue_set_next_attempt comes after it. */
int journal_append(struct queue_file *f, const struct journal_record *records, size_t n);
/*
 * Hands out, in order, all records whose checksum holds; the record's views are valid during the call only. Returns how many lines did not
 * count (a crash tears the last one), or -errno.
 */
int journal_read(struct queue_file *f, void (*each)(void *arg, const struct journal_record *r), void *arg);

/* ---- moving and ending ---- */

int queue_finish(struct queue *q, enum queue_name where, struct str id);				/* unlink */
/* Rename, never over another file (-EEXIST); hash directories are made when needed. mtime stays. */
int queue_move(struct queue *q, enum queue_name from, enum queue_name to, struct str id);
int queue_set_next_attempt(struct queue *q, enum queue_name where, struct str id, int64_t at_s);	/* mtime */
/*
 * For a file that has more than one link, or whose id turned up twice: when both names are one file (a rename that a power cut caught
 * half-way), one name is removed: 0 it was the other, -ENOENT it was this. -EEXIST: another file has the same id. -EMLINK: linked from elsewhere.
 */
int queue_mend(struct queue *q, enum queue_name where, struct str id);
/*
 * Walks all messages of one queue: name and mtime. Not ordered. -errno. The callback returns < 0 to stop, and may finish or move what it is
 * shown. In deferred, a file in the wrong hash directory is moved to the right one.
 */
int queue_scan(struct queue *q, enum queue_name where, int (*each)(void *arg, struct str id, int64_t mtime_s), void *arg);

#endif
