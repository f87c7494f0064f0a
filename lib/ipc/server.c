/* SPDX-License-Identifier: ISC */
/* The receiving side of calls: one loop per connection, a row per message. */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/ipc/channel.h"
#include "lib/log/log.h"

enum { CALL_MEMORY = 64 << 20 };

struct connection {
	struct channel *ch;
	const struct server_row *rows;
	void *state;
	struct scope *calls;
	struct gate gate;
};

/* A concurrent call, living in its own arena. */
struct running_call {
	struct server_call call;
	struct frame frame;
	const struct server_row *row;
	struct connection *connection;
};

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
	row->serve(&call);
	frame_close(f);
	arena_free(call.arena);
}

int serve_channel(struct channel *ch, const struct server_row *rows, void *state, int most_concurrent)
{
	struct connection c = { .ch = ch, .rows = rows, .state = state };
	struct frame f;
	int result;

	c.calls = scope_open("calls");
	gate_init(&c.gate, most_concurrent);
	while ((result = channel_receive(ch, &f, NEVER)) > 0) {
		const struct server_row *row = find_row(rows, f.message);

		if (row == NULL) {
			log_warning("unexpected message \"%.*s\" on a private socket: closing the connection", PSTR(f.message));
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
	scope_close(c.calls);
	return result;
}
