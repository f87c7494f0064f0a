/* SPDX-License-Identifier: ISC */
#include "lib/peers/tlsmgr.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/ipc/channel.h"
#include "lib/log/log.h"

enum { FIRST_PAUSE_MS = 100, LONGEST_PAUSE_MS = 60000, WARN_EACH_S = 3600, PATIENCE_MS = 5000 };

static struct client *manager;
static bool is_answered = true;		/* the first question: with keys, or with trouble */
static struct bell answered;
static when_t give_up_at;

/* 1: new keys; 0: the ones that we have; -errno. tlsmgr answers when they change. */
static int ask(struct tls_context *c, uint64_t *version)
{
	struct arena *a = arena_new("ticket keys", NULL, 64 << 10);
	struct ticket_keys_request request = { .scope = tls_context_scope(c), .version = *version };
	struct ticket_keys_reply reply;
	int r = CALL(manager, ticket_keys_request, &request, a, ticket_keys_reply, &reply, NEVER);

	if (r >= 0) {
		r = reply.version != *version;
		*version = reply.version;
		tls_context_use_ticket_keys(c, reply.keys);
	}
	arena_free(a);
	return r;
}

static void follow(void *context)
{
	int64_t pause = FIRST_PAUSE_MS;
	uint64_t version = 0;

	for (;;) {
		int r = ask(context, &version);

		if (r == -ECANCELED)
			return;
		is_answered = true;
		bell_ring(&answered);
		if (r < 0) {
			version = 0;
			log_warning_rarely(WARN_EACH_S,
					   "no new keys for TLS session tickets: service tlsmgr: %s",
					   error_text(r));
		}
		pause = r < 0 ? MIN(pause * 2, LONGEST_PAUSE_MS) : FIRST_PAUSE_MS;
		if (r <= 0 && co_sleep(in(pause)) < 0)
			return;
	}
}

void ticket_keys_follow(struct tls_context *c, const char *path)
{
	static struct scope *scope;

	if (scope != NULL || !tls_context_gives_tickets(c))
		return;
	scope = scope_open("ticket keys");
	bell_init(&answered);
	give_up_at = in(PATIENCE_MS);
	is_answered = false;
	manager = client_new(path);
	if (scope_start(scope, "ticket keys", follow, c) < 0)
		/* and nobody waits for long */
		log_warning("no keys for TLS session tickets: no room for a coroutine");
}

void ticket_keys_await(void)
{
	while (!is_answered && bell_wait(&answered, give_up_at) == 0)
		;
}
