/* SPDX-License-Identifier: ISC */
#include "lib/peers/anvil.h"

#include <errno.h>

#include "lib/base/arena.h"
#include "lib/ipc/channel.h"

enum { PATIENCE_MS = 10000 };

int64_t anvil_ask(struct str service, struct str client, enum anvil_event event, bool counts)
{
	static struct client *anvil;		/* of this process, never freed */
	const struct anvil_event_request request = { .service = str_head(service, 100), .client = client, .event = event, .more = counts };
	struct arena *a = arena_new("anvil", NULL, 64 << 10);
	struct anvil_event_reply reply;
	when_t until = in(PATIENCE_MS);
	int r;

	if (anvil == NULL)
		anvil = client_new(ANVIL_SOCKET);
	r = CALL(anvil, anvil_event_request, &request, a, anvil_event_reply, &reply, until);
	if (r == -EPIPE || r == -ECONNRESET)		/* it was restarted */
		r = CALL(anvil, anvil_event_request, &request, a, anvil_event_reply, &reply, until);
	arena_free(a);
	return r < 0 ? r : (int64_t) MIN(reply.count, (uint64_t) INT32_MAX);
}
