/* SPDX-License-Identifier: ISC */
/*
 * Inside lib/log only: where lines go. The gathered text is a sequence of LF-terminated lines, each
 * led by its syslog priority ("<22>") when the sink is syslog.
 */
#ifndef ROAD_LOG_SINK_H
#define ROAD_LOG_SINK_H

#include "lib/base/buf.h"
#include "lib/log/log.h"

/* 0, or -errno: then nothing is open. */
int sink_open(enum log_sink kind, const char *postlog_path);
/*
 * Sends what it can of the gathered lines and cuts that off the front. True: nothing is left. When
 * the receiver is slow, waits for it up to wait_ms (0: not at all).
 */
bool sink_send(struct buf *gathered, int wait_ms);
/* One line at once, from a signal handler: nothing but send(2) and write(2). */
void sink_send_now(const char *line, size_t len);

#endif
