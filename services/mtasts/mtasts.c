/* SPDX-License-Identifier: ISC */
/*
 * The MTA-STS service (RFC 8461): which policy other domains have published for the mail servers
 * that they receive with. smtp asks it before it delivers.
 *
 *   A policy is fetched when a domain's record appears or its id changes, and whoever asks meanwhile waits for that: once, at most mtasts_fetch_time_limit.
 *   An attempt that fails is not repeated for mtasts_retry_interval, and a policy from before stays in force until its max_age.
 *   What is known is fetched again every mtasts_refresh_interval, so that a policy in use does not expire when its server is away for a while.
 *   Policies are in data_directory/mtasts_policies too; a new one is there some seconds later, and all are when the process ends.
 */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/conf/params/https.h"
#include "lib/conf/params/mtasts.h"
#include "lib/daemon/daemon.h"
#include "lib/daemon/kept_file.h"
#include "lib/dns/idn.h"
#include "lib/dns/rdata.h"
#include "lib/https/https.h"
#include "lib/ipc/channel.h"
#include "services/mtasts/fetch.h"
#include "services/mtasts/store.h"

enum { CALLS_AT_ONCE = 1000, REFRESHES_AT_ONCE = 20, LOOK_MS = 1000, FETCH_ARENA = 2 << 20,
       UNUSED_S = 30 * 86400 };

static struct https_conf https_conf;
static struct mtasts_conf conf;
static struct kept_file policies = { .name = "mtasts_policies", .print = store_print, .parse = store_parse };
static struct bell leaving;

/* ---- one attempt ---- */

static void keep_policy(struct known *k, const struct policy *p, struct str id)
{
	cache_set_policy(k, p, id, wall_s());
	k->failure = NULL;
	policies.is_dirty = true;
	log_info("policy of %.*s: mode %s, id %.*s, max_age %llds", PSTR(k->domain), mode_name(p->mode),
		 PSTR(id), (long long) p->max_age);
}

static void keep_failure(struct known *k, const char *failure, const struct buf *why)
{
	k->failure = failure;
	snprintf(k->why, sizeof(k->why), "%s", buf_text(why));
	k->next_try_ms = in(conf.mtasts_retry_interval);
	log_info("policy of %.*s: %s: %s%s", PSTR(k->domain), failure, k->why,
		 policy_is_live(k) ? "; the former one stays in force" : "");
}

/* Afterwards k is as it is to be, and who waited looks again. */
static void attempt(struct known *k, struct str id)
{
	struct arena *a = arena_new("fetch", NULL, FETCH_ARENA);
	const struct fetch_settings settings = { (uint16_t) conf.mtasts_fetch_port,
						 conf.mtasts_fetch_time_limit };
	AUTO(buf) why = BUF_WORDS;
	struct policy p;
	const char *failure;

	k->under_way = true;
	failure = policy_fetch(a, k->domain, &settings, &p, &why);
	k->under_way = false;
	if (failure == NULL)
		keep_policy(k, &p, id);
	else if (!daemon_is_winding_down())
		keep_failure(k, failure, &why);
	bell_ring(&k->done);
	arena_free(a);
}

/* ---- answers ---- */

static bool wants_attempt(struct known *k, struct str id)
{
	return (!policy_is_live(k) || !str_is(k->id, id)) && mono_ms() >= k->next_try_ms;
}

/* What the record announces is there, or cannot be had now. */
static void follow_record(struct known *k, struct str id)
{
	k->users++;
	while (k->under_way && bell_wait(&k->done, NEVER) == 0)
		;
	if (!k->under_way && wants_attempt(k, id))
		attempt(k, id);
	k->users--;
}

static void find(struct arena *a, struct str domain, struct mtasts_reply *ret)
{
	struct str id;
	bool announced = record_find(a, domain, &id) > 0;
	struct known *k = announced ? cache_get(domain) : cache_find(domain);

	*ret = (struct mtasts_reply){ .mode = STS_NO_POLICY };
	if (k == NULL)
		return;
	cache_touch(k);
	if (announced)
		follow_record(k, id);
	if (policy_is_live(k))
		*ret = (struct mtasts_reply){ .mode = k->policy.mode, .id = arena_copy(a, k->id),
					      .mx = arena_copy(a, k->policy.mx),
					      .max_age = (uint64_t) k->policy.max_age };
	if (k->failure != NULL) {
		ret->failure = str_of(k->failure);
		ret->why = arena_copy(a, str_of(k->why));
	}
	cache_shrink();
}

static void serve_request(struct server_call *call)
{
	struct mtasts_request request;
	struct mtasts_reply reply = { .mode = STS_NO_POLICY };
	AUTO(buf) why = BUF_WORDS;
	char room[256];
	struct str name;

	if (get_mtasts_request(call->frame, &request, &why) < 0) {
		log_warning("malformed request: %s", buf_text(&why));
		return;
	}
	co_describe("%.*s", PSTR(request.domain));
	if (str_is_ascii(request.domain) ? dns_name_is_valid(request.domain, room, &name)
	    : idn_to_ascii(request.domain, room, &name))
		find(call->arena, name, &reply);
	if (daemon_is_winding_down() && reply.mode == STS_NO_POLICY)
		/*
		 * perhaps only because we leave: the successor knows better, and is asked when this
		 * connection ends
		 */
		return;
	FAILPOINT("mtasts.found");
	REPLY(call, mtasts_reply, &reply);
}

static void serve(struct session_socket *socket)
{
	static const struct server_row rows[] = { { "mtasts_request", true, serve_request },
						  { NULL, false, NULL } };

	serve_our_own(socket, rows, NULL, CALLS_AT_ONCE);
}

/* ---- refreshing ---- */

static bool is_due(struct known *k, int64_t now_s)
{
	int64_t after = MIN(conf.mtasts_refresh_interval / 1000, k->policy.max_age / 2);

	return policy_is_live(k) && !k->under_way && mono_ms() >= k->next_try_ms
	       && now_s >= k->fetched_s + after && now_s < k->used_s + UNUSED_S;
}

/* A domain whose record has gone has given up MTA-STS: its policy lapses in time. */
static void refresh(void *arg)
{
	struct known *k = arg;
	struct arena *a = arena_new("refresh", NULL, FETCH_ARENA);
	struct str id;

	if (record_find(a, k->domain, &id) > 0) {
		if (!k->under_way)
			attempt(k, id);
	} else {
		k->next_try_ms = in(conf.mtasts_retry_interval);
	}
	k->users--;
	arena_free(a);
}

static void refresh_due(struct scope *s)
{
	int64_t now_s = wall_s();

	LIST_EACH(k, cache_all(), struct known, link) {
		if (scope_count(s) >= REFRESHES_AT_ONCE)
			break;
		if (k->users > 0 || !is_due(k, now_s))
			continue;
		k->users++;
		if (scope_start(s, "refresh", refresh, k) < 0)
			k->users--;
	}
}

/* ---- life ---- */

static void start(void)
{
	const struct https_trust trust = { https_conf.https_tls_CAfile, https_conf.https_tls_CApath };
	AUTO(buf) why = BUF_WORDS;

	bell_init(&leaving);
	cache_open((size_t) conf.mtasts_cache_size);
	kept_file_load(&policies, (size_t) conf.mtasts_cache_size * 2 + (1 << 20));
	if (https_open(&trust, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
}

static void run(void)
{
	struct scope *refreshes = scope_open("refreshes"), *web = scope_open("https");

	if (scope_start(web, "https", https_run, NULL) < 0)
		die(EX_OSERR, "no coroutine to be had");
	while (!daemon_is_winding_down() && bell_wait(&leaving, in(LOOK_MS)) != -ECANCELED) {
		refresh_due(refreshes);
		kept_file_tend(&policies);
	}
	scope_close(web);
	scope_close(refreshes);
	kept_file_leave(&policies);
}

static void wind_down(void)
{
	bell_ring(&leaving);
}

int main(int argc, char **argv)
{
	static const struct param_group *const groups[] = { &https_group, &mtasts_group, NULL };
	static void *const structs[] = { &https_conf, &conf };
	static const struct daemon mtasts = {
		.name = "mtasts",
		.singleton = true,
		.groups = groups,
		.structs = structs,
		.jail = {
			.user = AS_MAIL_OWNER,
			.syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_INET | SYS_CONNECT_UNIX
				    | SYS_FILES_READ | SYS_FILES_WRITE,
			.capabilities = "",
			.paths = { { "private/resolver", 'c' }, { "$data", 'w' } },
		},
		.more_paths = https_more_paths,
		.start = start,
		.run = run,
		.serve = serve,
		.wind_down = wind_down,
	};

	return daemon_main(argc, argv, &mtasts);
}
