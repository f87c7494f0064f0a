/* SPDX-License-Identifier: ISC */
/*
 * The tlsmgr service: makes the keys that servers seal TLS session tickets with. It keeps two secrets in memory, which nothing else ever has, the
 * present one and the one before; what a service gets is derived from them and from its scope. So it need not remember who asked.
 *
 * A question is answered when there is something new: at once to who has nothing or something old, else after the next rotation. Nobody waits for it
 * but a coroutine of its own (lib/peers/tlsmgr.c).
 */
#include <errno.h>
#include <sys/random.h>

#include "lib/base/die.h"
#include "lib/conf/params/tlsmgr.h"
#include "lib/daemon/daemon.h"
#include "lib/ipc/channel.h"
#include "lib/tls/tls.h"

enum { MOST_QUESTIONS = 100, SECRETS = 2 };

static struct tlsmgr_conf conf;
static unsigned char secrets[SECRETS][TLS_TICKET_SECRET];	/* the present one first */
static int secret_count;
static uint64_t version;		/* of the secrets; another after each start, too */
static struct bell changed;

static void rotate(void)
{
	memmove(secrets[1], secrets[0], sizeof(secrets[0]));
	if (tls_ticket_secret_make(secrets[0]) < 0)
		die(EX_OSERR, "no randomness for the keys of TLS session tickets");
	secret_count = MIN(secret_count + 1, SECRETS);
	version++;
	bell_ring(&changed);
}

static void start(void)
{
	bell_init(&changed);
	if (getrandom(&version, sizeof(version), 0) != (ssize_t) sizeof(version))
		die(EX_OSERR, "no randomness: %s", error_text(errno));
	rotate();
}

static void run(void)
{
	while (!daemon_is_winding_down()) {
		int r = bell_wait(&changed, in(MAX(conf.smtpd_tls_session_cache_timeout, 1000)));

		if (r == -ECANCELED)
			return;
		if (r == -ETIMEDOUT) {
			rotate();
			log_debug("the keys of TLS session tickets are new");
		}
	}
}

/* Whoever waits has to ask our successor. */
static void wind_down(void)
{
	bell_ring(&changed);
}

static void answer(struct server_call *call)
{
	AUTO(buf) why = BUF_WORDS;
	struct ticket_keys_request request;
	struct ticket_keys_reply reply = { .version = 0 };
	unsigned char keys[TLS_TICKET_KEYS];

	if (get_ticket_keys_request(call->frame, &request, &why) < 0 || request.scope.len != TLS_TICKET_SCOPE) {
		log_warning("malformed question: %s", buf_text(&why));
		return;
	}
	while (request.version == version && !daemon_is_winding_down())
		if (bell_wait(&changed, NEVER) == -ECANCELED)
			return;
	for (int i = 0; i < secret_count; i++)
		if (tls_ticket_key_derive(secrets[i], request.scope, keys + i * TLS_TICKET_KEY) < 0)
			return;
	reply.version = version;
	reply.keys = str_make((const char *) keys, (size_t) secret_count * TLS_TICKET_KEY);
	REPLY(call, ticket_keys_reply, &reply);
}

static const struct server_row rows[] = {
	{ "ticket_keys_request", true, answer },
	{ NULL, false, NULL },
};

static void serve(struct session_socket *socket)
{
	serve_our_own(socket, rows, MOST_QUESTIONS);
}

static const struct param_group *const groups[] = { &tlsmgr_group, NULL };
static void *const structs[] = { &conf };

static const struct daemon tlsmgr = {
	.name = "tlsmgr",
	.shape = DAEMON_SESSIONS,
	.singleton = true,
	.groups = groups,
	.structs = structs,
	.jail = {
		.user = AS_MAIL_OWNER,
		.syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_UNIX,
		.capabilities = "",
		.paths = { { "public/postlog", 'c' } },
	},
	.start = start,
	.run = run,
	.serve = serve,
	.wind_down = wind_down,
};

int main(int argc, char **argv)
{
	return daemon_main(argc, argv, &tlsmgr);
}
