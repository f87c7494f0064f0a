/* SPDX-License-Identifier: ISC */
/*
 * A segment's ledger: what became of its messages. Lines like a journal's, with the queue id in front:
 *
 *   ID CRC KIND[ TEXT]\n
 *
 * The checksum is the journal's, seeded with the id, so a line with a damaged id counts for nobody.
 * Only appended to, by qmgr (and by postsuper while there is no qmgr); synced about once a second.
 */
#ifndef ROAD_QUEUE_LEDGER_H
#define ROAD_QUEUE_LEDGER_H

#include "lib/queue/segment.h"

struct ledger {
	int dir;			/* intake/ */
	char segment[SEGMENT_NAME_SIZE];
	int fd;				/* -1: not open */
	uint64_t read_upto;
	bool ends_whole;		/* the last line has its line end */
	bool is_unsynced;
	struct buf lines;		/* to be written at the end of the turn */
	size_t count;			/* of them */
	struct buf unsynced, in_sync;	/* what we wrote since the last sync began; before it, while it lasts */
	int sync_fd;			/* -1, or what another thread syncs */
	size_t rewritten;		/* bytes, after syncs that failed */
	bool in_trouble;		/* they could not be written */
	struct turn turn;
	bool writes_through;		/* not at the end of the turn, but at once */
	void (*trouble)(struct ledger *l, int error);	/* told once, until they can be written again */
};

/* dir: of the log, and stays the caller's; the file is opened when it is needed */
void ledger_init(struct ledger *l, int dir, const char *segment);
void ledger_close(struct ledger *l);					/* without writing: flush first */
/* Writes what gathered. 0, -errno: it stays. */
int ledger_flush(struct ledger *l);
/* 0, or -errno of packing the record. */
int ledger_add(struct ledger *l, const char *id, const struct journal_record *r);
/* The same, written at once. On failure it is not there, nor written later. */
int ledger_write(struct ledger *l, const char *id, const struct journal_record *r);
/*
 * A sync in two steps, between which another thread syncs the file. begin: its descriptor, or -ENODATA:
 * there is nothing to be synced. A sync that failed may have dropped what it should have written, and
 * no later one will write it: so it is all written again.
 */
int ledger_sync_begin(struct ledger *l);
void ledger_sync_end(struct ledger *l, int result /* -ECANCELED: nobody tried */);
/* Lines written since the last call, by whomever. line: without id and line end. 0, -errno. */
int ledger_read_new(struct ledger *l, void (*each)(void *arg, struct str id, struct str line), void *arg);
/* So that the next ledger_read_new() begins at the beginning: there is somebody whom it has not told. */
void ledger_rewind(struct ledger *l);
/* All lines from the beginning, those not yet written among them. */
int ledger_read_all(struct ledger *l, void (*each)(void *arg, struct str id, struct str line), void *arg);

#endif
