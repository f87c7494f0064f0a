/* SPDX-License-Identifier: ISC */
/*
 * The token service: smtp asks it what stands in place of a user's password (XOAUTH2, OAUTHBEARER).
 * It has a helper command make a token, as the user that master.cf names, and keeps it until
 * shortly before it expires, or until smtp says that a server did not take it.
 *
 * Whoever asks while the helper runs for the same user waits for that. A helper that fails is not
 * started again for RETRY_MS. This process is jailed like the others and never has the rights that
 * the helper has: the hand does (lib/agent/hands.h).
 */
#include <errno.h>
#include <unistd.h>

#include "lib/agent/command.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/base/map.h"
#include "lib/conf/params/tokens.h"
#include "lib/ipc/channel.h"
#include "services/tokens/helper.h"

enum { CALLS_AT_ONCE = 1000, MOST_USERS = 1000, RETRY_MS = 10000, UNKNOWN_S = 60, MARGIN_S = 60,
       ERRAND_MEMORY = 1 << 20 };

struct holder {				/* of one user */
	struct buf token;		/* empty: none */
	when_t until;			/* of the token, or of not trying again */
	char why[500];			/* not empty: the last attempt failed */
	bool under_way;
	unsigned waiting;
	struct bell done;
};

static struct tokens_conf conf;
static struct helper helper;
static struct identity identity;
static struct map *holders;		/* user -> struct holder */

/* ---- what is held ---- */

static void free_holder(void *holder)
{
	struct holder *h = holder;

	buf_wipe(&h->token);
	free(h);
}

/*
 * More users than any password table has: those whose tokens are past go first, and then everybody
 * whom nobody waits for.
 */
static void make_room(void)
{
	for (int all = 0; all < 2 && map_count(holders) >= MOST_USERS; all++)
		for (struct map_at i = { 0 }; map_next(holders, &i);) {
			struct holder *h = i.value;

			if (!h->under_way && h->waiting == 0 && (all || mono_ms() >= h->until)) {
				map_remove(holders, i.key);
				free_holder(h);
			}
		}
}

static struct holder *holder_of(struct str user)
{
	struct holder *h = map_get(holders, user);

	if (h != NULL)
		return h;
	make_room();
	h = get_memory(sizeof(*h));
	h->token = BUF(MOST_TOKEN);
	bell_init(&h->done);
	map_put(holders, user, h);
	return h;
}

static void forget(struct holder *h)
{
	buf_wipe(&h->token);
	h->until = 0;
	h->why[0] = 0;
}

/* ---- the helper ---- */

static void keep(struct holder *h, struct str reply)
{
	struct token t;

	if (reply.len == 0 || reply.at[0] != '+') {
		AUTO(buf) words = BUF(sizeof(h->why));

		buf_add_printable(&words, str_head(str_skip(reply, 1), sizeof(h->why) - 1));
		snprintf(h->why, sizeof(h->why), "%s", buf_text(&words));
	} else if (token_parse(str_skip(reply, 1), &t) < 0) {
		snprintf(h->why, sizeof(h->why), "what the helper wrote is no token");
	} else {
		int64_t seconds = t.seconds == 0 ? UNKNOWN_S : t.seconds - MIN((int64_t) MARGIN_S,
				t.seconds / 4);

		buf_room(&h->token, MOST_TOKEN);
		buf_add(&h->token, t.text);
		h->until = in(seconds * 1000);
	}
}

static void refresh(struct holder *h, struct str user)
{
	struct arena *a = arena_new("helper", NULL, ERRAND_MEMORY);
	struct hand_order order = { .as = identity, .what = user, .alone = true,
				    .time_limit_ms = conf.tokens_time_limit };
	int r;

	forget(h);
	h->under_way = true;
	hands_send(&order, a);
	r = hands_wait(&order);
	h->under_way = false;
	h->until = in(RETRY_MS);
	if (r >= 0)
		keep(h, order.reply);
	else
		snprintf(h->why, sizeof(h->why), "the helper failed: %s",
			 r == -ETIMEDOUT ? "it took too long" : r == -ECHILD ? "it died" : error_text(r));
	if (h->why[0] != 0)
		log_warning("no token for %.*s: %s", PSTR(user), h->why);
	bell_ring(&h->done);
	arena_wipe(a);
}

/* ---- requests ---- */

static void serve_request(struct server_call *call)
{
	AUTO(buf) why = BUF_WORDS;
	struct token_request request;
	struct token_reply reply = { .token = STR_NONE };
	struct holder *h;

	if (get_token_request(call->frame, &request, &why) < 0) {
		log_warning("malformed request: %s", buf_text(&why));
		return;
	}
	co_describe("%.*s", PSTR(request.user));
	h = holder_of(request.user);
	h->waiting++;
	while (h->under_way && bell_wait(&h->done, NEVER) == 0)
		;
	if (!h->under_way && mono_ms() >= h->until)
		refresh(h, request.user);
	h->waiting--;
	reply.token = buf_str(&h->token);
	reply.why = str_of(h->why);
	FAILPOINT("tokens.made");
	REPLY(call, token_reply, &reply);
}

/* A server did not take it: the next who asks gets another one, if this is still it. */
static void serve_refusal(struct server_call *call)
{
	AUTO(buf) why = BUF_WORDS;
	struct token_refused refused;
	struct holder *h;

	if (get_token_refused(call->frame, &refused, &why) < 0) {
		log_warning("malformed request: %s", buf_text(&why));
		return;
	}
	h = map_get(holders, refused.user);
	if (h != NULL && !h->under_way && str_is(buf_str(&h->token), refused.token))
		forget(h);
}

static const struct server_row rows[] = {
	{ "token_request", true, serve_request },
	{ "token_refused", true, serve_refusal },
	{ NULL, false, NULL },
};

static void serve(struct session_socket *socket)
{
	serve_our_own(socket, rows, NULL, CALLS_AT_ONCE);
}

/* ---- start ---- */

static int run_errand(struct hand_job *j)
{
	return helper_run(&helper, j);
}

static void start(void)
{
	static const struct trade trade = { .run = run_errand };
	struct arena *a = arena_new("helper's user", NULL, 1 << 20);
	struct account user;
	AUTO(buf) why = BUF_WORDS;

	if (helper_parse(the_world->arguments, the_world->argument_count, &helper, &why) < 0)
		die(EX_CONFIG, "master.cf: service %s: %s", the_world->service, buf_text(&why));
	helper.arena = a;
	if (command_identity(a, helper.user, helper.group, &identity, &why) < 0)
		die(EX_CONFIG, "master.cf: service %s: %s", the_world->service, buf_text(&why));
	if (account_by_name(a, helper.user, &user) > 0)
		helper.home = user.home;
	holders = map_new();
	hands_begin(&trade);
}

int main(int argc, char **argv)
{
	static const struct param_group *const groups[] = { &tokens_group, NULL };
	static void *const structs[] = { &conf };
	static const struct daemon tokens = {
		.name = "tokens",
		.singleton = true,
		.groups = groups,
		.structs = structs,
		.jail = { .user = AS_MAIL_OWNER, .syscalls = SYS_CORE | SYS_ACCEPT, .capabilities = "" },
		.start = start,
		.serve = serve,
	};

	return daemon_main(argc, argv, &tokens);
}
