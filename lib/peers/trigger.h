/* SPDX-License-Identifier: ISC */
/* Waking a service that looks for work (pickup, qmgr, flush): a byte on its socket or fifo. */
#ifndef ROAD_PEERS_TRIGGER_H
#define ROAD_PEERS_TRIGGER_H

#include "lib/co/co.h"

/*
 * path: "public/pickup", relative to the working directory. 0, or -errno when nobody listens or
 * does not take it at once, which is no harm: whoever is woken also looks by himself now and then.
 */
int trigger(const char *path) MAY_YIELD;

#endif
