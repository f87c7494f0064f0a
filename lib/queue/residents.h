/* SPDX-License-Identifier: ISC */
/*
 * What lies in the intake log and is not finished: found by id. Made from the segments and their
 * ledgers, and kept by announcements; so it is the same in qmgr, which decides, and in a tool that
 * only looks.
 */
#ifndef ROAD_QUEUE_RESIDENTS_H
#define ROAD_QUEUE_RESIDENTS_H

#include "lib/queue/ledger.h"
#include "lib/queue/private.h"

struct map;

struct segment {
	struct list link;
	struct residents *of;
	char name[SEGMENT_NAME_SIZE];
	int fd;
	uint64_t known_upto;		/* messages before it were found or announced */
	size_t unfinished;
	bool is_searched;		/* sealed, and looked through to its very end */
	bool is_needed;			/* what is damaged in it could not be set aside */
	int said;			/* why it cannot be read to its end */
	bool was_resumed;		/* files that a crash left beside it were looked for */
	bool is_unclear;		/* the ledger could not be read: who of its messages is through? */
	int users;			/* its descriptors are in use elsewhere: closed when that is over */
	bool is_closed;
	struct ledger ledger;
};

struct resident {
	struct segment *segment;
	uint64_t at, len;
	unsigned notes;			/* 0: the ledger says nothing of it; grows with all that is added or read */
	struct queue_exit *exit;	/* NULL, or a file of its own is being made */
	bool is_lent;			/* locked by queue_lock(), until its queue_unlock() or its end */
	/* another process had it locked, or died: perhaps in the middle of moving it */
	bool was_anothers;
	char id[32];
};

struct residents {
	struct queue *q;
	int dir;
	bool writable, verify;
	struct list segments;		/* oldest known first */
	struct map *by_id;
};

/*
 * While a pool thread reads it: another process may free it meanwhile, and a number that is closed may
 * be another file's next.
 */
void segment_keep(struct segment *s);
void segment_let_go(struct segment *s);

/* knows nothing before residents_look(); dir stays the caller's; verify: checksums too */
struct residents *residents_new(struct queue *q, int dir, bool writable, bool verify);
void residents_free(struct residents *all);	/* NULL is fine */

/*
 * Finds what is new in the directory, the segments and the ledgers. 0, or -errno of what could not
 * be read, and the next look tries again.
 */
int residents_look(struct residents *all);
struct resident *residents_find(const struct residents *all, struct str id);	/* NULL */
/*
 * Not only in memory: where it is not found, a tool looks again. qmgr, which is told of everything,
 * does not.
 */
struct resident *residents_search(struct residents *all, struct str id);
void residents_finish(struct resident *r);	/* notes it in the ledger and forgets it */

/* It is finished while it moves: its copy must not be taken for it after a death. Before the ledger says so. exit.c */
void resident_drop_copy(struct resident *r);
/*
 * A moving that a crash cut short is completed: then it is forgotten here. -errno: it cannot be now, and as
 * long as that is so nobody may take it for one that lies here only. exit.c
 */
int residents_resume_exit(struct resident *r);

/* reads what is new in its ledger. -ENOENT: it is through, and r is gone; -errno: cannot be read */
int residents_refresh(struct resident *r);
/* The same, and what a predecessor had begun to move when it died is moved to its end. exit.c */
int residents_take_over(struct resident *r);
int resident_open(struct resident *r, struct queue_file *ret);
int resident_note(struct resident *r, const struct journal_record *records, size_t n);
/* Written when this returns 0; else not there, nor written later. */
int resident_order(struct resident *r, const struct journal_record *record);
/* -errno, or how many lines did not count. */
int resident_read_journal(struct resident *r, void (*each)(void *arg, const struct journal_record *r),
			  void *arg);

#endif
