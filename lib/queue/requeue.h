/* SPDX-License-Identifier: ISC */
#ifndef ROAD_QUEUE_REQUEUE_H
#define ROAD_QUEUE_REQUEUE_H

#include "lib/queue/queue.h"

/*
 * postsuper -r: hands a message in again, through maildrop/, so that its addresses are rewritten
 * and its aliases expanded anew. Whoever got it already is left out, and so is who could not, once
 * the sender knows. The new file is durable before the old one goes: a crash in between makes a
 * duplicate. -ENOENT; 0 also when nobody was left.
 */
int queue_requeue(struct queue *q, enum queue_name where, struct str id) MAY_YIELD;

#endif
