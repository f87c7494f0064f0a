/* SPDX-License-Identifier: ISC */
/*
 * Makes from lib/ipc/messages.def, for every MESSAGE(name, fields...):
 *
 *   struct name { one member per field };
 *   int put_name(struct buf *b, uint32_t call, const struct name *m, struct frame_out *ret_frame);
 *   int put_any_name(..., const void *m, ...)   the same, for the generic client_exchange; -EMSGSIZE: a string is longer than its field
 *   int get_name(struct frame *f, struct name *ret_m, struct buf *why);     -EBADMSG; strings point into the frame
 *
 *   field                C type         as
 *   FIELD_STR(n, max)    struct str     bytes, at most max
 *   FIELD_U64(n)         uint64_t
 *   FIELD_I64(n)         int64_t
 *   FIELD_FD(n)          int            descriptor that rides along, -1 for none. Sent: given away (the channel closes it
 *                                       when it is on its way or cannot be); got: the receiver's
 */
#ifndef ROAD_IPC_MESSAGE_H
#define ROAD_IPC_MESSAGE_H

#include "lib/ipc/frame.h"

#define FIELD_STR(n, max) struct str n;
#define FIELD_U64(n) uint64_t n;
#define FIELD_I64(n) int64_t n;
#define FIELD_FD(n) int n;
#define MESSAGE(name, fields) struct name { fields };
#include "lib/ipc/messages.def"
#undef MESSAGE

#define MESSAGE(name, fields) \
	int put_##name(struct buf *b, uint32_t call, const struct name *m, struct frame_out *ret_frame); \
	int put_any_##name(struct buf *b, uint32_t call, const void *m, struct frame_out *ret_frame); \
	int get_##name(struct frame *f, struct name *ret_m, struct buf *why);
#include "lib/ipc/messages.def"
#undef MESSAGE
#undef FIELD_STR
#undef FIELD_U64
#undef FIELD_I64
#undef FIELD_FD

#endif
