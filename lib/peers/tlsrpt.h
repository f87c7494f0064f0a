/* SPDX-License-Identifier: ISC */
/*
 * Telling tlsrpt what came of a session's TLS, for reports to the domain's owner (RFC 8460). Nobody
 * waits for it, and it may get lost.
 */
#ifndef ROAD_PEERS_TLSRPT_H
#define ROAD_PEERS_TLSRPT_H

#include "lib/co/co.h"
#include "lib/ipc/message.h"

void tlsrpt_use(const char *path);	/* the service's socket; once per process */
/* nothing happens where tlsrpt_use() was not called */
void tlsrpt_tell(const struct tlsrpt_event *e) MAY_YIELD;

#endif
