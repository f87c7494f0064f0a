/* SPDX-License-Identifier: ISC */
/*
 * Frames: what daemons say to each other on the Unix sockets in private/ and public/.
 *
 *   u32  length of what follows (network order), at most FRAME_LIMIT
 *   u32  call number: pairs a reply with its request; 0: no reply is wanted
 *   u8   length of the message name, the name ("cleanup_request")
 *   u8   number of descriptors that ride along (SCM_RIGHTS, in the order of the FD fields)
 *   then attributes: u8 name length, name, u32 value length, value
 *
 * Messages are declared once, in lib/ipc/messages.def, and both sides marshal from there: unknown
 * attributes are skipped, a missing one is an error that names it. Numbers are decimal text, so
 * that a dump is readable and nothing depends on byte order. Names are checked in the declared
 * order first, so that the usual case costs one comparison.
 */
#ifndef ROAD_IPC_FRAME_H
#define ROAD_IPC_FRAME_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

enum { FRAME_LIMIT = 16 << 20, FRAME_FDS = 4 };

/* Writing one frame into a buffer of many. */
struct frame_out {
	struct buf *b;
	size_t start, fd_count_at;	/* where its length and the number of descriptors go */
	int error;			/* sticky */
	int fds[FRAME_FDS];		/* until channel_send takes them over */
	int fd_count;
};
void frame_begin(struct frame_out *f, struct buf *b, uint32_t call, struct str message);
void frame_put_str(struct frame_out *f, const char *name, struct str value);
void frame_put_u64(struct frame_out *f, const char *name, uint64_t value);
void frame_put_i64(struct frame_out *f, const char *name, int64_t value);
void frame_put_fd(struct frame_out *f, const char *name, int fd);	/* -1: none goes along */
/* 0, or the sticky error: then nothing was added to b and the descriptors are closed. */
int frame_end(struct frame_out *f);
/* Takes the last frame in b back, and closes its descriptors. Returns error. */
int frame_drop(struct frame_out *f, int error);

/* A received frame. Strings point into its bytes. Descriptors are closed by frame_close unless taken. */
struct frame {
	uint32_t call;
	struct str message;
	struct str attributes;
	int fds_wanted;			/* how many ride along */
	int fds[FRAME_FDS];
	int fd_count;
};
void frame_close(struct frame *f);

/*
 * Decoder of one frame: sticky error; why names the first missing or malformed attribute. get_* in
 * any order; the declared order is the fast one.
 */
struct frame_in {
	struct frame *f;
	struct str rest;		/* where the next attribute is expected */
	int next_fd;
	int error;			/* -EBADMSG */
	const char *missing;		/* the attribute that it failed at */
};
void frame_read(struct frame_in *in, struct frame *f);
struct str frame_get_str(struct frame_in *in, const char *name, size_t max);
uint64_t frame_get_u64(struct frame_in *in, const char *name);
int64_t frame_get_i64(struct frame_in *in, const char *name);
/* taken out of the frame: the caller owns it; -1: none was sent */
int frame_get_fd(struct frame_in *in, const char *name);

/*
 * Splits the first whole frame off bytes: its total size, 0 when more bytes are needed, -EBADMSG.
 * Does not look at descriptors.
 */
ssize_t frame_split(struct str bytes, struct frame *ret_frame);

#endif
