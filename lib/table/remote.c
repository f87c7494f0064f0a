/* SPDX-License-Identifier: ISC */
#include "lib/table/remote.h"

#include <errno.h>
#include <netdb.h>

#include "lib/base/arena.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"

enum { MOST_ADDRESSES = 8 };

const struct remote_limits remote_limits_of_tables = { .connections = 50, .idle_ms = 10000 };

struct connection {
	struct stream *stream;
	int64_t born, idle_since, uses;
	struct list link;		/* while nobody uses it */
};

struct remote {
	char *where;			/* for words */
	char *path;			/* of a Unix socket; NULL: host and port */
	char *host;
	uint16_t port;
	struct remote_limits limits;
	struct gate turns;
	struct list idle;		/* of struct connection; the one used last stands first */
	struct timer timer;		/* for the one that has been idle longest */
};

static char *copy(struct str s)
{
	char *c = get_memory(s.len + 1);

	memcpy(c, s.at, s.len);
	return c;
}

static void close_idle(struct timer *t);

int remote_new(struct str where, const struct remote_limits *limits, struct remote **ret_r, struct buf *why)
{
	struct remote *r;
	struct str rest = where, host, port;
	uint16_t number = 0;
	const bool is_unix = str_starts(where, STR("unix:"));

	if (is_unix || str_starts(where, STR("inet:")))
		rest = str_skip(where, 5);
	if (is_unix ? rest.len == 0 :
		      host_port_split(rest, &host, &port) < 0 || host.len == 0 || host.len > 255
		      || port.len == 0 || port_parse(port, &number) < 0) {
		buf_addf(why, "expected inet:host:port or unix:path instead of \"%.*s\"",
			 PSTR(str_head(where, 100)));
		return -EINVAL;
	}
	r = get_memory(sizeof(*r));
	r->where = copy(where);
	r->path = is_unix ? copy(rest) : NULL;
	r->host = is_unix ? NULL : copy(host);
	r->port = number;
	r->limits = *limits;
	gate_init(&r->turns, limits->connections);
	list_init(&r->idle);
	r->timer = (struct timer){ .run = close_idle, .due = NEVER };
	*ret_r = r;
	return 0;
}

static void connection_free(struct connection *c)
{
	stream_free(c->stream);
	free(c);
}

static void drop_idle(struct connection *c)
{
	list_remove(&c->link);
	connection_free(c);
}

void remote_free(struct remote *r)
{
	if (r == NULL)
		return;
	timer_set(&r->timer, NEVER);
	LIST_EACH(c, &r->idle, struct connection, link)
		drop_idle(c);
	free(r->where);
	free(r->path);
	free(r->host);
	free(r);
}

/* ---- connecting ---- */

struct resolving {
	const char *host;
	struct address_ip found[MOST_ADDRESSES];
	int count;
};

/* On a pool thread: the C library knows /etc/hosts and all else that this machine has names from. */
static int resolve(void *arg)
{
	struct resolving *v = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;

	if (getaddrinfo(v->host, NULL, &hints, &list) != 0)
		return -EHOSTUNREACH;
	for (const struct addrinfo *a = list; a != NULL && v->count < MOST_ADDRESSES; a = a->ai_next)
		ip_from_sockaddr(a->ai_addr, &v->found[v->count++]);
	freeaddrinfo(list);
	return 0;
}

static void find_addresses(const struct remote *r, struct resolving *v)
{
	if (ip_parse(str_of(r->host), &v->found[0]) == 0)
		v->count = 1;
	else if (r->limits.find != NULL)
		v->count = r->limits.find(r->host, v->found, MOST_ADDRESSES);
	else
		co_offload(resolve, v);
}

static int connect_host(const struct remote *r, when_t until)
{
	struct resolving v = { .host = r->host };
	int fd = -EHOSTUNREACH;

	find_addresses(r, &v);
	for (int i = 0; i < v.count && fd < 0; i++) {
		/* One that says nothing takes its share of the time, and leaves theirs to the others. */
		const int64_t share = (until - mono_ms()) / (v.count - i);

		v.found[i].port = r->port;
		fd = connect_tcp(&v.found[i], NULL, sooner(until, in(share)));
	}
	return fd;
}

static int connect_fresh(const struct remote *r, when_t until, struct connection **ret_c, struct buf *why)
{
	int fd = r->path != NULL ? connect_unix(r->path, until) : connect_host(r, until);
	struct connection *c;

	if (fd < 0) {
		buf_addf(why, "connect to %s: %s", r->where, error_text(fd));
		return fd;
	}
	c = get_memory(sizeof(*c));
	*c = (struct connection){ .stream = stream_new(fd), .born = mono_ms() };
	*ret_c = c;
	return 0;
}

/* ---- those that lie idle ---- */

static int64_t end_of(const struct remote *r, const struct connection *c)
{
	const int64_t of_idle = r->limits.idle_ms > 0 ? c->idle_since + r->limits.idle_ms : NEVER;
	const int64_t of_age = r->limits.age_ms > 0 ? c->born + r->limits.age_ms : NEVER;

	return MIN(of_idle, of_age);
}

/*
 * Ends those whose time is over, and comes again for the next. Outside of a loop nobody comes: a
 * look at the next question is enough.
 */
static void look_after_idle(struct remote *r)
{
	int64_t next = NEVER;

	LIST_EACH(c, &r->idle, struct connection, link) {
		if (end_of(r, c) <= mono_ms())
			drop_idle(c);
		else
			next = MIN(next, end_of(r, c));
	}
	if (loop_is_running())
		timer_set(&r->timer, next);
}

static void close_idle(struct timer *t)
{
	look_after_idle(CONTAINER_OF(t, struct remote, timer));
}

/* A connection from the last questions; NULL: there is none that still is one. */
static struct connection *take_idle(struct remote *r)
{
	look_after_idle(r);
	LIST_EACH(c, &r->idle, struct connection, link) {
		if (stream_poll_input(c->stream) || stream_error(c->stream) != 0) {
			drop_idle(c);
			continue;
		}
		list_remove(&c->link);
		return c;
	}
	return NULL;
}

static void keep(struct remote *r, struct connection *c)
{
	c->idle_since = mono_ms();
	c->uses++;
	if (end_of(r, c) <= c->idle_since || (r->limits.uses > 0 && c->uses >= r->limits.uses)) {
		connection_free(c);
		return;
	}
	list_prepend(&r->idle, &c->link);
	look_after_idle(r);
}

/* ---- asking ---- */

static int converse(struct remote *r, struct connection *c, remote_talk *talk, void *arg, when_t until,
		    struct buf *why)
{
	int result;

	stream_deadline(c->stream, until);
	result = talk(c->stream, arg, why);
	if (result >= 0 && stream_error(c->stream) == 0) {
		keep(r, c);
		return result;
	}
	if (result >= 0)
		result = stream_error(c->stream);
	if (why->len == 0)
		buf_addf(why, "%s: %s", r->where, result == -EPIPE ? "connection closed" : error_text(result));
	connection_free(c);
	return result;
}

int remote_ask(struct remote *r, remote_talk *talk, void *arg, when_t until, struct buf *why)
{
	struct connection *c;
	int result = gate_enter(&r->turns, until);

	if (result < 0) {
		buf_addf(why, "%s: all connections are busy: %s", r->where, error_text(result));
		return result;
	}
	c = take_idle(r);
	if (c != NULL) {
		result = converse(r, c, talk, arg, until, why);
		if (result == -EPIPE || result == -ECONNRESET) {
			buf_clear(why);
			c = NULL;
		}
	}
	if (c == NULL) {
		result = connect_fresh(r, until, &c, why);
		if (result == 0)
			result = converse(r, c, talk, arg, until, why);
	}
	gate_leave(&r->turns);
	return result;
}
