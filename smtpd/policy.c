/* SPDX-License-Identifier: ISC */
/*
 * Talking to policy servers. A question is a coroutine's own: who is slow to answer it holds up
 * nobody else, and connections are kept for the next one. A server without an answer is no answer:
 * then the default action counts, which defers.
 */
#include "smtpd/policy.h"

#include <errno.h>

#include "lib/dns/dns.h"
#include "lib/log/log.h"
#include "lib/table/remote.h"
#include "smtpd/smtpd.h"

/* So many questions at once to one service, for each process; more wait for their turn. */
enum { MOST_CONNECTIONS = 100, MOST_ANSWER = 100000, MOST_ATTRIBUTES = 100 };

struct policy_service {
	const char *where;		/* "unix:private/policy" */
	struct remote *remote;
	struct remote_limits limits;
	int64_t timeout_ms, retry_delay_ms, try_limit;
	struct str default_action, context;
};

static bool any_inet;

bool policy_services_need_inet(void)
{
	return any_inet;
}

struct str policy_context(const struct policy_service *p)
{
	return p->context;
}

/* ---- settings ---- */

static int find_host(const char *host, struct address_ip *ret, int most)
{
	struct arena *a = arena_new("policy server", NULL, 1 << 20);
	struct dns_answer answer;
	int n;

	dns_addresses(a, str_of(host), &answer);
	for (n = 0; n < most && (size_t) n < answer.count; n++)
		ret[n] = answer.records[n].ip;
	arena_free(a);
	return n > 0 ? n : -EHOSTUNREACH;
}

static void take_defaults(struct policy_service *p)
{
	const struct smtpd_conf *conf = &the_smtpd->conf;

	p->timeout_ms = conf->smtpd_policy_service_timeout;
	p->retry_delay_ms = conf->smtpd_policy_service_retry_delay;
	p->try_limit = conf->smtpd_policy_service_try_limit;
	p->default_action = str_of(conf->smtpd_policy_service_default_action);
	p->context = str_of(conf->smtpd_policy_service_policy_context);
	p->limits = (struct remote_limits){ .connections = MOST_CONNECTIONS,
					    .idle_ms = conf->smtpd_policy_service_max_idle,
					    .age_ms = conf->smtpd_policy_service_max_ttl,
					    .uses = conf->smtpd_policy_service_request_limit,
					    .find = find_host };
}

static int take_setting(struct policy_service *p, struct str name, struct str value, struct buf *why)
{
	const struct { const char *name; int64_t *time, *number; struct str *text; } known[] = {
		{ "timeout", &p->timeout_ms, NULL, NULL }, { "max_idle", &p->limits.idle_ms, NULL, NULL },
		{ "max_ttl", &p->limits.age_ms, NULL, NULL },
		{ "retry_delay", &p->retry_delay_ms, NULL, NULL },
		{ "request_limit", NULL, &p->limits.uses, NULL }, { "try_limit", NULL, &p->try_limit, NULL },
		{ "default_action", NULL, NULL, &p->default_action },
		{ "policy_context", NULL, NULL, &p->context },
	};

	for (size_t i = 0; i < COUNT_OF(known); i++) {
		int r = 0;

		if (!str_is(name, str_of(known[i].name)))
			continue;
		if (known[i].time != NULL)
			r = conf_parse_time(value, 's', known[i].time);
		else if (known[i].number != NULL)
			r = str_to_int(value, 0, INT32_MAX, known[i].number);
		else
			*known[i].text = value;
		if (r < 0)
			buf_addf(why, "check_policy_service: %.*s = %.*s: not a %s", PSTR(name), PSTR(value),
				 known[i].time != NULL ? "time" : "number");
		return r;
	}
	buf_addf(why, "check_policy_service: unknown setting \"%.*s\"", PSTR(name));
	return -EINVAL;
}

/* "name=value", or with blanks "{ name = value }", between commas or blanks. */
static int take_settings(struct policy_service *p, struct str rest, struct buf *why)
{
	struct str word, name, value;
	int r;

	while ((r = str_token_braced(&rest, ", \t\r\n", &word)) > 0) {
		if (str_starts(word, STR("{")))
			word = str_trim(str_make(word.at + 1, word.len - 2));
		if ((r = conf_split_assignment(word, &name, &value, why)) < 0
		    || (r = take_setting(p, name, value, why)) < 0)
			return r;
	}
	if (r < 0)
		buf_add_text(why, "check_policy_service: closing brace missing");
	return r;
}

static int check(const struct policy_service *p, struct buf *why)
{
	if (p->timeout_ms < 1000 || p->try_limit < 1) {
		buf_add_text(why, "check_policy_service: the timeout is one second at least, and try_limit 1");
		return -EINVAL;
	}
	return 0;
}

int policy_service_new(struct arena *a, struct str spec, struct policy_service **ret, struct buf *why)
{
	struct policy_service *p = ARENA_NEW(a, struct policy_service);
	struct str rest = arena_copy(a, spec), where = rest;
	int r = 0;

	take_defaults(p);
	if (str_starts(rest, STR("{"))) {
		rest = str_make(rest.at + 1, rest.len - 2);
		if (!str_token(&rest, ", \t\r\n", &where))
			where = STR_NONE;
		r = take_settings(p, rest, why);
	}
	if (r >= 0)
		r = check(p, why);
	if (r < 0)
		return r;
	if (!str_starts(where, STR("unix:")) && !str_starts(where, STR("inet:"))) {
		buf_addf(why, "check_policy_service: expected inet:host:port or unix:path instead of \"%.*s\"",
			 PSTR(str_head(where, 100)));
		return -EINVAL;
	}
	p->where = str_c(a, where);
	any_inet |= str_starts(where, STR("inet:"));
	r = remote_new(where, &p->limits, &p->remote, why);
	*ret = p;
	return r;
}

/* ---- questions ---- */

struct exchange {
	struct arena *arena;
	struct str request, action;
};

static int bad_answer(struct str line, struct buf *why)
{
	buf_add_text(why, "an answer that is not in the protocol: \"");
	buf_add_printable(why, str_head(line, 100));
	buf_add_byte(why, '"');
	return -EBADMSG;
}

/* The first action counts. What else an answer says is for others, or for later. */
static int talk(struct stream *s, void *arg, struct buf *why)
{
	struct exchange *x = arg;
	bool has_action = false;
	struct str line;

	write_str(s, x->request);
	for (int i = 0; i < MOST_ATTRIBUTES; i++) {
		struct str value, name;

		if (!read_line(s, MOST_ANSWER, &line, NULL))
			return stream_error(s);
		if (line.len == 0 && has_action)
			return 0;
		value = line;
		if (!str_cut(&value, '=', &name) || str_find(value, '\0') >= 0)
			break;
		if (!has_action && str_is(name, STR("action"))) {
			x->action = arena_copy(x->arena, value);
			has_action = true;
		}
	}
	return bad_answer(line, why);
}

struct str policy_ask(struct policy_service *p, struct arena *a, struct str request)
{
	struct exchange x = { .arena = a, .request = request };
	AUTO(buf) why = BUF_WORDS;
	int r;

	for (int64_t tries = 1;; tries++) {
		buf_clear(&why);
		r = remote_ask(p->remote, talk, &x, in(p->timeout_ms), &why);
		if (r >= 0)
			return x.action;
		if (tries >= p->try_limit || r == -ECANCELED || co_sleep(in(p->retry_delay_ms)) < 0)
			break;
	}
	log_warning("problem talking to server %s: %s", p->where, buf_text(&why));
	return p->default_action;
}
