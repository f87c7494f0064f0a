/* SPDX-License-Identifier: ISC */
/*
 * Frames over a connected Unix socket, and the client's and the server's way with them.
 *
 * What is sent gathers and is written once per loop turn, many frames with one system call. A peer
 * that dies, stalls or talks nonsense costs the calls under way an error, never the process.
 */
#ifndef ROAD_IPC_CHANNEL_H
#define ROAD_IPC_CHANNEL_H

#include "lib/co/co.h"
#include "lib/ipc/message.h"

struct channel;

/* Owns fd. */
struct channel *channel_new(int fd);
/* secrets pass: no copy of what was sent and received stays in its buffers */
void channel_wipes(struct channel *ch);
void channel_free(struct channel *ch);				/* NULL is fine; unsent frames are lost */
/* 0 or the sticky -errno (-EPIPE: the peer closed) */
int channel_error(const struct channel *ch);
/*
 * Sends the frame that was just put into channel_buf(); its descriptors are the channel's from now on. Usage:
 *   struct frame_out out; put_x(channel_buf(ch), call, &x, &out); channel_send(ch, &out);
 */
struct buf *channel_buf(struct channel *ch);
/* 0, or -errno when the channel has failed */
int channel_send(struct channel *ch, const struct frame_out *frame);
/* Waits until less than `bytes` are unsent: whoever streams much calls it after each piece. */
int channel_drain(struct channel *ch, size_t bytes, when_t until) MAY_YIELD;
/* Bytes that have gone to the peer: what was put behind them when the channel failed it never got. */
uint64_t channel_sent(const struct channel *ch);
/*
 * For who shuts his receiving side while the peer may be in the middle of a frame: that frame does not count, and
 * is no error.
 */
void channel_may_end_torn(struct channel *ch);
/*
 * The next frame; its bytes are valid until the next call. 1, 0 at the orderly end, -errno. One
 * reader at a time. The orderly end of input does not end output: whoever shut his own receiving
 * side still answers what came before. A server's goodbye is read over.
 */
int channel_receive(struct channel *ch, struct frame *ret_frame, when_t until) MAY_YIELD;
/* Does anything wait to be read, or has the peer closed? Without waiting. */
bool channel_has_input(const struct channel *ch);

/* ---- client: many calls at once over one connection ---- */

/*
 * A service by its socket path, connected when first needed and again after it broke. Give one per
 * process and service. path is copied.
 */
struct client;
struct client *client_new(const char *path);
const char *client_path(const struct client *cl);
void client_wipes(struct client *cl);		/* as channel_wipes(), before the first call */
void client_free(struct client *cl);
/*
 * Sends the frame and waits for its reply. ret_reply's bytes live in arena a. The request goes out
 * through `put`, because the call number is chosen here. Errors: -ECONNREFUSED, -ENOENT (service
 * not there), -EPIPE (it died meanwhile), -ETIMEDOUT, -ECANCELED. The call is not repeated: whether
 * that is safe only the caller knows. client_call() below is the comfortable form.
 */
typedef int put_message(struct buf *b, uint32_t call, const void *m, struct frame_out *ret_frame);
int client_exchange(struct client *cl, put_message *put, const void *m,
		    struct arena *a, struct frame *ret_reply, when_t until) MAY_YIELD;
/* One way, no reply; connects if need be, else only gathers. */
int client_tell(struct client *cl, put_message *put, const void *m, when_t until) MAY_YIELD;
/* A connection of one's own for a conversation (large content): connected channel or -errno. */
int client_channel(struct client *cl, struct channel **ret, when_t until) MAY_YIELD;

/*
 * Typed: int r = CALL(client, cleanup_request, &req, arena, cleanup_reply, &rep, until); get errors
 * are -EBADMSG.
 */
#define CALL(cl, request, m, a, reply, ret_m, until) __extension__({ \
	struct frame reply_frame_; \
	const struct request *typed_m_ = (m); \
	struct reply *typed_ret_ = (ret_m); \
	int result_ = client_exchange((cl), put_any_##request, typed_m_, (a), &reply_frame_, (until)); \
	if (result_ >= 0) { \
		result_ = get_##reply(&reply_frame_, typed_ret_, NULL); \
		frame_close(&reply_frame_); \
	} \
	result_; })
/*
 * CALL() of a question, or of a change, that may be put twice: once more when the connection broke,
 * as it does when the service is restarted.
 */
#define ASK(cl, request, m, a, reply, ret_m, until) __extension__({ \
	const when_t asked_until_ = (until); \
	int answer_ = CALL(cl, request, m, a, reply, ret_m, asked_until_); \
	if (answer_ == -EPIPE || answer_ == -ECONNRESET) \
		answer_ = CALL(cl, request, m, a, reply, ret_m, asked_until_); \
	answer_; })
#define TELL(cl, request, m, until) __extension__({ \
	const struct request *typed_m_ = (m); \
	client_tell((cl), put_any_##request, typed_m_, (until)); })

/* ---- server: what a daemon does with a connection from another daemon ---- */

struct server_call {
	struct channel *ch;
	struct frame *frame;		/* the request */
	struct arena *arena;		/* ends with the call */
	void *state;			/* serve_channel's */
};
struct server_row {
	const char *message;
	/*
	 * concurrent: run in a coroutine of its own, with a copy of the frame in call->arena, so
	 * that slow calls do not hold back the next. Otherwise in the connection's coroutine, and
	 * it may receive further frames from call->ch itself.
	 */
	bool concurrent;
	void (*serve)(struct server_call *call) MAY_YIELD;
};
/*
 * Reads frames until the connection ends and runs the row of each. Unknown messages and malformed
 * frames end the connection with a warning. rows end with .message = NULL. Concurrent calls under
 * way are cancelled and awaited before it returns.
 */
int serve_channel(struct channel *ch, const struct server_row *rows, void *state,
		  int most_concurrent) MAY_YIELD;
/*
 * This process winds down: says goodbye to whoever is connected with fd, if serve_channel() serves
 * it, and to those who come later. The client closes when it has all its answers; one that has
 * nothing under way and does not close within a few seconds is cut off. False: not a served
 * channel.
 */
bool serve_channel_goodbye(int fd);
/* Answers a call: REPLY(call, cleanup_reply, &rep) */
#define REPLY(call_, reply, m) do { \
	struct frame_out out_; \
	if (put_##reply(channel_buf((call_)->ch), (call_)->frame->call, (m), &out_) >= 0) \
		channel_send((call_)->ch, &out_); \
} while (0)

#endif
