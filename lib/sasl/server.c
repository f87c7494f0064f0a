/* SPDX-License-Identifier: ISC */
/*
 * The connection to the authentication server: a coroutine that connects, greets and reads, and one
 * that writes what has gathered.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/dns/dns.h"
#include "lib/io/stream.h"
#include "lib/sasl/server_private.h"

enum {
	REST_MS = 1000,			/* between attempts to connect that failed */
	MOST_UNSENT = 4 << 20,		/* a server that takes nothing in is not there */
	FIRST_UNSENT = 4 << 10,
	/* how long who wants to know what there is waits: for the first time, and for what is new */
	OFFERS_MS = 5000, NEWS_MS = 1000,
	OFFERS_GOOD_MS = 60000,
};

static char *copy(struct str s)
{
	char *c = get_memory(s.len + 1);

	memcpy(c, s.at, s.len);
	return c;
}

/* Takes path and host over. */
static struct auth_server *make(const struct sasl_settings *settings, char *path, char *host, uint16_t port)
{
	struct auth_server *s = get_memory(sizeof(*s));

	*s = (struct auth_server){ .settings = *settings, .path = path, .host = host, .port = port, .fd = -1,
				   .unsent = BUF(MOST_UNSENT), .why = BUF(1000) };
	bell_init(&s->changed);
	bell_init(&s->to_send);
	list_init(&s->waiting);
	return s;
}

int auth_server_new(const struct sasl_settings *settings, struct auth_server **ret, struct buf *why)
{
	struct str where = settings->where, host = STR_NONE, port;
	const bool is_inet = str_starts(where, STR("inet:"));
	uint16_t number = 0;

	if (is_inet || str_starts(where, STR("unix:")))
		where = str_skip(where, 5);
	if (where.len == 0 || where.len > 255 || str_has_control(where) ||
	    (is_inet && (host_port_split(where, &host, &port) < 0 || host.len == 0
			 || port_parse(port, &number) < 0))) {
		buf_addf(why, "expected the path of a socket, or inet:host:port, instead of \"%.*s\"",
			 PSTR(str_head(settings->where, 100)));
		return -EINVAL;
	}
	*ret = make(settings, is_inet ? NULL : copy(where), is_inet ? copy(host) : NULL, number);
	return 0;
}

struct auth_server *server_like(const struct auth_server *s)
{
	return make(&s->settings, s->path == NULL ? NULL : copy(str_of(s->path)),
		    s->host == NULL ? NULL : copy(str_of(s->host)), s->port);
}

void auth_server_free(struct auth_server *s)
{
	if (s == NULL)
		return;
	BUG_UNLESS(list_is_empty(&s->waiting));
	if (s->scope != NULL)
		scope_close(s->scope);
	buf_wipe(&s->unsent);
	buf_free(&s->why);
	free(s->path);
	free(s->host);
	free(s);
}

bool auth_server_is_inet(const struct auth_server *s)
{
	return s->host != NULL;
}

const char *auth_server_path(const struct auth_server *s)
{
	return s->path;
}

const char *auth_server_why(const struct auth_server *s)
{
	return buf_text(&s->why);
}

static void say_why(struct auth_server *s, const char *what, const char *words)
{
	buf_clear(&s->why);
	if (s->path != NULL)
		buf_addf(&s->why, "%s %s: %s", what, s->path, words);
	else
		buf_addf(&s->why, "%s inet:%s:%u: %s", what, s->host, s->port, words);
}

/* ---- writing ---- */

void server_send(struct auth_server *s)
{
	bell_ring(&s->to_send);
}

int server_add(struct auth_server *s, struct str line)
{
	/* grows without leaving a copy behind */
	if (s->unsent.len + line.len >= s->unsent.cap) {
		struct buf bigger = BUF(MOST_UNSENT);

		if (buf_room(&bigger, MAX(2 * (s->unsent.len + line.len), (size_t) FIRST_UNSENT)) == NULL)
			return -EMSGSIZE;
		buf_add(&bigger, buf_str(&s->unsent));
		buf_wipe(&s->unsent);
		s->unsent = bigger;
	}
	return buf_add(&s->unsent, line);
}

static void forget_sent(struct auth_server *s, size_t n)
{
	buf_cut_front(&s->unsent, n);
	explicit_bzero(s->unsent.at + s->unsent.len, n);
}

/* The reader notices the end. */
void server_give_up(struct auth_server *s)
{
	if (s->fd >= 0)
		shutdown(s->fd, SHUT_RDWR);
}

static void run_writer(void *arg)
{
	struct auth_server *s = arg;

	for (;;) {
		ssize_t n;
		int r = 0;

		while (s->unsent.len == 0)
			if (bell_wait(&s->to_send, NEVER) < 0)
				return;
		n = send(s->fd, s->unsent.at, s->unsent.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			forget_sent(s, (size_t) n);
		else if (n < 0 && errno == EAGAIN)
			r = co_wait_fd(s->fd, POLLOUT, NEVER);
		else if (n < 0 && errno != EINTR)
			r = -errno;
		if (r < 0) {
			server_give_up(s);
			return;
		}
	}
}

/* ---- connecting ---- */

static int connect_host(const struct auth_server *s, when_t until)
{
	struct arena *a = arena_new("sasl host", NULL, 1 << 20);
	struct dns_answer answer;
	int fd = -EHOSTUNREACH;

	dns_addresses(a, str_of(s->host), &answer);
	for (size_t i = 0; answer.status == DNS_OK && i < answer.count && fd < 0; i++) {
		answer.records[i].ip.port = s->port;
		fd = connect_tcp(&answer.records[i].ip, NULL, until);
	}
	arena_free(a);
	return fd;
}

static int add_offer(struct sasl_offer *list, int count, const struct auth_line *l)
{
	if (count == SASL_MOST_OFFERS || l->is_private)
		return count;
	snprintf(list[count].name, sizeof(list[count].name), "%.*s", PSTR(l->name));
	list[count].options = l->options;
	return count + 1;
}

/* One line of the server. 1, 0 at the end, -errno. */
static int next_line(struct auth_server *s, struct stream *stream, struct arena *a, struct auth_line *ret)
{
	struct str line;

	arena_reset(a);
	if (!read_line(stream, AUTH_LONGEST_LINE, &line, NULL))
		return stream_error(stream) == -EPIPE ? 0 : stream_error(stream);
	s->heard = mono_ms();
	return auth_line_parse(a, line, ret) < 0 ? -EBADMSG : 1;
}

/* Up to DONE; what it said counts only then. */
static int handshake(struct auth_server *s, struct stream *stream, struct arena *a)
{
	struct sasl_offer found[SASL_MOST_OFFERS];
	int r, count = 0;
	struct auth_line l;

	writef(stream, "VERSION\t1\t1\nCPID\t%d\n", (int) getpid());
	r = next_line(s, stream, a, &l);
	if (r > 0 && l.word != AUTH_VERSION)
		return -EBADMSG;
	if (r > 0 && l.version != 1)
		return -EPROTONOSUPPORT;
	while (r > 0 && (r = next_line(s, stream, a, &l)) > 0 && l.word != AUTH_DONE) {
		if (l.word == AUTH_VERSION)
			return -EBADMSG;
		if (l.word == AUTH_MECH)
			count = add_offer(found, count, &l);
	}
	if (r > 0) {
		memcpy(s->offers, found, sizeof(found[0]) * (size_t) count);
		s->offer_count = count;
	}
	return r;
}

/* Until the end of the connection: 0 or -errno. */
static int read_answers(struct auth_server *s, struct stream *stream, struct arena *a)
{
	struct auth_line l;
	int r;

	while ((r = next_line(s, stream, a, &l)) > 0)
		if (l.word == AUTH_OK || l.word == AUTH_CONT || l.word == AUTH_FAIL)
			exchange_answered(s, &l);
	return r;
}

static int be_ready(struct auth_server *s, struct stream *stream, struct arena *a)
{
	struct scope *writer = scope_open("auth writer");
	int r = -EAGAIN;

	s->fd = stream_fd(stream);
	if (scope_start(writer, "auth writer", run_writer, s) == 0) {
		s->connection++;
		s->state = SERVER_READY;
		bell_ring(&s->changed);
		stream_deadline(stream, NEVER);
		r = read_answers(s, stream, a);
	}
	scope_close(writer);
	s->fd = -1;
	return r;
}

static const char *words_for(int error)
{
	return error == 0 ? "connection closed" : error == -EBADMSG
	       || error == -EMSGSIZE ? "it does not speak Dovecot's protocol"
	     : error == -EPROTONOSUPPORT ? "it speaks another version of the protocol" : error_text(error);
}

static void run_connection(void *arg)
{
	struct auth_server *s = arg;
	when_t until = in(s->settings.connect_ms);
	int fd = s->path != NULL ? connect_unix(s->path, until) : connect_host(s, until), r = fd;

	if (fd < 0) {
		say_why(s, "connect to", error_text(fd));
	} else {
		struct arena *a = arena_new("auth line", NULL, 1 << 20);
		struct stream *stream = stream_new(fd);

		co_describe("%s", s->path != NULL ? s->path : s->host);
		stream_deadline(stream, until);
		r = handshake(s, stream, a);
		if (r > 0) {
			buf_clear(&s->why);
			r = be_ready(s, stream, a);
			if (r < 0 || !list_is_empty(&s->waiting))
				say_why(s, "authentication server", words_for(r));
			r = 1;
		} else {
			say_why(s, "authentication server", words_for(r));
		}
		stream_free(stream);
		arena_free(a);
	}
	s->state = SERVER_AT_REST;
	s->rest_until = r > 0 ? 0 : in(REST_MS);
	buf_wipe(&s->unsent);
	exchanges_lost(s);
	bell_ring(&s->changed);
}

static int ready_by(struct auth_server *s, when_t until)
{
	while (s->state != SERVER_READY) {
		int r;

		if (s->state == SERVER_AT_REST) {
			if (mono_ms() < s->rest_until)
				return -EAGAIN;
			if (s->scope == NULL)
				s->scope = scope_open("auth connection");
			r = scope_start(s->scope, "auth connection", run_connection, s);
			if (r < 0)
				return r;
			s->state = SERVER_CONNECTING;
		}
		r = bell_wait(&s->changed, until);
		if (r < 0 && s->why.len == 0)
			say_why(s, "authentication server", error_text(r));
		if (r < 0)
			return r;
	}
	return 0;
}

int server_ready(struct auth_server *s)
{
	return ready_by(s, in(s->settings.connect_ms));
}

/* ---- mechanisms ---- */

/* With a connection that ends again. Cached for a while, since each costs the server a process. */
static int ask_offers(struct auth_server *s, when_t until)
{
	struct auth_server *twin;
	int r;

	if (s->offer_count > 0 && mono_ms() - s->heard < OFFERS_GOOD_MS)
		return 0;
	twin = server_like(s);
	r = ready_by(twin, until);
	if (r == 0) {
		s->offer_count = twin->offer_count;
		memcpy(s->offers, twin->offers, sizeof(s->offers));
		s->heard = mono_ms();
	}
	buf_clear(&s->why);
	buf_add(&s->why, buf_str(&twin->why));
	auth_server_free(twin);
	return r;
}

/* A server that is stuck does not keep clients waiting that may have nothing to do with it. */
int auth_server_offers(struct auth_server *s, const struct sasl_offer **ret)
{
	when_t until = in(s->offer_count > 0 ? NEWS_MS : OFFERS_MS);
	int r = s->settings.one_exchange ? ask_offers(s, until) : ready_by(s, until);

	if (r < 0 && s->offer_count == 0)
		return r;
	*ret = s->offers;
	return s->offer_count;
}
