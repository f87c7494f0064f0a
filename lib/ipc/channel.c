/* SPDX-License-Identifier: ISC */
/*
 * Frames over a Unix stream socket. Outgoing frames gather in one buffer and leave at the end of
 * the loop's turn; descriptors queue beside it and leave with the first byte of the piece that
 * holds their frame. They arrive in order, and a frame says how many are its own, so it does not
 * matter when they arrive earlier than their frame.
 *
 * When the peer is slow, a flusher coroutine waits for room. It and whoever is inside a call hold
 * references, so that channel_free() may be called while others still wait: they are woken, see the
 * error and leave.
 */
#include "lib/ipc/channel.h"
#include "lib/ipc/private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/die.h"

enum {
	FDS_PER_WRITE = 64,
	FDS_HELD = 1024,
	READ_PIECE = 64 << 10,
	KEEP_BUFFER = 4 << 10,
	TRUST_MS = 200,			/* see wait_for_input() */
};

struct out_fd {
	int fd;
	size_t at;			/* its frame starts here in `out` */
};

struct channel {
	int fd;
	int references;
	int error;			/* sticky; for both directions */
	/* sticky; the peer takes no more, but what it said before is still to be read */
	int send_error;
	uint64_t sent;			/* bytes */
	bool flusher_runs;
	bool may_end_torn;
	/* secrets pass: what was sent and what was handed out is overwritten */
	bool wipes;
	struct turn turn;
	struct buf out;
	struct out_fd *out_fds;
	size_t out_fd_count, out_fd_cap;
	struct bell drained;
	struct buf in;
	size_t in_used;			/* bytes of `in` that belong to frames already handed out */
	int in_fds[FDS_HELD];
	int in_fd_count;
	bool in_is_drained;		/* the last read left nothing behind: the next would only say so */
};

static void flush_at_turn_end(struct turn *t);

struct channel *channel_new(int fd)
{
	struct channel *ch = get_memory(sizeof(*ch));

	ch->fd = fd;
	ch->references = 1;
	ch->turn.run = flush_at_turn_end;
	ch->out = BUF((size_t) FRAME_LIMIT * 4);
	ch->in = BUF((size_t) FRAME_LIMIT + 2 * READ_PIECE);
	bell_init(&ch->drained);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return ch;
}

void channel_wipes(struct channel *ch)
{
	ch->wipes = true;
}

/* The first bytes of one of its buffers are done with. */
static void forget(const struct channel *ch, struct buf *b, size_t bytes)
{
	const size_t left = b->len - bytes;

	if (ch->wipes && left == 0 && b->cap > 0)
		explicit_bzero(b->at, b->len);
	if (left == 0 && b->cap > KEEP_BUFFER)
		buf_free(b);
	else
		buf_cut_front(b, bytes);
	if (ch->wipes && left > 0)
		explicit_bzero(b->at + left, bytes);
}

static void close_all(struct channel *ch)
{
	for (size_t i = 0; i < ch->out_fd_count; i++)
		close(ch->out_fds[i].fd);
	for (int i = 0; i < ch->in_fd_count; i++)
		close(ch->in_fds[i]);
	ch->out_fd_count = 0;
	ch->in_fd_count = 0;
}

static void release(struct channel *ch)
{
	if (--ch->references > 0)
		return;
	turn_cancel(&ch->turn);
	close_all(ch);
	co_forget_fd(ch->fd);
	close(ch->fd);
	forget(ch, &ch->out, ch->out.len);
	forget(ch, &ch->in, ch->in.len);
	buf_free(&ch->out);
	buf_free(&ch->in);
	free(ch->out_fds);
	free(ch);
}

static void fail(struct channel *ch, int error)
{
	if (ch->error == 0)
		ch->error = error;
	buf_free(&ch->out);
	bell_ring(&ch->drained);
}

/*
 * A peer that has gone or leaves may have said things before. Any other failure is the end of both
 * directions: the reader is woken.
 */
static void fail_sending(struct channel *ch, int error)
{
	if (ch->send_error == 0)
		ch->send_error = error;
	if (error != -EPIPE && error != -ECONNRESET)
		shutdown(ch->fd, SHUT_RDWR);
	buf_free(&ch->out);
	bell_ring(&ch->drained);
}

void channel_free(struct channel *ch)
{
	if (ch == NULL)
		return;
	if (ch->references > 1) {
		fail(ch, -ECANCELED);
		shutdown(ch->fd, SHUT_RDWR);	/* wakes who waits for the descriptor */
	}
	release(ch);
}

int channel_error(const struct channel *ch)
{
	return ch->error < 0 ? ch->error : ch->send_error;
}

uint64_t channel_sent(const struct channel *ch)
{
	return ch->sent;
}

void channel_may_end_torn(struct channel *ch)
{
	ch->may_end_torn = true;
}

struct buf *channel_buf(struct channel *ch)
{
	return &ch->out;
}

/* ---- sending ---- */

static void add_out_fds(struct channel *ch, const struct frame_out *frame)
{
	for (int i = 0; i < frame->fd_count; i++) {
		if (ch->out_fd_count == ch->out_fd_cap) {
			ch->out_fd_cap = MAX(ch->out_fd_cap * 2, (size_t) 8);
			ch->out_fds = resize_memory(ch->out_fds, ch->out_fd_cap * sizeof(*ch->out_fds));
		}
		ch->out_fds[ch->out_fd_count++] = (struct out_fd){ frame->fds[i], frame->start };
	}
}

/*
 * How many descriptors go with the next write, and how many bytes may go so that all of those
 * bytes' descriptors are among them.
 */
static size_t choose_piece(const struct channel *ch, size_t *ret_bytes)
{
	size_t n = ch->out_fd_count;

	*ret_bytes = ch->out.len;
	if (n <= FDS_PER_WRITE)
		return n;
	n = FDS_PER_WRITE;
	while (n > 1 && ch->out_fds[n].at == ch->out_fds[n - 1].at)
		n--;
	*ret_bytes = ch->out_fds[n].at;
	return n;
}

static void forget_sent(struct channel *ch, size_t bytes, size_t fds)
{
	for (size_t i = 0; i < fds; i++)
		close(ch->out_fds[i].fd);
	ch->out_fd_count -= fds;
	if (ch->out_fd_count > 0)
		memmove(ch->out_fds, ch->out_fds + fds, ch->out_fd_count * sizeof(*ch->out_fds));
	for (size_t i = 0; i < ch->out_fd_count; i++)
		ch->out_fds[i].at -= MIN(bytes, ch->out_fds[i].at);
	forget(ch, &ch->out, bytes);
}

static ssize_t send_piece(struct channel *ch)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(FDS_PER_WRITE * sizeof(int))];
	size_t bytes, fds = choose_piece(ch, &bytes);
	struct iovec piece = { ch->out.at, bytes };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	ssize_t n;

	if (fds > 0) {
		struct cmsghdr *c;
		int *slots;

		memset(control, 0, sizeof(control));
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds * sizeof(int));
		slots = (int *) (void *) CMSG_DATA(c);
		for (size_t i = 0; i < fds; i++)
			slots[i] = ch->out_fds[i].fd;
	}
	do
		n = sendmsg(ch->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	forget_sent(ch, (size_t) n, fds);
	ch->sent += (uint64_t) n;
	return n;
}

/* Sends what the kernel takes: 0 all gone, 1 the kernel is full, -errno. */
static int send_what_goes(struct channel *ch)
{
	while (channel_error(ch) == 0 && ch->out.len > 0) {
		ssize_t n = send_piece(ch);

		if (n == -EAGAIN)
			return 1;
		if (n < 0) {
			fail_sending(ch, (int) n);
			return (int) n;
		}
	}
	if (ch->out.len == 0)
		bell_ring(&ch->drained);
	return channel_error(ch);
}

static int flush_blocking(struct channel *ch, when_t until)
{
	int state;

	while ((state = send_what_goes(ch)) == 1) {
		int events;

		bell_ring(&ch->drained);
		events = co_wait_fd(ch->fd, POLLOUT, until);
		if (events < 0) {
			fail(ch, events);
			return events;
		}
	}
	return state;
}

static void run_flusher(void *arg)
{
	struct channel *ch = arg;

	flush_blocking(ch, NEVER);
	ch->flusher_runs = false;
	release(ch);
}

/* Flushers belong to no session: they end when their channel is through or fails. */
static struct scope *flushers(void)
{
	static struct scope *scope;

	if (scope == NULL)
		scope = scope_open("channel flushers");
	return scope;
}

static void flush_at_turn_end(struct turn *t)
{
	struct channel *ch = CONTAINER_OF(t, struct channel, turn);

	if (ch->flusher_runs || send_what_goes(ch) != 1)
		return;
	ch->references++;
	ch->flusher_runs = true;
	if (scope_start(flushers(), "channel flusher", run_flusher, ch) < 0) {
		ch->flusher_runs = false;
		ch->references--;
		fail(ch, -EAGAIN);
	}
}

int channel_send(struct channel *ch, const struct frame_out *frame)
{
	if (channel_error(ch) < 0) {
		for (int i = 0; i < frame->fd_count; i++)
			close(frame->fds[i]);
		buf_free(&ch->out);
		return channel_error(ch);
	}
	add_out_fds(ch, frame);
	if (!loop_is_running())
		return flush_blocking(ch, NEVER);
	if (!ch->flusher_runs)
		at_turn_end(&ch->turn);
	return 0;
}

int channel_drain(struct channel *ch, size_t bytes, when_t until)
{
	int result = 0;

	ch->references++;
	while (result >= 0 && channel_error(ch) == 0 && ch->out.len > bytes) {
		if (!loop_is_running()) {
			result = flush_blocking(ch, until);
			continue;
		}
		if (!ch->flusher_runs)
			at_turn_end(&ch->turn);
		result = bell_wait(&ch->drained, until);
	}
	if (channel_error(ch) < 0)
		result = channel_error(ch);
	release(ch);
	return result;
}

/* ---- receiving ---- */

static int keep_fds(struct channel *ch, struct msghdr *message)
{
	int result = message->msg_flags & MSG_CTRUNC ? -EMFILE : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
		const int *slots = (const int *) (const void *) CMSG_DATA(c);
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			if (ch->in_fd_count < FDS_HELD) {
				ch->in_fds[ch->in_fd_count++] = slots[i];
			} else {
				close(slots[i]);
				result = -EMFILE;
			}
		}
	}
	return result;
}

/* > 0 bytes arrived, 0 end, -errno (-EAGAIN: nothing now). */
static ssize_t receive_piece(struct channel *ch)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))];
	char *room = buf_room(&ch->in, READ_PIECE);
	struct iovec piece = { room, READ_PIECE };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	ssize_t n;
	int result;

	if (room == NULL)
		return -EBADMSG;
	do
		n = recvmsg(ch->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	result = keep_fds(ch, &message);
	if (result < 0)
		return result;
	/* less than there was room for: nothing is left, unless a descriptor ended the read (unix(7)) */
	ch->in_is_drained = n > 0 && n < READ_PIECE && message.msg_controllen == 0;
	ch->in.len += (size_t) n;
	ch->in.at[ch->in.len] = 0;
	return n;
}

static void drop_handed_out(struct channel *ch)
{
	if (ch->in_used == 0)
		return;
	forget(ch, &ch->in, ch->in_used);
	ch->in_used = 0;
}

/* 1 a whole frame with its descriptors, 0 not yet, -EBADMSG. */
static int take_frame(struct channel *ch, struct frame *ret_frame)
{
	struct frame f;
	ssize_t size = frame_split(str_skip(buf_str(&ch->in), ch->in_used), &f);

	if (size <= 0)
		return (int) size;
	if (f.fds_wanted > ch->in_fd_count)
		return -EBADMSG;
	f.fd_count = f.fds_wanted;
	memcpy(f.fds, ch->in_fds, (size_t) f.fd_count * sizeof(int));
	ch->in_fd_count -= f.fd_count;
	memmove(ch->in_fds, ch->in_fds + f.fd_count, (size_t) ch->in_fd_count * sizeof(int));
	ch->in_used += (size_t) size;
	*ret_frame = f;
	return 1;
}

/*
 * When the last read took less than there was room for, the next one is saved; but not for long:
 * when the peer has died meanwhile, leaving unread what we sent, then its last words and the error
 * came as one event, which we have had.
 */
static int wait_for_input(struct channel *ch, when_t until)
{
	when_t trust = ch->in_is_drained ? in(TRUST_MS) : NEVER;
	int result;

	ch->in_is_drained = false;
	if (ch->in.len == 0)
		buf_free(&ch->in);
	result = co_wait_fd(ch->fd, POLLIN, sooner(until, trust));
	return result == -ETIMEDOUT && trust < until ? 0 : result;
}

static int receive_until_frame(struct channel *ch, struct frame *ret_frame, when_t until)
{
	for (;;) {
		int result = ch->error < 0 ? ch->error : take_frame(ch, ret_frame);
		ssize_t n;

		if (result != 0)
			return result;
		/*
		 * The frames before this one are done with: only now is it worth moving what is
		 * left to the front.
		 */
		drop_handed_out(ch);
		n = ch->in_is_drained ? -EAGAIN : receive_piece(ch);
		if (n == -EAGAIN) {
			result = wait_for_input(ch, until);
			if (result < 0)
				return result;
		} else if (n <= 0) {
			return n == 0 && ch->in.len > 0 && !ch->may_end_torn ? -EPIPE : (int) n;
		}
	}
}

bool channel_has_input(const struct channel *ch)
{
	struct pollfd p = { .fd = ch->fd, .events = POLLIN };

	return ch->in.len > ch->in_used || poll(&p, 1, 0) > 0;
}

/* The next frame, a goodbye included: lib/ipc's own readers act on it. */
int channel_receive_any(struct channel *ch, struct frame *ret_frame, when_t until)
{
	int result;

	ch->references++;
	result = receive_until_frame(ch, ret_frame, until);
	if (result < 0 && result != -ETIMEDOUT)
		fail(ch, result);
	release(ch);
	return result;
}

int channel_receive(struct channel *ch, struct frame *ret_frame, when_t until)
{
	int result;

	do
		result = channel_receive_any(ch, ret_frame, until);
	while (result > 0 && str_is(ret_frame->message, STR("goodbye")));
	return result;
}

int channel_fd(const struct channel *ch)
{
	return ch->fd;
}
