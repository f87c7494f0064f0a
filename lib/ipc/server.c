/* SPDX-License-Identifier: ISC */
/* The receiving side of calls: one loop per connection, a row per message. */
#include <errno.h>
#include <sys/socket.h>

#include "lib/base/die.h"
#include "lib/ipc/private.h"
#include "lib/log/log.h"

enum { CALL_MEMORY = 64 << 20, CLOSE_MS = 5000, MOST_UNSENT = 1 << 20, TAKE_MS = 300000 };

struct connection {
	struct list link;		/* in connections */
	struct channel *ch;
	struct timer patience;		/* set with the goodbye */
	const struct server_row *rows;
	void *state;
	struct scope *calls;
	struct gate gate;
	/* one that is not concurrent, such as a long message that streams in */
	bool in_call;
};

/* A concurrent call, living in its own arena. */
struct running_call {
	struct server_call call;
	struct frame frame;
	const struct server_row *row;
	struct connection *connection;
};

static struct list connections = LIST_INIT(connections);
static bool leaving;

/*
 * A client that has no answer to come and has not closed by now does not listen (a blocking one
 * looks at its connection only when it calls).
 */
static void lose_patience(struct timer *t)
{
	struct connection *c = CONTAINER_OF(t, struct connection, patience);

	if (scope_count(c->calls) == 0 && !c->in_call)
		shutdown(channel_fd(c->ch), SHUT_RD);
	else
		timer_set(t, in(CLOSE_MS));
}

static void say_goodbye(struct connection *c)
{
	struct goodbye m = {};
	struct frame_out out;

	if (put_goodbye(channel_buf(c->ch), 0, &m, &out) >= 0)
		channel_send(c->ch, &out);
	timer_set(&c->patience, in(CLOSE_MS));
}

bool serve_channel_goodbye(int fd)
{
	leaving = true;
	LIST_EACH(c, &connections, struct connection, link) {
		if (channel_fd(c->ch) != fd)
			continue;
		say_goodbye(c);
		return true;
	}
	return false;
}

static const struct server_row *find_row(const struct server_row *rows, struct str message)
{
	for (; rows->message != NULL; rows++)
		if (str_is(message, str_of(rows->message)))
			return rows;
	return NULL;
}

static void run_call(void *arg)
{
	struct running_call *r = arg;
	struct connection *c = r->connection;

	r->row->serve(&r->call);
	frame_close(&r->frame);
	arena_free(r->call.arena);
	gate_leave(&c->gate);
}

static int start_call(struct connection *c, const struct server_row *row, struct frame *f)
{
	struct arena *a;
	struct running_call *r;
	int result = gate_enter(&c->gate, NEVER);

	if (result < 0) {
		frame_close(f);
		return result;
	}
	a = arena_new(row->message, NULL, CALL_MEMORY);
	r = ARENA_NEW(a, struct running_call);
	r->frame = *f;
	r->frame.message = arena_copy(a, f->message);
	r->frame.attributes = arena_copy(a, f->attributes);
	r->row = row;
	r->connection = c;
	r->call = (struct server_call){ .ch = c->ch, .frame = &r->frame, .arena = a, .state = c->state };
	result = scope_start(c->calls, row->message, run_call, r);
	if (result < 0) {
		frame_close(&r->frame);
		arena_free(a);
		gate_leave(&c->gate);
	}
	return result;
}

static void serve_here(struct connection *c, const struct server_row *row, struct frame *f)
{
	struct server_call call = { .ch = c->ch, .frame = f, .state = c->state };

	call.arena = arena_new(row->message, NULL, CALL_MEMORY);
	c->in_call = true;
	row->serve(&call);
	c->in_call = false;
	frame_close(f);
	arena_free(call.arena);
}

/*
 * A client that asks on and does not take its answers is not read until it does, so that no more
 * than MOST_UNSENT and what is under way wait for it.
 */
static bool takes_answers(struct channel *ch)
{
	if (channel_drain(ch, MOST_UNSENT, in(TAKE_MS)) != -ETIMEDOUT)
		/* if the connection has failed: what was said before is still to be read */
		return true;
	log_warning("a client does not take its answers: closing the connection");
	return false;
}

int serve_channel(struct channel *ch, const struct server_row *rows, void *state, int most_concurrent)
{
	struct connection c = { .ch = ch, .rows = rows, .state = state };
	struct frame f;
	int result;

	c.calls = scope_open("calls");
	gate_init(&c.gate, most_concurrent);
	c.patience.run = lose_patience;
	list_append(&connections, &c.link);
	if (leaving)
		say_goodbye(&c);
	while ((result = takes_answers(ch) ? channel_receive(ch, &f, NEVER) : -ETIMEDOUT) > 0) {
		const struct server_row *row = find_row(rows, f.message);

		if (row == NULL) {
			log_warning("unexpected message \"%.*s\" on a private socket: closing the connection",
				    PSTR(f.message));
			frame_close(&f);
			result = -EBADMSG;
			break;
		}
		if (!row->concurrent) {
			serve_here(&c, row, &f);
		} else if ((result = start_call(&c, row, &f)) < 0) {
			break;
		}
	}
	if (result == -EBADMSG)
		log_warning("malformed message on a private socket: closing the connection");
	timer_set(&c.patience, NEVER);
	list_remove(&c.link);
	/* nobody waits for what is under way, but nobody has given it up either */
	if (leaving && result == 0) {
		scope_wait(c.calls, NEVER);
		channel_drain(ch, 0, in(CLOSE_MS));
	}
	scope_close(c.calls);
	return result;
}
