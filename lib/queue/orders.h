/* SPDX-License-Identifier: ISC */
/* What an administrator orders for one message: for qmgr and, while there is none, postsuper. */
#ifndef ROAD_QUEUE_ORDERS_H
#define ROAD_QUEUE_ORDERS_H

#include "lib/queue/queue.h"

/*
 * For a message that has to wait for the end of a delivery first: JOURNAL_HELD or JOURNAL_REQUEUED, and
 * JOURNAL_RELEASED, which takes these back. In the journal, or the ledger, when this returns 0: whoever
 * loads the message next carries it out, after whatever death of processes. A power cut within the next
 * seconds may have it forgotten, as what else a journal says: it is not synced. On failure nothing was
 * recorded; -ENOENT also when the message is not in the log any more, and f is closed. JOURNAL_EXPIRE too.
 */
int queue_order(struct queue_file *f, enum journal_kind kind);
/* The last of these three that was recorded, by whatever process. 0, 1 there is one, -errno. */
int queue_standing_order(struct queue *q, enum queue_name where, struct str id, enum journal_kind *ret);
/*
 * postsuper -H: from hold/ to deferred/, due at once; or, 1, an order to hold it that still waits is taken
 * back where it is. -ENOENT: neither.
 */
int queue_release(struct queue *q, struct str id);
/*
 * postsuper -r: hands a message in again, through maildrop/, so that its addresses are rewritten
 * and its aliases expanded anew. Whoever got it already is left out, and so is who could not, once
 * the sender knows. The new file is durable before the old one goes: a crash in between makes a
 * duplicate. -ENOENT; 0 also when nobody was left.
 */
int queue_requeue(struct queue *q, enum queue_name where, struct str id) MAY_YIELD;

#endif
