/* SPDX-License-Identifier: ISC */
/*
 * Many calls at once over one connection to a service. A reader coroutine takes the replies and
 * wakes whoever waits; when the connection breaks, every call under way ends with its error, and
 * the next call connects again.
 *
 * Call numbers are slot + generation, so that the late reply to a call that gave up finds nobody.
 * Without a running loop (local's delivery processes, commands) a call sends and reads its reply itself.
 */
#include "lib/ipc/private.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/io/net.h"

enum { SLOT_BITS = 16, MOST_CALLS = (1 << SLOT_BITS) - 1, FIRST_SLOTS = 8, GOODBYE_MS = 1000, MOST_OLD = 8 };

struct call {
	uint32_t number;
	struct channel *ch;		/* that the request went out on */
	struct arena *arena;
	struct frame *reply;
	int result;			/* 1 while waiting */
	struct bell done;
};

/* A coroutine for the replies of a connection. Until it runs it knows of the client through this only. */
struct reader {
	struct client *client;		/* NULL: the connection has been dropped meanwhile */
};

struct client {
	char *path;
	struct channel *ch;		/* NULL: not connected */
	struct reader *starting;	/* ch's, which has not run yet; NULL: it has */
	/* their servers said goodbye; answers are still awaited from them. NULL: none */
	struct channel *old[MOST_OLD];
	struct gate connecting;
	struct call **slots;
	uint32_t slot_count, next_generation;
	int under_way;
	bool wipes;
};

struct client *client_new(const char *path)
{
	struct client *cl = get_memory(sizeof(*cl));

	cl->path = get_memory(strlen(path) + 1);
	memcpy(cl->path, path, strlen(path));
	gate_init(&cl->connecting, 1);
	return cl;
}

void client_wipes(struct client *cl)
{
	cl->wipes = true;
}

static bool awaits(const struct call *c, const struct channel *ch)
{
	return c != NULL && c->ch == ch && c->result > 0;
}

static bool awaits_any(const struct client *cl, const struct channel *ch)
{
	for (uint32_t i = 0; i < cl->slot_count; i++)
		if (awaits(cl->slots[i], ch))
			return true;
	return false;
}

/* *place is cl->ch or one of cl->old. */
static void drop(struct client *cl, struct channel **place, int error)
{
	struct channel *ch = *place;

	if (place == &cl->ch && cl->starting != NULL) {
		cl->starting->client = NULL;
		cl->starting = NULL;
	}
	*place = NULL;
	if (ch == NULL)
		return;
	for (uint32_t i = 0; i < cl->slot_count; i++) {
		struct call *c = cl->slots[i];

		if (!awaits(c, ch))
			continue;
		c->result = error;
		bell_ring(&c->done);
	}
	channel_free(ch);
}

static void disconnect(struct client *cl, int error)
{
	drop(cl, &cl->ch, error);
}

static struct channel **place_of(struct client *cl, const struct channel *ch)
{
	for (int i = 0; i < MOST_OLD; i++)
		if (cl->old[i] == ch)
			return &cl->old[i];
	return NULL;
}

/* The next call connects anew, to the server's successor. */
static void set_aside(struct client *cl)
{
	struct channel **place = place_of(cl, NULL);

	/* after so many reloads in a moment: whoever waits on the first one is out of luck */
	if (place == NULL) {
		place = &cl->old[0];
		drop(cl, place, -EPIPE);
	}
	*place = cl->ch;
	cl->ch = NULL;
}

void client_free(struct client *cl)
{
	if (cl == NULL)
		return;
	BUG_UNLESS(cl->under_way == 0);
	disconnect(cl, -ECANCELED);
	for (int i = 0; i < MOST_OLD; i++)
		drop(cl, &cl->old[i], -ECANCELED);
	free(cl->slots);
	free(cl->path);
	free(cl);
}

/* ---- replies ---- */

/*
 * The caller has made room for what he asks for: a service that says more talks nonsense, and that
 * is his error, not this process's end.
 */
static int keep_reply(struct call *c, struct frame *f)
{
	enum { OVERHEAD = 64 };

	if (arena_left(c->arena) < f->attributes.len + f->message.len + OVERHEAD) {
		frame_close(f);
		return -EMSGSIZE;
	}
	*c->reply = *f;
	c->reply->message = arena_copy(c->arena, f->message);
	c->reply->attributes = arena_copy(c->arena, f->attributes);
	return 0;
}

static void take_reply(struct client *cl, struct frame *f)
{
	uint32_t slot = f->call & MOST_CALLS;
	struct call *c = slot < cl->slot_count ? cl->slots[slot] : NULL;

	if (c == NULL || c->number != f->call || c->result <= 0) {
		frame_close(f);		/* the caller gave up meanwhile, or has his answer */
		return;
	}
	c->result = keep_reply(c, f);
	bell_ring(&c->done);
}

static void run_reader(void *arg)
{
	struct reader *r = arg;
	struct client *cl = r->client;
	struct channel *ch, **place;
	struct frame f;
	int result;

	free(r);
	if (cl == NULL)
		return;
	cl->starting = NULL;
	ch = cl->ch;
	while ((result = channel_receive_any(ch, &f, NEVER)) > 0) {
		if (!str_is(f.message, STR("goodbye")))
			take_reply(cl, &f);
		else if (cl->ch == ch)
			set_aside(cl);
		if (cl->ch == ch || awaits_any(cl, ch))
			continue;
		/* What was told one way goes out before the end. */
		if (channel_drain(ch, 0, in(GOODBYE_MS)) != -ECANCELED && (place = place_of(cl, ch)) != NULL)
			drop(cl, place, -EPIPE);
		return;
	}
	if (result == -ECANCELED)
		return;			/* cl may be gone */
	place = cl->ch == ch ? &cl->ch : place_of(cl, ch);
	if (place != NULL)
		drop(cl, place, result == 0 ? -EPIPE : result);
}

static struct scope *readers(void)
{
	static struct scope *scope;

	if (scope == NULL)
		scope = scope_open("reply readers");
	return scope;
}

/* ---- connecting ---- */

static int connect_now(struct client *cl, when_t until)
{
	int fd = connect_unix(cl->path, until);
	struct reader *r;

	if (fd < 0)
		return fd;
	cl->ch = channel_new(fd);
	if (cl->wipes)
		channel_wipes(cl->ch);
	if (!loop_is_running())
		return 0;
	r = get_memory(sizeof(*r));
	r->client = cl;
	if (scope_start(readers(), "reply reader", run_reader, r) < 0) {
		free(r);
		channel_free(cl->ch);
		cl->ch = NULL;
		return -EAGAIN;
	}
	cl->starting = r;
	return 0;
}

static int be_connected(struct client *cl, when_t until)
{
	int result = 0;

	/* Nobody reads for us where no loop runs: before a call, input can only be a goodbye or the end. */
	if (!loop_is_running() && cl->ch != NULL && channel_has_input(cl->ch))
		disconnect(cl, -EPIPE);
	if (cl->ch != NULL && channel_error(cl->ch) == 0)
		return 0;
	result = gate_enter(&cl->connecting, until);
	if (result < 0)
		return result;
	if (cl->ch != NULL && channel_error(cl->ch) < 0)
		disconnect(cl, channel_error(cl->ch));
	if (cl->ch == NULL)
		result = connect_now(cl, until);
	gate_leave(&cl->connecting);
	return result;
}

const char *client_path(const struct client *cl)
{
	return cl->path;
}

int client_channel(struct client *cl, struct channel **ret, when_t until)
{
	int fd = connect_unix(cl->path, until);

	if (fd < 0)
		return fd;
	*ret = channel_new(fd);
	return 0;
}

/* ---- calls ---- */

static int find_slot(struct client *cl, uint32_t *ret_slot)
{
	for (uint32_t i = 0; i < cl->slot_count; i++) {
		uint32_t slot = (cl->next_generation + i) % cl->slot_count;

		if (cl->slots[slot] == NULL) {
			*ret_slot = slot;
			return 0;
		}
	}
	if (cl->slot_count >= MOST_CALLS)
		return -EAGAIN;
	*ret_slot = cl->slot_count;
	cl->slot_count = cl->slot_count == 0 ? FIRST_SLOTS : MIN(cl->slot_count * 2, (uint32_t) MOST_CALLS);
	cl->slots = resize_memory(cl->slots, cl->slot_count * sizeof(*cl->slots));
	for (uint32_t i = *ret_slot; i < cl->slot_count; i++)
		cl->slots[i] = NULL;
	return 0;
}

static uint32_t new_call_number(struct client *cl, uint32_t slot)
{
	uint32_t generation = ++cl->next_generation & 0x7fff;

	return (generation + 1) << SLOT_BITS | slot;
}

/* Sends; the caller's descriptors are gone whatever happens. */
static int send_message(struct client *cl, put_message *put, uint32_t number, const void *m)
{
	struct frame_out out;
	int result = put(channel_buf(cl->ch), number, m, &out);

	return result < 0 ? result : channel_send(cl->ch, &out);
}

static int wait_for_reply(struct client *cl, struct call *c, when_t until)
{
	struct frame f;
	int result = 0;

	while (c->result > 0 && result >= 0) {
		if (loop_is_running()) {
			result = bell_wait(&c->done, until);
			continue;
		}
		result = channel_receive(cl->ch, &f, until);
		if (result > 0)
			take_reply(cl, &f);
		else if (result == 0)
			result = -EPIPE;
	}
	return c->result > 0 ? result : c->result;
}

/* The descriptors of a message that cannot even be put: marshal it into nothing, which closes them. */
static void give_up_descriptors(put_message *put, const void *m)
{
	AUTO(buf) nowhere = BUF(0);
	struct frame_out out;

	put(&nowhere, 0, m, &out);
}

int client_exchange(struct client *cl, put_message *put, const void *m, struct arena *a,
		    struct frame *ret_reply, when_t until)
{
	struct call call = { .arena = a, .reply = ret_reply, .result = 1 };
	uint32_t slot;
	int result = be_connected(cl, until);

	if (result >= 0)
		result = find_slot(cl, &slot);
	if (result < 0) {
		give_up_descriptors(put, m);
		return result;
	}
	bell_init(&call.done);
	call.number = new_call_number(cl, slot);
	call.ch = cl->ch;
	cl->slots[slot] = &call;
	cl->under_way++;
	result = send_message(cl, put, call.number, m);
	if (result >= 0)
		result = wait_for_reply(cl, &call, until);
	cl->slots[slot] = NULL;
	cl->under_way--;
	if (!loop_is_running() && result < 0 && cl->ch != NULL)
		disconnect(cl, result);
	return result;
}

int client_tell(struct client *cl, put_message *put, const void *m, when_t until)
{
	int result = be_connected(cl, until);

	if (result < 0) {
		give_up_descriptors(put, m);
		return result;
	}
	return send_message(cl, put, 0, m);
}
