/* SPDX-License-Identifier: ISC */
/*
 * Sessions that are open and unused for the moment. A delivery takes the one kept most recently;
 * the others are ended when their time is up. There are few enough for a list.
 */
#include <errno.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "smtp/smtp.h"

enum { MOST_KEPT = 512 };

static void time_is_up(struct timer *t);

static struct list kept = LIST_INIT(kept);	/* most recently kept first */
static size_t kept_count;
static struct timer expiry = { .run = time_is_up };

static struct session *take(struct session *s)
{
	list_remove(&s->link);
	kept_count--;
	return s;
}

static void end_one(void *arg)
{
	session_end(arg);
}

/* On the loop's stack, where nothing may wait: each is ended by a coroutine. */
static void time_is_up(struct timer *t)
{
	static struct scope *ending;
	when_t now = mono_ms();

	if (ending == NULL)
		ending = scope_open("kept sessions");
	while (!list_is_empty(&kept)) {
		struct session *oldest = LIST_ENTRY(kept.prev, struct session, link);

		if (oldest->idle_until > now) {
			timer_set(t, oldest->idle_until);
			return;
		}
		if (scope_start(ending, "end of session", end_one, oldest) < 0) {
			timer_set(t, now + 1000);
			return;
		}
		take(oldest);
	}
}

struct session *cache_take(struct str key, struct str policy)
{
	LIST_EACH(s, &kept, struct session, link)
		if (str_is(s->key, key) && str_is(s->policy, policy))
			return take(s);
	return NULL;
}

struct session *cache_take_address(const struct address_ip *ip, struct str host_policy)
{
	LIST_EACH(s, &kept, struct session, link)
		if (!s->is_authenticated && s->ip.family != 0 && ip_is_same(&s->ip, ip)
		    && s->ip.port == ip->port && str_is(s->host_policy, host_policy))
			return take(s);
	return NULL;
}

static bool is_cache_destination(struct str key)
{
	struct str list = str_of(the_client.conf.smtp_connection_cache_destinations), one, host = key;

	str_cut(&host, ':', &one);		/* "mx:example.com:25" */
	while (str_token(&list, ", \t\r\n", &one)) {
		struct str bare = one.len > 2 && one.at[0] == '[' ? str_head(str_skip(one, 1),
				one.len - 2) : one;

		if (str_is_nocase(str_head(host, bare.len), bare)
		    && (host.len == bare.len || host.at[bare.len] == ':'))
			return true;
	}
	return false;
}

static bool may_keep(const struct session *s)
{
	const struct smtp_conf *conf = &the_client.conf;

	if (s->is_dead || s->is_for_once || stream_error(s->stream) != 0 || stream_more(s->stream)
	    || daemon_is_winding_down())
		return false;
	if (conf->smtp_connection_cache_time_limit == 0
	    || mono_ms() - s->opened >= conf->smtp_connection_reuse_time_limit)
		return false;
	if (conf->smtp_connection_reuse_count_limit > 0
	    && s->uses >= (uint64_t) conf->smtp_connection_reuse_count_limit)
		return false;
	return kept_count < MOST_KEPT && (conf->smtp_connection_cache_on_demand
					  || is_cache_destination(s->key));
}

void cache_keep_or_end(struct session *s)
{
	if (!may_keep(s)) {
		session_end(s);
		return;
	}
	s->idle_until = in(the_client.conf.smtp_connection_cache_time_limit);
	list_prepend(&kept, &s->link);
	kept_count++;
	if (expiry.heap_index == 0)
		timer_set(&expiry, s->idle_until);
}

/* The process is about to exit: a word of goodbye into each, without waiting for anything. */
void cache_end_all(void)
{
	while (!list_is_empty(&kept)) {
		struct session *s = take(LIST_FIRST(&kept, struct session, link));

		if (!s->is_encrypted && send(stream_fd(s->stream), "QUIT\r\n", 6,
					     MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			s->is_dead = true;
		session_free(s);
	}
}
