/* SPDX-License-Identifier: ISC */
/* Inside lib/io only: what a stream is made of. */
#ifndef ROAD_IO_STREAM_PRIVATE_H
#define ROAD_IO_STREAM_PRIVATE_H

#include <sys/uio.h>

#include "lib/io/stream.h"

enum {
	STREAM_BUFFER = 64 << 10,
	LINES_IN_A_ROW = 200,		/* then the others may run (fairness) */
	BYTES_IN_A_ROW = 64 << 10,
	LONGEST_SKIPPED = 1 << 20,	/* of a line that is too long: nobody sends more by mistake */
};

struct stream {
	int fd, error;			/* error: 0 or the first -errno; sticky */
	when_t until;
	char *in;			/* in_at..in_end is read ahead; NULL while nothing is */
	size_t in_at, in_end, in_cap;
	size_t scanned;			/* of the bytes at hand: known to hold no LF */
	char *out;			/* NULL while nothing waits to be sent */
	size_t out_len, out_cap;
	bool last;			/* the end of the connection follows what is sent */
	/* somebody is in the middle of sending; what is written meanwhile goes after it */
	bool sending;
	bool ended;			/* the peer will say no more; bytes may still be at hand */
	bool skipping;			/* the rest of a line that was too long is still to come */
	size_t skipped;			/* of it, so far */
	bool drained;			/* the last receive emptied the socket */
	/* ... and a send has succeeded since, so no error is pending either */
	bool sent;
	bool not_socket, nonblocking;
	unsigned lines;			/* both: since we last let others run */
	size_t bytes;
	const struct stream_transport *transport;
	void *transport_arg;
	void (*show)(void *arg, char direction, struct str bytes);
	void *show_arg;
};

/* One attempt: bytes, 0 at the end, -EAGAIN (then wait for *ret_wait) or -errno. */
ssize_t stream_receive_once(struct stream *s, void *at, size_t n, short *ret_wait);
ssize_t stream_send_once(struct stream *s, struct iovec *pieces, int n, short *ret_wait);
/* co_wait_fd with the stream's deadline; false: the stream has failed. */
bool stream_wait(struct stream *s, short events) MAY_YIELD;
/* lets others run now and then */
void stream_progress(struct stream *s, size_t lines, size_t bytes) MAY_YIELD;
void stream_free_input(struct stream *s);

#endif
