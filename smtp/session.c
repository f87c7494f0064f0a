/* SPDX-License-Identifier: ISC */
/* A session's beginning and end: connect, greeting, hello; QUIT. */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "smtp/smtp.h"

enum { SESSION_ARENA = 1 << 20, HURRIED_CONNECT_MS = 5000 };

int session_reply(struct session *s, int64_t timeout_ms)
{
	struct str line;
	int result;

	stream_deadline(s->stream, in(timeout_ms));
	do {
		if (!read_line(s->stream, REPLY_LINE_MAX, &line, NULL)) {
			s->is_dead = true;
			if (stream_error(s->stream) != -EMSGSIZE)
				return stream_error(s->stream);
			reply_feed(&s->reply, STR("(a line that is too long)"));
			return -EBADMSG;
		}
		result = reply_feed(&s->reply, line);
	} while (result == 0);
	if (result < 0 || s->reply.code == 421)
		s->is_dead = true;		/* out of step; or the server is leaving */
	return result < 0 ? result : 0;
}

/* ---- connecting ---- */

static const struct address_ip *from_address(const struct candidate *at)
{
	const struct address_ip *from = at->ip.family == AF_INET ? &the_client.bind4 : &the_client.bind6;

	return from->family == 0 ? NULL : from;
}

/* In a hurry: long enough for a third SYN packet. */
static when_t connect_deadline(const struct job *job)
{
	const int64_t configured = the_client.conf.smtp_connect_timeout,
		most = configured == 0 ? INT64_MAX : configured;

	if ((job->d->flags & DELIVER_HURRY) != 0)
		return in(MIN(most, (int64_t) HURRIED_CONNECT_MS));
	return configured == 0 ? NEVER : in(configured);
}

static int connect_candidate(const struct job *job, const struct candidate *at)
{
	const struct address_ip *from = from_address(at);
	int fd = connect_tcp(&at->ip, from, connect_deadline(job));

	if (from != NULL && (fd == -EADDRNOTAVAIL || fd == -EACCES)
	    && !the_client.conf.smtp_bind_address_enforce) {
		log_warning_rarely(60, "smtp_bind_address cannot be used: %s", error_text(fd));
		fd = connect_tcp(&at->ip, NULL, connect_deadline(job));
	}
	return fd;
}

static const char *connect_words(int error)
{
	return error == -ETIMEDOUT ? "Connection timed out" : error_text(error);
}

static struct session *session_new(const struct job *job, int fd, const struct destination *to,
				   const struct candidate *at)
{
	struct arena *a = arena_new("session", NULL, SESSION_ARENA);
	struct session *s = ARENA_NEW(a, struct session);

	s->arena = a;
	s->stream = stream_new(fd);
	s->reply = REPLY;
	s->key = at == NULL || at->is_best ? arena_copy(a, to->key) : STR_NONE;
	s->policy = arena_copy(a, job->site_policy.id);
	s->host_policy = arena_copy(a, job->policy.id);
	s->is_for_once = job->in_the_clear;
	s->opened = mono_ms();
	list_init(&s->link);
	if (at == NULL) {
		s->host = arena_copy(a, to->host);
		s->name = s->relay = arena_fmt(a, "%.*s[%.*s]", PSTR(to->host), PSTR(to->path));
	} else {
		char address[64];

		ip_print(&at->ip, address);
		s->ip = at->ip;
		s->is_backup = at->is_backup;
		s->host = arena_copy(a, at->host);
		s->name = arena_fmt(a, "%.*s[%s]", PSTR(at->host), address);
		s->relay = arena_fmt(a, "%.*s:%u", PSTR(s->name), at->ip.port);
	}
	return s;
}

void session_free(struct session *s)
{
	struct arena *a = s->arena;

	stream_free(s->stream);
	buf_free(&s->reply.lines);
	arena_free(a);
}

static struct session *session_connect(struct job *job, const struct destination *to,
				       const struct candidate *at, struct trouble *ret_why)
{
	int fd = at == NULL ? connect_unix(str_c(job->arena, to->path), connect_deadline(job))
		 : connect_candidate(job, at);
	char address[64];

	if (fd >= 0)
		return session_new(job, fd, to, at);
	if (at == NULL) {
		*ret_why = trouble_make(job, SOFT, true, "4.4.1", NULL, "connect to %.*s[%.*s]: %s",
					PSTR(to->host), PSTR(to->path), connect_words(fd));
	} else {
		ip_print(&at->ip, address);
		*ret_why = trouble_make(job, SOFT, true, "4.4.1", NULL, "connect to %.*s[%s]:%u: %s",
					PSTR(at->host), address, at->ip.port, connect_words(fd));
	}
	return NULL;
}

/* ---- greeting and hello ---- */

static bool is_myself(struct str name)
{
	return str_is_nocase(name, the_client.hostname);
}

static bool greeting_has(const struct session *s, struct str word)
{
	struct str rest = buf_str(&s->reply.lines), one;

	while (str_token(&rest, " \t\n", &one))
		if (str_is_nocase(one, word))
			return true;
	return false;
}

static bool read_greeting(struct job *job, struct session *s, struct trouble *ret_why)
{
	int result = session_reply(s, the_client.conf.smtp_helo_timeout);

	if (result < 0) {
		*ret_why = trouble_of_io(job, s, result, "receiving the initial server greeting");
		return false;
	}
	if (reply_class(&s->reply) == 2)
		return true;
	*ret_why = trouble_of_refusal(job, s);
	if (ret_why->kind == HARD && the_client.conf.smtp_skip_5xx_greeting) {
		ret_why->kind = SOFT;		/* it may be this server only */
		ret_why->dsn = str_c(job->arena, arena_fmt(job->arena, "4%s", ret_why->dsn + 1));
	}
	return false;
}

/* Says one of EHLO, HELO, LHLO. 0: accepted; 1: refused, see the reply; -errno. */
static int say_hello(struct session *s, const char *verb)
{
	int result;

	writef(s->stream, "%s %s\r\n", verb, the_client.conf.smtp_helo_name);
	result = session_reply(s, the_client.conf.smtp_helo_timeout);
	return result < 0 ? result : reply_class(&s->reply) == 2 ? 0 : 1;
}

static bool hello(struct job *job, struct session *s, bool extended, struct trouble *ret_why)
{
	const char *verb = the_client.lmtp ? "LHLO" : extended ? "EHLO" : "HELO";
	int result = say_hello(s, verb);

	if (result == 0) {
		ehlo_parse(&s->reply, str_of(the_client.conf.smtp_discard_ehlo_keywords), &s->offers);
		if (!extended)
			s->offers = (struct ehlo){ .host = s->offers.host };
		auth_note_offers(s);
		if (extended && the_onlooker != NULL)
			the_onlooker->greeted(s);
		return true;
	}
	if (result > 0 && extended && !the_client.lmtp && s->reply.code != 421)
		return hello(job, s, false, ret_why);
	if (result > 0)
		*ret_why = trouble_of_refusal(job, s);
	else
		*ret_why = trouble_of_io(job, s, result, the_client.lmtp ? "performing the LHLO handshake"
					 : extended ? "performing the EHLO handshake"
					 : "performing the HELO handshake");
	return false;
}

static bool detect_self(struct job *job, struct session *s, const struct destination *to,
			struct trouble *ret_why)
{
	/* the reply's bytes are soon replaced */
	struct str host = arena_copy(s->arena, s->offers.host);
	/* as a backup we wait for the better one */
	const bool is_loop = !s->is_backup;

	s->offers.host = host;
	if (the_client.lmtp || !to->detect_loops || !is_myself(host))
		return false;
	log_warning("host %.*s replied to HELO/EHLO with my own hostname %.*s", PSTR(s->name),
		    PSTR(the_client.hostname));
	*ret_why = trouble_make(job, is_loop ? HARD : SOFT, !is_loop, is_loop ? "5.4.6" : "4.4.6", s,
				"mail for %.*s loops back to myself", PSTR(to->host));
	return true;
}

static bool greet_and_hello(struct job *job, struct session *s, const struct destination *to,
			    struct trouble *ret_why)
{
	bool extended;

	if (!read_greeting(job, s, ret_why))
		return false;
	extended = the_client.lmtp || (!the_client.conf.smtp_never_send_ehlo
		   && (the_client.conf.smtp_always_send_ehlo || greeting_has(s, STR("ESMTP"))));
	return hello(job, s, extended, ret_why) && !detect_self(job, s, to, ret_why);
}

static bool note_offer(const struct session *s)
{
	if (the_client.conf.smtp_tls_note_starttls_offer && (s->offers.features & EHLO_STARTTLS) != 0)
		log_info("Host offered STARTTLS: [%.*s]", PSTR(s->host));
	return true;
}

/*
 * A reply to what we have not said yet is one to commands that somebody put in front of ours
 * (CVE-2009-3555).
 */
static bool is_quiet(struct job *job, struct session *s, struct trouble *ret_why)
{
	if (!the_client.conf.smtp_tls_block_early_mail_reply || !stream_more(s->stream))
		return true;
	log_warning("server %.*s violates %s policy", PSTR(s->name),
		    own_name("smtp_tls_block_early_mail_reply"));
	s->is_dead = true;
	*ret_why = trouble_make(job, SOFT, true, "4.7.0", s, "unexpected server message");
	return false;
}

/* TLS when it is wanted; what the server said in the clear about itself does not count (RFC 3207 4.2). */
static bool begin(struct job *job, struct session *s, const struct destination *to, struct trouble *ret_why)
{
	s->tls = "none";
	if (job->policy.level == TLS_NONE)
		return greet_and_hello(job, s, to, ret_why) && note_offer(s);
	if (the_client.conf.smtp_tls_wrappermode)
		return tls_start(job, s, true, ret_why) && greet_and_hello(job, s, to, ret_why);
	if (!greet_and_hello(job, s, to, ret_why) || !tls_start(job, s, false, ret_why))
		return false;
	return !s->is_encrypted || (hello(job, s, true, ret_why) && !detect_self(job, s, to, ret_why)
				    && is_quiet(job, s, ret_why));
}

static void note_local(struct job *job, const struct session *s)
{
	struct sockaddr_storage at = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(at);

	if (getsockname(stream_fd(s->stream), (struct sockaddr *) &at, &len) == 0)
		ip_from_sockaddr((struct sockaddr *) &at, &job->local);
}

struct session *session_open(struct job *job, const struct destination *to, const struct candidate *at,
			     struct trouble *ret_why)
{
	struct session *s;

	job->d->conn_use = 0;			/* whatever goes wrong now, no earlier session is to blame */
	job->d->tls = NULL;
	s = session_connect(job, to, at, ret_why);
	if (s == NULL)
		return NULL;
	if (the_client.conf.smtp_tlsrpt_enable)
		note_local(job, s);
	co_describe("%.*s %.*s", PSTR(job->d->queue_id), PSTR(s->relay));
	if (the_onlooker != NULL)
		the_onlooker->connected(s);
	if (begin(job, s, to, ret_why) && auth_start(job, s, to, ret_why))
		return s;
	session_end(s);
	return NULL;
}

/* ---- the end ---- */

static void say_quit(void *arg)
{
	struct session *s = arg;

	stream_deadline(s->stream, in(the_client.conf.smtp_quit_timeout));
	write_str(s->stream, STR("QUIT\r\n"));
	flush(s->stream);
	if (!the_client.conf.smtp_skip_quit_response)
		session_reply(s, the_client.conf.smtp_quit_timeout);
	session_free(s);
}

void session_end(struct session *s)
{
	static struct scope *leaving;

	if (s->is_dead || stream_error(s->stream) != 0) {
		session_free(s);
		return;
	}
	if (the_client.conf.smtp_skip_quit_response) {
		say_quit(s);			/* six bytes into an idle connection: does not wait */
		return;
	}
	if (leaving == NULL)
		leaving = scope_open("leaving");
	if (!loop_is_running() || scope_start(leaving, "quit", say_quit, s) < 0)
		say_quit(s);
}
