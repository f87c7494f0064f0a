/* SPDX-License-Identifier: ISC */
/*
 * A buffered byte stream over a descriptor, or over TLS (lib/tls). Errors are sticky: the first
 * failure (end of file, timeout, cancellation) is stored, later reads return "no more", later
 * writes do nothing. So a session writes replies without checking and notices the end in one place:
 * while (read_command(...)).
 *
 * Buffers are made when needed and given back when empty, so an idle session holds none.
 */
#ifndef ROAD_IO_STREAM_H
#define ROAD_IO_STREAM_H

#include "lib/base/buf.h"
#include "lib/co/co.h"

struct stream;

/*
 * Owns fd; free with stream_free. A socket's mode does not matter; another descriptor is made
 * non-blocking when a coroutine uses it (outside of one, where the process may block, it is left as
 * it is). Whoever streams to a pipe ignores SIGPIPE; sockets never raise it.
 */
struct stream *stream_new(int fd);
void stream_free(struct stream *s);		/* no flush; closes; NULL is fine */
/* frees all but the descriptor, which is the caller's again */
int stream_release(struct stream *s);
void stream_auto(struct stream **s);		/* for __attribute__((cleanup(stream_auto))) */
int stream_fd(const struct stream *s);
void stream_deadline(struct stream *s, when_t until);	/* for each following call, until set again */

/*
 * A line without its line end; valid to the next read. Ends at LF; a CR before it is taken away.
 * False: error or end (see stream_error); a line longer than max is -EMSGSIZE (sticky until
 * stream_clear_error; the rest of the line is then skipped by the next read_line; if that is more
 * than a megabyte the stream fails with -E2BIG). *ret_bare_lf, when not NULL, tells that no CR
 * stood before the LF. Bytes without a LF at the end of the input are no line: the stream fails
 * with -EPIPE, and stream_more() tells of them.
 */
bool read_line(struct stream *s, size_t max, struct str *ret_line, bool *ret_bare_lf) MAY_YIELD;
ssize_t read_some(struct stream *s, void *at, size_t n) MAY_YIELD;	/* > 0, 0 at end of file, < 0 error */
bool read_exact(struct stream *s, void *at, size_t n) MAY_YIELD;

/*
 * The bytes at hand, waiting for at least one; consume with stream_skip. Empty at the end or on
 * error. Zero-copy parsing.
 */
struct str stream_peek(struct stream *s) MAY_YIELD;
/*
 * Reads more even if some are at hand (up to the buffer's size, 64 KiB); false: end, error or
 * buffer full. At the end what is at hand can still be read; the stream fails with -EPIPE when
 * somebody wants more than that.
 */
bool stream_peek_more(struct stream *s, struct str *ret_bytes) MAY_YIELD;
void stream_skip(struct stream *s, size_t n);
bool stream_more(const struct stream *s);	/* bytes read ahead, not yet consumed? (pipelining) */
void stream_drop_input(struct stream *s);	/* forgets what was read ahead (STARTTLS) */
void stream_wipe_input(struct stream *s);	/* overwrites what was read and consumed: it was a password */
/* is anything to read right now, without waiting? reads it ahead */
bool stream_poll_input(struct stream *s);

void write_str(struct stream *s, struct str b);			/* gathers; flushes itself at 64 KiB */
void writef(struct stream *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void flush(struct stream *s) MAY_YIELD;				/* implicit before a read that would wait */
/*
 * Before the end: the kernel keeps the last bytes until stream_free() or shutdown(), which must
 * follow at once, and saves a packet. Only where the peer has nothing more to say: for input that
 * nobody has read the connection is reset, and what was kept is lost.
 */
void flush_last(struct stream *s) MAY_YIELD;
/* Writes the buffer, then n pieces without copying (writev). */
struct iovec;
void write_pieces(struct stream *s, const struct iovec *pieces, int n) MAY_YIELD;
size_t stream_unsent(const struct stream *s);

/* 0 or the first -errno: -EPIPE end of file, -ETIMEDOUT, -ECANCELED, ... */
int stream_error(const struct stream *s);
void stream_fail(struct stream *s, int error);	/* makes it so from now on */
/*
 * Only what leaves the connection usable may be cleared: -EMSGSIZE of read_line, and -ETIMEDOUT,
 * -ECANCELED or -EPIPE (the end of input) for a last word to the peer; -EPIPE and -ECONNRESET of a
 * write to hear what the peer said before it went.
 */
void stream_clear_error(struct stream *s);

/*
 * Something between the stream and its socket: TLS. Each function makes one attempt: bytes, 0 at
 * the end (receive), -EAGAIN with *ret_wait set to the events to wait for, or -errno. The stream
 * must hold nothing either way.
 */
struct stream_transport {
	ssize_t (*receive)(void *arg, void *at, size_t n, short *ret_wait);
	ssize_t (*send)(void *arg, const struct iovec *pieces, int n, short *ret_wait);
	void (*end)(void *arg);			/* before the descriptor is closed; may be NULL */
};
void stream_set_transport(struct stream *s, const struct stream_transport *transport, void *arg);

/* For tests and transcripts: called with every line or chunk; direction '<' read, '>' written. */
void stream_transcript(struct stream *s, void (*show)(void *arg, char direction, struct str bytes),
		       void *arg);

#endif
