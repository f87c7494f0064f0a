/* SPDX-License-Identifier: ISC */
/* Inside lib/ipc only. */
#ifndef ROAD_IPC_PRIVATE_H
#define ROAD_IPC_PRIVATE_H

#include "lib/ipc/channel.h"

/* Like channel_receive(), and hands out a goodbye too. */
int channel_receive_any(struct channel *ch, struct frame *ret_frame, when_t until) MAY_YIELD;
int channel_fd(const struct channel *ch);

#endif
