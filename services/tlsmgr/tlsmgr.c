/* SPDX-License-Identifier: ISC */
/*
 * The tlsmgr service: makes the keys that servers seal TLS session tickets with. It keeps two
 * secrets, which nothing else ever has, the present one and the one before; what a service gets is
 * derived from them and from its scope. So it need not remember who asked. They are in memory only,
 * and in the keepsake, which is memory too: the process after this one goes on with them, and
 * sessions outlast a reload and a crash, though not master.
 *
 * A question is answered when there is something new: at once to who has nothing or something old,
 * else after the next rotation. Nobody waits for it but a coroutine of its own
 * (lib/peers/tlsmgr.c).
 */
#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/conf/params/tlsmgr.h"
#include "lib/daemon/daemon.h"
#include "lib/ipc/channel.h"
#include "lib/tls/tls.h"

enum { MOST_QUESTIONS = 100, SECRETS = 2 };

/*
 * All that there is to know; the keepsake begins with it. Its form is that of one build: what
 * another one left is not used.
 */
struct secrets {
	char form[16];
	unsigned char at[SECRETS][TLS_TICKET_SECRET];	/* the present one first */
	int64_t made_ms;		/* when the present one was, on the clock of this boot */
	uint64_t version;		/* another for other secrets, whoever made them */
	uint64_t count;
};
static const char FORM[16] = "ticket secrets1";

static struct tlsmgr_conf conf;
static struct secrets secrets;
static struct bell changed;

static int64_t lifetime_ms(void)
{
	return MAX(conf.smtpd_tls_session_cache_timeout, 1000);
}

/* ---- over the life of processes ---- */

static void leave(void)
{
	if (the_world->keepsake >= 0 && pwrite(the_world->keepsake, &secrets, sizeof(secrets),
					       0) != (ssize_t) sizeof(secrets))
		log_warning("the keys of TLS session tickets will not outlast this process: %s",
			    error_text(errno));
}

/* What opens no ticket any more is of no use. */
static bool inherit(void)
{
	struct secrets s;

	if (the_world->keepsake < 0 || pread(the_world->keepsake, &s, sizeof(s), 0) != (ssize_t) sizeof(s)
	    || memcmp(s.form, FORM, sizeof(FORM)) != 0)
		return false;
	if (s.count < 1 || s.count > SECRETS || s.made_ms > mono_ms()
	    || mono_ms() >= s.made_ms + 2 * lifetime_ms())
		return false;
	secrets = s;
	return true;
}

/* ---- the secrets ---- */

static void rotate(void)
{
	memmove(secrets.at[1], secrets.at[0], sizeof(secrets.at[0]));
	if (tls_ticket_secret_make(secrets.at[0]) < 0)
		die(EX_OSERR, "no randomness for the keys of TLS session tickets");
	secrets.count = MIN(secrets.count + 1, (uint64_t) SECRETS);
	secrets.made_ms = mono_ms();
	secrets.version++;
	leave();
	bell_ring(&changed);
}

static void begin(void)
{
	memcpy(secrets.form, FORM, sizeof(FORM));
	if (getrandom(&secrets.version, sizeof(secrets.version), 0) != (ssize_t) sizeof(secrets.version))
		die(EX_OSERR, "no randomness: %s", error_text(errno));
	rotate();
}

static void start(void)
{
	bell_init(&changed);
	if (!inherit())
		begin();
}

static void run(void)
{
	while (!daemon_is_winding_down()) {
		int r = bell_wait(&changed, secrets.made_ms + lifetime_ms());

		if (r == -ECANCELED)
			return;
		if (r == -ETIMEDOUT) {
			rotate();
			log_debug("the keys of TLS session tickets are new");
		}
	}
}

/* ---- questions ---- */

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

	if (get_ticket_keys_request(call->frame, &request, &why) < 0
	    || request.scope.len != TLS_TICKET_SCOPE) {
		log_warning("malformed question: %s", buf_text(&why));
		return;
	}
	while (request.version == secrets.version && !daemon_is_winding_down())
		if (bell_wait(&changed, NEVER) == -ECANCELED)
			return;
	for (size_t i = 0; i < secrets.count; i++)
		if (tls_ticket_key_derive(secrets.at[i], request.scope, keys + i * TLS_TICKET_KEY) < 0)
			return;
	reply.version = secrets.version;
	reply.keys = str_make((const char *) keys, secrets.count * TLS_TICKET_KEY);
	FAILPOINT("tlsmgr.answer");
	REPLY(call, ticket_keys_reply, &reply);
}

static const struct server_row rows[] = {
	{ "ticket_keys_request", true, answer },
	{ NULL, false, NULL },
};

static void serve(struct session_socket *socket)
{
	serve_our_own(socket, rows, NULL, MOST_QUESTIONS);
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
