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

/* A count or an error, as ASK() gave it. */
static int64_t count_of(int result, uint64_t count)
{
	return result < 0 ? result : (int64_t) MIN(count, (uint64_t) INT32_MAX);
}

int64_t anvil_ask(struct str service, struct str client, enum anvil_event event, bool counts)
{
	const struct anvil_event_request request = { .service = str_head(service, LONGEST_NAME),
						     .client = client, .event = event, .more = counts };
	struct arena *a = arena_new("anvil", NULL, 64 << 10);
	struct anvil_event_reply reply;
	int r = ASK(anvil(), anvil_event_request, &request, a, anvil_event_reply, &reply, in(PATIENCE_MS));

	arena_free(a);
	return count_of(r, reply.count);
}

int64_t anvil_sessions(struct str service, struct str client, uint64_t here)
{
	const struct anvil_sessions_request request = { .service = str_head(service, LONGEST_NAME),
							.client = client, .here = here };
	struct arena *a = arena_new("anvil", NULL, 64 << 10);
	struct anvil_sessions_reply reply;
	int r = ASK(anvil(), anvil_sessions_request, &request, a, anvil_sessions_reply, &reply,
		    in(PATIENCE_MS));

	arena_free(a);
	return count_of(r, reply.count);
}

void anvil_sessions_now(struct str service, struct str client, uint64_t here)
{
	const struct anvil_sessions_request request = { .service = str_head(service, LONGEST_NAME),
							.client = client, .here = here };

	TELL(anvil(), anvil_sessions_request, &request, in(PATIENCE_MS));
}
