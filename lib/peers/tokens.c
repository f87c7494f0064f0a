/* SPDX-License-Identifier: ISC */
#include "lib/peers/tokens.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/ipc/channel.h"

enum { ASK_MS = 100000, TELL_MS = 10000 };	/* tokens_time_limit is shorter */

static struct client *service;

void tokens_use(const char *path)
{
	client_free(service);
	service = client_new(path);
	client_wipes(service);
}

int token_ask(struct arena *a, struct str user, struct str *ret_token, struct buf *why)
{
	const struct token_request request = { .user = user };
	struct token_reply reply;
	int r = ASK(service, token_request, &request, a, token_reply, &reply, in(ASK_MS));

	if (r < 0) {
		buf_addf(why, "the service cannot be asked: %s", error_text(r));
		return r;
	}
	if (reply.token.len == 0) {
		buf_add(why, reply.why);
		return -ENOENT;
	}
	*ret_token = reply.token;
	return 0;
}

void token_refuse(struct str user, struct str token)
{
	const struct token_refused refused = { .user = user, .token = token };

	TELL(service, token_refused, &refused, in(TELL_MS));
}
