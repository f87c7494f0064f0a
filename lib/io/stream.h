/* SPDX-License-Identifier: ISC */
/*
 * A buffered byte stream over a descriptor (later: over TLS). Errors are sticky: the first failure (end of file,
 * timeout, cancellation) is stored, later reads return "no more", later writes do nothing. So a session writes replies
 * without checking and notices the end in one place: while (read_command(...)).
 *
 * Buffers are made when needed and given back when empty, so an idle session holds none.
 */
#ifndef ROAD_IO_STREAM_H
#define ROAD_IO_STREAM_H

#include "lib/base/buf.h"
#include "lib/co/co.h"

struct stream;

struct stream *stream_new(int fd);		/* owns fd (made non-blocking); free with stream_free */
void stream_free(struct stream *s);		/* no flush; closes; NULL is fine */
int stream_fd(const struct stream *s);
void stream_deadline(struct stream *s, when_t until);	/* for each following call, until set again */

/*
 * A line without its line end; valid to the next read. Ends at LF; a CR before it is taken away. False: error or end
 * (see stream_error); a line longer than max is -EMSGSIZE (sticky until stream_clear_error; the rest of the line is
 * then skipped by the next read_line). *ret_bare_lf, when not NULL, tells that no CR stood before the LF.
 */
bool read_line(struct stream *s, size_t max, struct str *ret_line, bool *ret_bare_lf) MAY_YIELD;
ssize_t read_some(struct stream *s, void *at, size_t n) MAY_YIELD;	/* > 0, 0 at end of file, < 0 error */
bool read_exact(struct stream *s, void *at, size_t n) MAY_YIELD;

/* The bytes at hand, waiting for at least one; consume with stream_skip. Empty at the end or on error. Zero-copy parsing. */
struct str stream_peek(struct stream *s) MAY_YIELD;
/* Reads more even if some are at hand (up to the buffer's size, 64 KiB); false: end, error or buffer full. */
bool stream_peek_more(struct stream *s, struct str *ret_bytes) MAY_YIELD;
void stream_skip(struct stream *s, size_t n);
bool stream_more(const struct stream *s);	/* bytes read ahead, not yet consumed? (pipelining) */
void stream_drop_input(struct stream *s);	/* forgets what was read ahead (STARTTLS) */
bool stream_poll_input(struct stream *s);	/* is anything to read right now, without waiting? reads it ahead */

void write_str(struct stream *s, struct str b);			/* gathers; flushes itself at 64 KiB */
void writef(struct stream *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void flush(struct stream *s) MAY_YIELD;				/* implicit before a read that would wait */
/* Writes the buffer, then n pieces without copying (writev). */
struct iovec;
void write_pieces(struct stream *s, const struct iovec *pieces, int n) MAY_YIELD;
size_t stream_unsent(const struct stream *s);

int stream_error(const struct stream *s);	/* 0 or the first -errno: -EPIPE end of file, -ETIMEDOUT, -ECANCELED, ... */
void stream_fail(struct stream *s, int error);	/* makes it so from now on */
void stream_clear_error(struct stream *s);	/* only -EMSGSIZE of read_line may be cleared */

/* For tests and transcripts: called with every line or chunk; direction '<' read, '>' written. */
void stream_transcript(struct stream *s, void (*show)(void *arg, char direction, struct str bytes), void *arg);

#endif
