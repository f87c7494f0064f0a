/* SPDX-License-Identifier: ISC */
/* One delivery: destination by destination, address by address, until every recipient has its outcome. */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/base/map.h"
#include "smtp/smtp.h"

struct client the_client;
const struct onlooker *the_onlooker;

const char *own_name(const char *smtp_parameter)
{
	/* of LMTP: some dozen that the code names, and whoever was told one may keep it */
	static struct map *names;
	char *name;

	if (!the_client.lmtp)
		return smtp_parameter;
	if (names == NULL)
		names = map_new();
	name = map_get(names, str_of(smtp_parameter));
	if (name == NULL) {
		size_t size = strlen(smtp_parameter) + 1;

		name = get_memory(size);
		snprintf(name, size, "lmtp%s", smtp_parameter + 4);
		map_put(names, str_of(smtp_parameter), name);
	}
	return name;
}

/*
 * Delivers what is pending over a session. True: the session was dead already, and nothing has been
 * learnt.
 */
static bool converse(struct job *job, struct session *s)
{
	bool stale;

	if (!requiretls_is_met(&job->site_policy, s)) {
		struct trouble why = trouble_make(job, HARD, false, "5.7.30", s,
						  "REQUIRETLS is required, but was not offered by host %.*s",
						  PSTR(s->name));

		trouble_keep(job, &why);
		cache_keep_or_end(s);
		return false;
	}
	co_describe("%.*s %.*s", PSTR(job->d->queue_id), PSTR(s->relay));
	transact(job, s, &stale);
	if (co_is_cancelled())
		s->is_dead = true;		/* in the middle of something */
	cache_keep_or_end(s);
	return stale;
}

static bool is_over(const struct job *job)
{
	return co_is_cancelled() || job_is_done(job) || !job_has_room(job);
}

/* By its TLS policy nothing may be sent now. */
static bool is_refused(struct job *job, const struct tls_policy *p)
{
	struct trouble why;

	if (p->refused.len == 0)
		return false;
	if (p->refused_dsn[0] == '5') {
		why = trouble_make(job, HARD, false, p->refused_dsn, NULL, "%.*s", PSTR(p->refused));
		trouble_keep(job, &why);
	} else {
		why = trouble_make(job, SOFT, true, p->refused_dsn, NULL, "%.*s", PSTR(p->refused));
		trouble_all(job, &why);
	}
	return true;
}

/* Without TLS as a last resort; never where somebody would have to log in. */
static bool may_go_in_the_clear(struct job *job, const struct destination *to, const struct candidate *at)
{
	return job->tls_broke && !is_over(job) && tls_may_give_up(job) && at != NULL
	       && auth_takes_strangers(job, to, at);
}

/* NULL: there was none, and why. Not to be looked into otherwise. */
static struct session *use_new_session(struct job *job, const struct destination *to,
				       const struct candidate *at, struct trouble *ret_why)
{
	struct session *s;

	job->tls_broke = false;
	s = session_open(job, to, at, ret_why);
	if (s != NULL)
		converse(job, s);
	if (!may_go_in_the_clear(job, to, at))
		return s;
	if (s == NULL)
		trouble_all(job, ret_why);
	trouble_log(job);
	job->in_the_clear = true;
	s = session_open(job, to, at, ret_why);
	if (s != NULL)
		converse(job, s);
	job->in_the_clear = false;
	return s;
}

/*
 * A kept session to this address, or a new one. *ret_session: there was one, so it counts; not when
 * the server was not ready for mail at all, or two that are overloaded would hide a third that is not.
 */
static void try_candidate(struct job *job, const struct destination *to, const struct candidate *at,
			  bool *ret_session)
{
	struct session *s = NULL;
	struct trouble why;

	*ret_session = false;
	policy_of_host(job, &job->site_policy, to, at, &job->policy);
	if (is_refused(job, &job->policy))
		return;
	if (at != NULL && auth_takes_strangers(job, to, at))
		s = cache_take_address(&at->ip, job->policy.id);
	*ret_session = true;
	if (s != NULL && !converse(job, s))
		return;
	if (use_new_session(job, to, at, &why) != NULL)
		return;
	if (co_is_cancelled())
		return;
	*ret_session = false;
	if (why.relay.len == 0) {		/* it did not even connect */
		/* of the host, not of the message: log analysers know it without an id */
		log_info("%.*s", PSTR(why.text));
		why.logged = true;
	}
	if (why.kind == HARD && job->policy.wish >= TLS_WANTED)
		trouble_keep(job, &why);
	else
		trouble_all(job, &why);
}

static bool is_same_place(const struct address_ip *a, const struct address_ip *b)
{
	return ip_is_same(a, b) && a->port == b->port;
}

/*
 * `done`: where a kept session has been used, family 0: nowhere. `last`: there is nothing to try
 * after this destination.
 */
static void try_candidates(struct job *job, const struct destination *to, const struct candidates *list,
			   const struct address_ip *done, bool last)
{
	int64_t sessions = done->family != 0, limit = the_client.conf.smtp_mx_session_limit;

	for (size_t i = 0; i < list->len; i++) {
		bool session;

		if (is_same_place(&list->at[i].ip, done))
			continue;
		if (limit > 0 && sessions >= limit)
			break;
		trouble_log(job);
		try_candidate(job, to, &list->at[i], &session);
		sessions += session;
		if (is_over(job))
			return;
	}
	if (!last)
		trouble_log(job);
}

/* What waits for TLS must not go round either: a fallback relay would have nobody else to give it to. */
static bool has_us(struct job *job, const struct destination *to)
{
	struct candidates list = { 0 };
	struct trouble why;

	if (to->path.len == 0)
		candidates_find(job, to, &list, &why);
	return list.has_us;
}

/* False: mail that did not get through here goes nowhere else. */
static bool try_destination(struct job *job, const struct destination *to, bool last)
{
	struct address_ip done = { .family = 0 }, kept = done;
	struct candidates list = { 0 };
	struct session *s;
	struct trouble why;
	bool session;

	policy_of_destination(job, to, &job->site_policy);
	if (is_refused(job, &job->site_policy))
		return last || !has_us(job, to);
	s = cache_take(to->key, job->site_policy.id);
	if (s != NULL)
		kept = s->ip;
	if (s != NULL && !converse(job, s)) {
		if (is_over(job) || to->path.len > 0)
			return true;
		done = kept;
	}
	if (to->path.len > 0) {
		try_candidate(job, to, NULL, &session);
	} else if (candidates_find(job, to, &list, &why)) {
		try_candidates(job, to, &list, &done, last || list.has_us);
	} else if (!co_is_cancelled()) {
		if (why.kind == HARD)
			trouble_keep(job, &why);	/* a fallback relay may know better */
		else
			trouble_all(job, &why);
		if (!last && !list.has_us)
			trouble_log(job);
	}
	return !list.has_us;
}

static int find_destinations(struct job *job, struct destinations *ret)
{
	int result = destinations_parse(job->d->nexthop, job->arena, ret);
	size_t own = ret->len;

	if (result == 0 && *the_client.conf.smtp_fallback_relay != 0
	    && destinations_parse(str_of(the_client.conf.smtp_fallback_relay), job->arena, ret) < 0)
		log_warning_rarely(60, "smtp_fallback_relay: bad syntax: %s",
				   the_client.conf.smtp_fallback_relay);
	for (size_t i = own; i < ret->len; i++)
		ret->at[i].named_by = own_name("smtp_fallback_relay");
	return result;
}

void smtp_deliver(struct delivery *d)
{
	struct job job = { .d = d, .arena = d->arena };
	struct destinations to = { 0 };
	struct trouble why;

	job.of = arena_get(d->arena, (d->env.recipient_count + 1) * sizeof(*job.of));
	if (find_destinations(&job, &to) < 0) {
		why = trouble_make(&job, SOFT, true, "4.3.5", NULL, "bad next hop: \"%.*s\"",
				   PSTR(d->nexthop));
		trouble_all(&job, &why);
	} else if (generic_apply(&job) && auth_prepare(&job, &to)) {
		for (size_t i = 0; i < to.len && !is_over(&job); i++)
			if (!try_destination(&job, &to.at[i], i + 1 == to.len))
				break;
	}
	if (!co_is_cancelled())
		job_finish(&job);
	generic_end(&job);
	login_free(job.login);
}
