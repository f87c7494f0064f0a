/* SPDX-License-Identifier: ISC */
/*
 * The agent's side: which hand gets which errand. Errands that no hand may take yet wait in order.
 *
 * One hand of a user takes all his errands as long as it keeps up, because what gathers while it
 * waits for the disk shares the next sync; when more has gathered than it may hold, another one is
 * hired, up to MOST_PER_USER.
 */
#include "lib/agent/hands_private.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/agent/request.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/ipc/channel.h"

enum {
	MOST_HANDS = 250,
	MOST_PER_USER = 4,		/* that share errands; those that are alone come on top */
	ENOUGH = 8,			/* errands that a hand has before another one is hired */
	IDLE_MS = 10000,		/* a hand without work is let go after that */
	FAREWELL_MS = 3000,
	STUCK_MS = 600000,		/* an errand that is not alone waits for the disk at most */
};

struct hand {
	struct list link;
	struct identity as;
	uint32_t number;
	struct channel *ch;
	int fd;				/* the channel's */
	struct list orders;		/* under way */
	int order_count;
	bool alone;			/* with the one that it has */
	bool leaving;
	when_t idle_since;
};

static struct list hands = LIST_INIT(hands), waiting = LIST_INIT(waiting);
static int hand_count;
static uint32_t next_number;
static int spawner = -1;
static struct scope *readers;
static struct timer idle_timer;

static void give_out(void);

/*
 * Hands end when their sockets do, and the spawner after the last of them: nobody is left behind
 * when this process is gone.
 */
static void see_them_off(void)
{
	struct pollfd p = { .fd = spawner, .events = POLLIN };

	LIST_EACH(h, &hands, struct hand, link)
		shutdown(h->fd, SHUT_RDWR);
	shutdown(spawner, SHUT_WR);
	poll(&p, 1, FAREWELL_MS);
}

void hands_begin(const struct trade *t)
{
	if (the_world->unprivileged && geteuid() == 0)
		die(EX_CONFIG, "service %s becomes other users: its column \"unpriv\" in master.cf must be n",
		    the_world->service);
	spawner = spawner_start(t);
	if (atexit(see_them_off) != 0)
		die(EX_OSERR, "no room for an exit handler");
}

/* ---- orders to the spawner ---- */

static int tell_spawner(enum spawner_verb verb, uint32_t number, const struct identity *as, int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct spawner_order o = { .verb = verb, .number = number };
	struct iovec piece = { &o, sizeof(o) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

	if (as != NULL)
		o.as = *as;
	if (fd >= 0) {
		struct cmsghdr *c = (struct cmsghdr *) (void *) control;

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
	}
	/* It reads at once: should it be gone, no other one can be had without root's rights. */
	if (sendmsg(spawner, &message, MSG_NOSIGNAL) >= 0)
		return 0;
	log_error("the process that starts others is gone: %s", error_text(errno));
	daemon_retire("no spawner");
	return -ECHILD;
}

/* ---- the ends of errands ---- */

static void order_over(struct hand_order *o, int code)
{
	list_remove(&o->link);
	o->hand = NULL;
	o->code = code;
	bell_ring(&o->done);
}

static void take_from_hand(struct hand_order *o)
{
	struct hand *h = o->hand;

	list_remove(&o->link);
	o->hand = NULL;
	h->alone = false;
	if (--h->order_count == 0) {
		h->idle_since = mono_ms();
		if (idle_timer.due == 0 || idle_timer.due == NEVER)
			timer_set(&idle_timer, in(IDLE_MS));
	}
}

static void take_result(struct hand *h, struct frame *f)
{
	struct hand_result m;

	if (get_hand_result(f, &m, NULL) < 0)
		return;
	LIST_EACH(o, &h->orders, struct hand_order, link) {
		if (o->number != f->call)
			continue;
		take_from_hand(o);
		if (m.code == EAGAIN && !o->alone) {	/* nothing was done yet */
			o->alone = true;
			o->until = NEVER;
			list_prepend(&waiting, &o->link);
		} else {
			o->reply = arena_copy(o->arena, m.text);
			order_over(o, -(int) MIN(m.code, 4095U));
		}
		return;
	}
}

/* Also when it never lived: then the number 0 said why. */
static void let_go(struct hand *h, int error)
{
	list_remove(&h->link);
	hand_count--;
	while (!list_is_empty(&h->orders))
		order_over(LIST_FIRST(&h->orders, struct hand_order, link), error);
	channel_free(h->ch);
	free(h);
}

/* Why it could not be that user. */
static int error_of(struct frame *f)
{
	struct hand_result m;

	return get_hand_result(f, &m, NULL) < 0 ? -EPERM : -(int) MIN(m.code, 4095U);
}

static void read_results(void *arg)
{
	struct hand *h = arg;
	int error = -ECHILD;
	struct frame f;

	while (channel_receive(h->ch, &f, NEVER) > 0) {
		if (str_is(f.message, STR("hand_result")) && f.call == 0)
			error = error_of(&f);
		else if (str_is(f.message, STR("hand_result")))
			take_result(h, &f);
		frame_close(&f);
		give_out();
	}
	let_go(h, error);
	give_out();
}

/* ---- hiring ---- */

static int fork_hand(struct hand *h)
{
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	r = tell_spawner(SPAWNER_HIRE, h->number, &h->as, ends[1]);
	close(ends[1]);
	if (r < 0) {
		close(ends[0]);
		return r;
	}
	h->fd = ends[0];
	h->ch = channel_new(h->fd);
	return 0;
}

static struct hand *hire(const struct identity *as)
{
	struct hand *h = get_memory(sizeof(*h));

	if (readers == NULL)
		readers = scope_open("hands");
	h->as = *as;
	h->number = ++next_number;
	h->idle_since = mono_ms();
	list_init(&h->orders);
	if (fork_hand(h) < 0) {
		free(h);
		return NULL;
	}
	if (scope_start(readers, "hand", read_results, h) < 0) {
		channel_free(h->ch);
		free(h);
		return NULL;
	}
	list_append(&hands, &h->link);
	hand_count++;
	return h;
}

/* It sees the end of its input, and we then the end of it. */
static void dismiss(struct hand *h)
{
	h->leaving = true;
	shutdown(h->fd, SHUT_WR);
}

static void dismiss_longest_idle(void)
{
	struct hand *longest = NULL;

	LIST_EACH(h, &hands, struct hand, link)
		if (h->order_count == 0 && !h->leaving
		    && (longest == NULL || h->idle_since < longest->idle_since))
			longest = h;
	if (longest != NULL)
		dismiss(longest);
}

static void dismiss_idle(struct timer *t)
{
	when_t next = NEVER;

	LIST_EACH(h, &hands, struct hand, link) {
		if (h->order_count > 0 || h->leaving)
			continue;
		if (h->idle_since + IDLE_MS <= mono_ms())
			dismiss(h);
		else
			next = sooner(next, h->idle_since + IDLE_MS);
	}
	timer_set(t, next);
}

/* ---- choosing ---- */

static bool is_same(const struct identity *a, const struct identity *b)
{
	return a->uid == b->uid && a->gid == b->gid && a->spool_gid == b->spool_gid
	       && a->multiplexes == b->multiplexes;
}

static bool has_place(const struct hand *h, struct str place)
{
	LIST_EACH(o, &h->orders, struct hand_order, link)
		if (str_is(o->place, place))
			return true;
	return false;
}

static bool is_alone_for(const struct hand *h, struct str whom)
{
	const struct hand_order *o = LIST_FIRST(&h->orders, struct hand_order, link);

	return h->alone && o != NULL && str_is(o->whom, whom);
}

struct choice {
	struct hand *idle, *least, *at_place;
	int sharing;			/* hands of that user that may share */
	int alone;			/* hands that do something slow for the same one */
};

static void look_around(const struct hand_order *o, struct choice *c)
{
	LIST_EACH(h, &hands, struct hand, link) {
		if (o->alone && is_alone_for(h, o->whom))
			c->alone++;
		if (h->leaving || !is_same(&h->as, &o->as) || h->alone)
			continue;
		c->sharing++;
		if (h->order_count == 0)
			c->idle = h;
		if (c->least == NULL || h->order_count < c->least->order_count)
			c->least = h;
		if (o->place.len > 0 && has_place(h, o->place))
			c->at_place = h;
	}
}

/* NULL: it has to wait until somebody is through. */
static struct hand *choose(const struct hand_order *o)
{
	const int most = o->as.multiplexes ? MOST_MULTIPLEXED : MOST_AT_ONCE,
		enough = o->as.multiplexes ? MOST_MULTIPLEXED : ENOUGH;
	struct choice c = { 0 };

	look_around(o, &c);
	if (o->alone && o->most_alone > 0 && c.alone >= o->most_alone)
		return NULL;
	if (o->alone && c.idle != NULL)
		return c.idle;
	if (!o->alone && c.at_place != NULL)
		return c.at_place->order_count < most ? c.at_place : NULL;
	if (!o->alone && c.least != NULL && (c.least->order_count < enough || c.sharing >= MOST_PER_USER))
		return c.least->order_count < most ? c.least : NULL;
	if (hand_count < MOST_HANDS)
		return hire(&o->as);
	dismiss_longest_idle();
	return NULL;
}

static int transmit(struct hand *h, struct hand_order *o)
{
	AUTO(buf) packed = BUF(FRAME_LIMIT / 2);
	struct hand_errand m = { .alone = o->alone, .has_message = o->d != NULL, .what = o->what };
	struct deliver_request request;
	struct frame_out out;
	int r = o->d == NULL ? 0 : request_of(o->d, o->r, &packed, &request);

	if (r < 0)
		return r;
	r = put_hand_errand(channel_buf(h->ch), o->number, &m, &out);
	if (r >= 0)
		r = channel_send(h->ch, &out);
	if (r < 0 || o->d == NULL) {
		if (r < 0 && o->d != NULL)
			close(request.message);
		return r;
	}
	r = put_deliver_request(channel_buf(h->ch), o->number, &request, &out);
	return r < 0 ? r : channel_send(h->ch, &out);
}

static void give(struct hand *h, struct hand_order *o)
{
	int r;

	list_remove(&o->link);
	o->number = ++next_number == 0 ? ++next_number : next_number;
	r = transmit(h, o);
	if (r < 0) {
		order_over(o, r);
		return;
	}
	o->hand = h;
	/* From here on it is under way: time spent waiting for a free hand does not count. */
	o->until = in(o->alone || o->as.multiplexes ? o->time_limit_ms : STUCK_MS);
	bell_ring(&o->done);
	h->alone = o->alone;
	h->order_count++;
	list_append(&h->orders, &o->link);
}

static void give_out(void)
{
	LIST_EACH(o, &waiting, struct hand_order, link) {
		struct hand *h = choose(o);

		if (h != NULL)
			give(h, o);
		else if (list_is_empty(&hands))		/* nobody whose end could be waited for */
			order_over(o, -ECHILD);
	}
}

void hands_send(struct hand_order *o, struct arena *a)
{
	if (idle_timer.run == NULL)
		idle_timer.run = dismiss_idle;
	o->arena = a;
	o->code = co_is_cancelled() ? -ECANCELED : 1;	/* nobody would hear what came of it: not begun */
	o->until = NEVER;
	bell_init(&o->done);
	if (o->code < 0)
		return;
	list_append(&waiting, &o->link);
	give_out();
}

/* Whoever waits for it is not made to wait for ever. */
static void give_up(struct hand_order *o, int code)
{
	struct hand *h = o->hand;

	if (h != NULL && code == -ETIMEDOUT && !h->as.multiplexes)
		tell_spawner(SPAWNER_KILL, h->number, NULL, -1);
	if (h != NULL && !h->as.multiplexes && (code == -ETIMEDOUT || o->alone))
		dismiss(h);		/* what nobody wants to know any more is broken off, if it can be */
	if (h != NULL)
		take_from_hand(o);
	order_over(o, code);
}

int hands_wait(struct hand_order *o)
{
	while (o->code > 0) {
		int r = bell_wait(&o->done, o->until);

		if (r == -ECANCELED || (r == -ETIMEDOUT && o->until <= mono_ms()))
			give_up(o, r);
	}
	return o->code;
}
