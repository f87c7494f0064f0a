/* SPDX-License-Identifier: ISC */
#include "smtpd/client_rate.h"

#include "lib/base/die.h"
#include "lib/daemon/daemon.h"
#include "lib/log/log.h"
#include "smtpd/client_count.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

static int64_t limit_of(enum anvil_event event)
{
	const struct smtpd_conf *c = &the_smtpd->conf;

	switch (event) {
	case ANVIL_CONNECTION:
		return c->smtpd_client_connection_rate_limit;
	case ANVIL_MESSAGE:
		return c->smtpd_client_message_rate_limit;
	case ANVIL_RECIPIENT:
		return c->smtpd_client_recipient_rate_limit;
	case ANVIL_TLS_SESSION:
		return c->smtpd_client_new_tls_session_rate_limit;
	case ANVIL_AUTH:
		return c->smtpd_client_auth_rate_limit;
	default:
		return 0;
	}
}

const char *rates_socket(void)
{
	if (the_smtpd->conf.smtpd_client_connection_count_limit > 0)
		return ANVIL_SOCKET;
	for (enum anvil_event event = 0; event < ANVIL_EVENTS; event++)
		if (limit_of(event) > 0)
			return ANVIL_SOCKET;
	return NULL;
}

static bool has_limits(struct session *s)
{
	return !s->may_xclient && match_client(the_smtpd->limit_exceptions, s->step, buf_str(&s->peer.name),
					       &s->peer.ip) <= 0;
}

/* Nobody is kept out for it. */
static void log_silence(int64_t error)
{
	log_warning_rarely(60, "limits of clients do not count now: service anvil: %s",
			   error_text((int) error));
}

/* How often it has come when that is too often, else 0. */
static int64_t excess(struct session *s, enum anvil_event event, bool counts)
{
	const int64_t limit = limit_of(event);
	int64_t count;

	if (limit == 0 || !has_limits(s))
		return 0;
	count = anvil_ask(str_of(the_world->service), client_counted_as(s->step, &s->peer.ip), event, counts);
	if (count < 0)
		log_silence(count);
	return count > limit ? count : 0;
}

bool comes_too_often(struct session *s, enum anvil_event event)
{
	static const char *const names[ANVIL_EVENTS] = { "Connection", "Message delivery request",
							 "Recipient address", "New TLS session",
							 "AUTH command" };
	const int64_t count = excess(s, event, true);

	if (count > 0)
		log_warning("%s rate limit exceeded: %lld from %s for service %s", names[event],
			    (long long) count, buf_text(&s->peer.shown), the_world->service);
	return count > 0;
}

bool came_too_often(struct session *s, enum anvil_event event)
{
	return excess(s, event, false) > 0;
}

/* ---- sessions at the same time ---- */

/*
 * So many sessions of a client a worker keeps to itself: most clients have few, and anvil hears of
 * none of these. What it does not hear of is an eighth of the limit at most, in all workers
 * together; small limits are exact.
 */
static int64_t most_untold(void)
{
	return the_world->workers == 0
	       ? 0 : the_smtpd->conf.smtpd_client_connection_count_limit / (8 * the_world->workers);
}

bool is_one_too_many(struct session *s)
{
	const int64_t limit = the_smtpd->conf.smtpd_client_connection_count_limit;
	int64_t here, count;

	if (limit == 0 || !has_limits(s))
		return false;
	s->counted = client_counted_as(s->arena, &s->peer.ip);
	here = client_enters(s->counted);
	if (here <= most_untold())
		return false;
	count = anvil_sessions(str_of(the_world->service), s->counted, (uint64_t) here);
	if (count < 0) {
		log_silence(count);
		count = here;
	}
	if (count <= limit)
		return false;
	log_warning("Connection concurrency limit exceeded: %lld from %s for service %s", (long long) count,
		    buf_text(&s->peer.shown), the_world->service);
	return true;
}

void is_one_less(struct session *s)
{
	int64_t left;

	if (s->counted.len == 0)
		return;
	left = client_leaves(s->counted);
	if (left >= most_untold())
		anvil_sessions_now(str_of(the_world->service), s->counted,
				   (uint64_t) (left > most_untold() ? left : 0));
}
