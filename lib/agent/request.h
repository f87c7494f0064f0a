/* SPDX-License-Identifier: ISC */
/* Inside lib/agent: from the frame to the delivery. */
#ifndef ROAD_AGENT_REQUEST_H
#define ROAD_AGENT_REQUEST_H

#include "lib/agent/agent.h"
#include "lib/ipc/message.h"

extern const struct agent_conf *the_agent_conf;

/* Copies what the delivery needs into the arena. Takes m->message over on success only. -EBADMSG. */
int request_open(const struct deliver_request *m, struct arena *a, struct delivery *ret);

/*
 * The way back, for another process to do this delivery for one of its recipients, or for all
 * (NULL). packed gets the envelope, which *ret points into; the descriptor is a new one. -errno.
 */
int request_of(const struct delivery *d, const struct recipient *r, struct buf *packed,
	       struct deliver_request *ret);

#endif
