/* SPDX-License-Identifier: ISC */
/* The keys of session tickets, from the tlsmgr service. */
#ifndef ROAD_PEERS_TLSMGR_H
#define ROAD_PEERS_TLSMGR_H

#include "lib/co/co.h"
#include "lib/tls/tls.h"

/*
 * From now on the context, which lives as long as the process, has tlsmgr's present keys, as soon
 * as they come and whenever they are new. Does not wait: what begins before gets no ticket. Where
 * tlsmgr cannot be asked it stays so, with a warning now and then. path: "private/tlsmgr". Only the
 * first call counts.
 */
void ticket_keys_follow(struct tls_context *c, const char *path);
/*
 * Until the first answer is there or cannot be had; only in the first five seconds of a process, so
 * that its first clients can resume their sessions too.
 */
void ticket_keys_await(void) MAY_YIELD;

#endif
