/* SPDX-License-Identifier: ISC */
/*
 * Waiting for descriptors. Each is registered with libevent once, edge-triggered, at its first
 * wait; an edge that comes while nobody waits is remembered in `edges`, so the next wait returns at
 * once. Reading and writing have an event each: writing is registered only when somebody had to
 * wait for it, and taken out again by the first edge nobody waits for, because a busy socket
 * reports room after every send.
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <poll.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/co/private.h"

struct watch {
	int fd;
	bool reads, writes;		/* registered for */
	bool hung_up;			/* the peer has closed its side: reading never waits again */
	short edges;			/* POLLIN, POLLOUT: came since the last wait for them */
	struct co *reader, *writer;
	struct event in, out;
};

static struct watch **watches;		/* by descriptor */
static size_t watches_cap;

static struct watch *watch_of(int fd)
{
	return fd >= 0 && (size_t) fd < watches_cap ? watches[fd] : NULL;
}

static struct watch *watch_make(int fd)
{
	struct watch *w = watch_of(fd);
	size_t cap = watches_cap;

	if (w != NULL)
		return w;
	BUG_UNLESS(fd >= 0);
	if ((size_t) fd >= cap) {
		cap = MAX((size_t) 64, cap * 2);
		while (cap <= (size_t) fd)
			cap *= 2;
		watches = resize_memory(watches, cap * sizeof(*watches));
		memset(watches + watches_cap, 0, (cap - watches_cap) * sizeof(*watches));
		watches_cap = cap;
	}
	w = get_memory(sizeof(*w));
	w->fd = fd;
	watches[fd] = w;
	return w;
}

static void readable(evutil_socket_t fd, short events, void *arg)
{
	struct watch *w = arg;

	(void) fd;
	if (events & EV_CLOSED)
		w->hung_up = true;
	/* one that was woken by something else and has not run yet does not see this edge */
	if (w->reader != NULL && w->reader->state == CO_PARKED)
		co_wake(w->reader, POLLIN);
	else
		w->edges |= POLLIN;
}

static void writable(evutil_socket_t fd, short events, void *arg)
{
	struct watch *w = arg;

	(void) fd; (void) events;
	if (w->writer != NULL && w->writer->state == CO_PARKED) {
		co_wake(w->writer, POLLOUT);
		return;
	}
	w->edges |= POLLOUT;
	if (w->writer != NULL)
		return;
	event_del(&w->out);
	w->writes = false;
}

/* 0, or -errno: -EPERM for what is always ready (regular files). */
static int add_event(struct watch *w, struct event *event, short kind, event_callback_fn run)
{
	event_assign(event, loop_base(), w->fd, kind | EV_ET | EV_PERSIST, run, w);
	errno = 0;
	if (event_add(event, NULL) < 0)
		return errno == 0 ? -EINVAL : -errno;
	return 0;
}

static int watch_for(struct watch *w, short events)
{
	int result = 0;

	if ((events & POLLIN) && !w->reads) {
		result = add_event(w, &w->in, EV_READ | EV_CLOSED, readable);
		w->reads = result == 0;
	}
	if (result == 0 && (events & POLLOUT) && !w->writes) {
		result = add_event(w, &w->out, EV_WRITE, writable);
		w->writes = result == 0;
	}
	return result;
}

static int poll_plainly(int fd, short events, when_t until)
{
	struct pollfd one = { .fd = fd, .events = events };

	for (;;) {
		when_t left = until == NEVER ? -1 : MAX(until - mono_ms(), (when_t) 0);
		int n = poll(&one, 1, (int) MIN(left, (when_t) 3600000));

		if (n > 0 && (one.revents & POLLNVAL))
			return -EBADF;
		if (n > 0) {
			short got = one.revents & events;

			return got != 0 ? got : events;		/* an error shows at the next operation */
		}
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && until != NEVER && mono_ms() >= until)
			return -ETIMEDOUT;
	}
}

int co_wait_fd(int fd, short events, when_t until)
{
	struct watch *w;
	short got;
	int result;

	if (!co_may_park())
		return poll_plainly(fd, events, until);
	if (co_current->cancelled)
		return -ECANCELED;
	if (until <= mono_ms())
		return poll_plainly(fd, events, until);
	w = watch_make(fd);
	got = (short) (events & (w->edges | (w->hung_up ? POLLIN : 0)));
	w->edges &= (short) ~events;
	if (got != 0)
		return got;
	result = watch_for(w, events);
	if (result < 0)
		return result == -EPERM ? events : result;
	if (((events & POLLIN) && w->reader != NULL) || ((events & POLLOUT) && w->writer != NULL))
		BUG("descriptor %d: two wait for the same", fd);
	if (events & POLLIN)
		w->reader = co_current;
	if (events & POLLOUT)
		w->writer = co_current;
	result = co_park(until, true);
	/* it may have been forgotten meanwhile, and even made anew for somebody else */
	w = watch_of(fd);
	if (w != NULL && w->reader == co_current)
		w->reader = NULL;
	if (w != NULL && w->writer == co_current)
		w->writer = NULL;
	return result;
}

static void watch_free(struct watch *w)
{
	if (w->reads)
		event_del(&w->in);
	if (w->writes)
		event_del(&w->out);
	watches[w->fd] = NULL;
	free(w);
}

void co_forget_fd(int fd)
{
	struct watch *w = watch_of(fd);

	if (w == NULL)
		return;
	if (w->reader != NULL)
		co_wake(w->reader, -EBADF);
	if (w->writer != NULL && w->writer != w->reader)
		co_wake(w->writer, -EBADF);
	watch_free(w);
}

void watch_fds_dropped(void)
{
	for (size_t i = 0; i < watches_cap; i++) {
		free(watches[i]);
		watches[i] = NULL;
	}
}
