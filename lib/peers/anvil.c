/* SPDX-License-Identifier: ISC */
#include "lib/peers/anvil.h"

#include <errno.h>

#include "lib/base/arena.h"
#include "lib/ipc/channel.h"

enum { PATIENCE_MS = 10000, LONGEST_NAME = 100 };

static struct client *anvil(void)
{
	static struct client *one;		/* of this process, never freed */

	if (one == NULL)
		one = client_new(ANVIL_SOCKET);
	return one;
}

static bool was_restarted(int r)
{
	return r == -EPIPE || r == -ECONNRESET;
}

int64_t anvil_ask(struct str service, struct str client, enum anvil_event event, bool counts)
{
	const struct anvil_event_request request = { .service = str_head(service, LONGEST_NAME), .client = client, .event = event, .more = counts };
	struct arena *a = arena_new("anvil", NULL, 64 << 10);
	struct anvil_event_reply reply;
	when_t until = in(PATIENCE_MS);
	int r = CALL(anvil(), anvil_event_request, &request, a, anvil_event_reply, &reply, until);

	if (was_restarted(r))
		r = CALL(anvil(), anvil_event_request, &request, a, anvil_event_reply, &reply, until);
	arena_free(a);
	return r < 0 ? r : (int64_t) MIN(reply.count, (uint64_t) INT32_MAX);
}

int64_t anvil_sessions(struct str service, struct str client, uint64_t here)
{
	const struct anvil_sessions_request request = { .service = str_head(service, LONGEST_NAME), .client = client, .here = here };
	struct arena *a = arena_new("anvil", NULL, 64 << 10);
	struct anvil_sessions_reply reply;
	when_t until = in(PATIENCE_MS);
	int r = CALL(anvil(), anvil_sessions_request, &request, a, anvil_sessions_reply, &reply, until);

	if (was_restarted(r))
		r = CALL(anvil(), anvil_sessions_request, &request, a, anvil_sessions_reply, &reply, until);
	arena_free(a);
	return r < 0 ? r : (int64_t) MIN(reply.count, (uint64_t) INT32_MAX);
}

void anvil_sessions_now(struct str service, struct str client, uint64_t here)
{
	const struct anvil_sessions_request request = { .service = str_head(service, LONGEST_NAME), .client = client, .here = here };

	TELL(anvil(), anvil_sessions_request, &request, in(PATIENCE_MS));
}
